"""The command ``mscf notebook``: what it refuses, and how it ends."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import nbformat
import papermill
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.testing import CliRunner

from mscf.cli import app, main
from mscf.notebook.ending import ending_of, keep_earlier
from mscf.notebook.parameters import all_values, find_notebook, value_of

ROOT = Path(__file__).parents[2]
REFUSED = "from mscf.errors import CheckpointError\n\nraise CheckpointError(\n"
REFUSED += "    'last.ckpt', 'must be whole', 'cut', 'digest', 'start anew'\n)"
REFUSES = "What a notebook cannot be asked for is refused before a kernel starts"
OWN_ERROR = "An error in a notebook's cell gives its own line and exit code"
LEAVES = "A notebook whose kernel dies, or that is stopped, leaves no process behind"
SAVES = "A notebook that is stopped is saved with what ran, and exits with 75"
UNHEARD = "A notebook goes on to its end when nobody reads what it says"


def write_notebook(path: Path, *cells: str) -> None:
    parameters = new_code_cell(
        "seed = 0  # of all\nname = 'a'  # word", metadata={"tags": ["parameters"]}
    )
    code = [new_code_cell(cell) for cell in cells]
    notebook = new_notebook(cells=[new_markdown_cell("# Title"), parameters, *code])
    notebook.metadata["kernelspec"] = {
        "name": "python3", "display_name": "Python 3", "language": "python",
    }  # fmt: skip
    nbformat.write(notebook, path)


@pytest.fixture
def repository(tmp_path, monkeypatch) -> Path:
    """A folder that looks like a clone, with one notebook ``small``; we stand in it."""
    for folder in ("mscf", "notebooks"):
        (tmp_path / folder).mkdir()
    (tmp_path / "_toc.yml").touch()
    write_notebook(tmp_path / "notebooks/small.ipynb", "print('seed', seed + 1)", "2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the kernel imports this mscf
    return tmp_path


def run(*arguments: str):
    return CliRunner().invoke(app, ["notebook", *arguments])


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.claim("notebook", REFUSES)
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["trian"], "(found: trian); did you mean train? [notebook]"),
        (["train", "-p", "gpuz", "4"], "(found: gpuz); did you mean gpus? [param"),
        (["train", "-p", "gpus", "64"], "64 GPUs were asked for, this machine has"),
        (["train", "-p", "batch_size", "0"], "batch_size: must be at least 1"),
        (["train", "-p", "out", "5"], "out: must be a path (found: 5)"),
        (["train", "-o", "notebooks/train.ipynb"], "must lie outside of notebooks/"),
        (["network", "-o", "README.md"], "must be a file that ends in .ipynb"),
        (["explore_data", "-p", "live", "false"], "live: must be like True (found: f"),
        (
            ["leakage", "-p", "window", "(-100, 2, 3)"],
            "window: must be like (-40, 160)",
        ),
        (["table1", "-p", "beside", "hu_threshold"], "beside: must be like ['mscf+"),
        (["network", "-p", "image_size", "2.5"], "image_size: must be like 448"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_started(
    arguments, line, monkeypatch
) -> None:
    monkeypatch.setattr(papermill, "execute_notebook", pytest.fail)
    monkeypatch.chdir(ROOT)
    before = files(ROOT / "runs/notebooks")
    result = run(*arguments)
    assert result.exit_code == 2
    assert line in result.stderr
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert files(ROOT / "runs/notebooks") == before


def test_without_papermill_it_says_how_to_install_it(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "papermill", None)
    result = run("train")
    assert result.exit_code == 2
    assert result.stderr == (
        "error: papermill: must be installed to run notebooks "
        "(found: no such package); pip install 'mscf[book]' [not-installed]\n"
    )


@pytest.mark.parametrize("words", [["-p"], ["-p", "gpus"], ["-p", "seed", "1", "2"]])
def test_a_parameter_is_two_words(words, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["mscf", "notebook", "train", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: arguments: ")


@pytest.mark.parametrize(
    "text",
    ["4", "04", "1_000", "-1", "1e3", "nan", "True", "true", "None", "", "(-40, 160)"],
)
def test_values_are_read_as_papermill_reads_them(text) -> None:
    # Imported here: papermill's command looks at stdin when it is imported.
    from papermill.cli import _resolve_type

    assert repr(value_of(text)) == repr(_resolve_type(text))


def test_outside_of_a_clone_it_says_where_to_go(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("train")
    assert result.exit_code == 2
    assert "run this in a clone of the repository" in result.stderr


def test_a_completed_notebook_streams_its_output_and_says_what_it_was(
    repository,
) -> None:
    result = run("small", "-p", "seed", "-3", "-o", "o{u}t/new/it.ipynb")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines() == [
        "small.ipynb: running, to be saved as o{u}t/new/it.ipynb",
        "seed -2",
        "small.ipynb: completed, saved as o{u}t/new/it.ipynb",
    ]
    assert result.stderr == ""
    executed = read(repository / "o{u}t/new/it.ipynb")
    record = executed.metadata.mscf
    assert record.status == "completed"
    assert record.parameters == {"seed": -3, "name": "a"}
    assert record.keys() >= {"start", "end", "commit"}
    assert "status         completed" in executed.cells[0].source
    assert str(repository) not in json.dumps(executed)
    assert files(repository / "o{u}t") == {"new", "new/it.ipynb"}


def test_a_place_that_cannot_be_written_is_one_line(repository) -> None:
    (repository / "file").touch()
    result = run("small", "-o", "file/small.ipynb")
    assert result.exit_code == 7
    assert result.stderr.startswith("error: file/small.ipynb: must be writable")
    assert result.stderr.count("\n") == 1


@pytest.mark.claim("notebook", OWN_ERROR)
def test_an_error_of_ours_in_a_cell_gives_its_line_and_exit_code(repository) -> None:
    write_notebook(repository / "notebooks/small.ipynb", "1", REFUSED, "2")
    result = run("small")
    message = "last.ckpt: must be whole (found: cut); start anew [digest]"
    assert result.exit_code == 4
    assert result.stderr == f"error: {message}\n"
    executed = read(repository / "runs/notebooks/small.ipynb")
    assert executed.metadata.mscf.status == f"failed in cell 3: {message}"
    assert message in executed.cells[0].source


@pytest.mark.claim("notebook", LEAVES)
def test_a_dead_kernel_takes_what_it_started_along(repository) -> None:
    write_notebook(
        repository / "notebooks/small.ipynb",
        "import os, subprocess\nchild = subprocess.Popen(['sleep', '300'])\nchild.pid",
        "os._exit(1)",
    )
    result = run("small")
    assert result.exit_code == 1
    assert "its kernel must live to the end" in result.stderr
    assert result.stderr.count("\n") == 1
    executed = read(repository / "runs/notebooks/small.ipynb")
    assert executed.metadata.mscf.status == "kernel died"
    (pid,) = [
        o.data["text/plain"] for c in executed.cells for o in c.get("outputs", [])
    ]
    assert has_ended(int(pid))


@pytest.mark.claim("notebook", LEAVES)
@pytest.mark.claim("notebook", SAVES)
@pytest.mark.check
def test_sigterm_ends_kernel_and_child_and_saves_what_ran(repository) -> None:
    write_notebook(
        repository / "notebooks/small.ipynb",
        "import subprocess\nchild = subprocess.Popen(['sleep', '300'])\n"
        "print(child.pid)",
        "child.wait()",
        "print('never')",
    )
    started = start(["-m", "mscf", "notebook", "small"], stdout=subprocess.PIPE)
    started.stdout.readline()
    pid = int(started.stdout.readline())
    time.sleep(0.5)  # the next cell waits by now
    started.send_signal(signal.SIGTERM)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 75
    assert said.startswith("stopped: runs/notebooks/small.ipynb holds what ran")
    assert said.count("\n") == 1
    assert has_ended(pid)
    executed = read(repository / "runs/notebooks/small.ipynb")
    assert executed.metadata.mscf.status == "interrupted"
    assert executed.cells[-1].execution_count is None
    assert files(repository / "runs/notebooks") == {"small.ipynb"}


def has_ended(pid: int, seconds: float = 5) -> bool:
    """No process of this number, or one that only waits to be counted."""
    for _ in range(int(seconds * 10)):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.1)
    return False


def start(words: list[str], **streams) -> subprocess.Popen:
    streams = {"stdin": subprocess.DEVNULL, "stderr": subprocess.PIPE} | streams
    return subprocess.Popen([sys.executable, *words], text=True, **streams)


def test_an_earlier_notebook_is_kept_under_its_end_time(tmp_path) -> None:
    target = tmp_path / "small.ipynb"
    record = {"end": "2026-11-26T05:18:27+01:00"}
    for _ in range(2):
        target.write_text(json.dumps({"metadata": {"mscf": record}}))
        keep_earlier(target)
    target.write_text("no notebook")
    os.utime(target, (0, 0))
    keep_earlier(target)
    assert files(tmp_path) == {
        "small-2026-11-26T04-18-27Z.ipynb",
        "small-2026-11-26T04-18-27Z-2.ipynb",
        "small-1970-01-01T00-00-00Z.ipynb",
    }


def ended_by(name: str, message: str, stopped: bool = False):
    cell = new_code_cell("x", execution_count=2)
    trace = ["\x1b[31mTraceback\x1b[0m", f"{name}: {message}"]
    error = nbformat.v4.new_output("error", ename=name, evalue=message, traceback=trace)
    cell.outputs = [error]
    source, target = Path("notebooks/a.ipynb"), Path("runs/a.ipynb")
    executed = new_notebook(cells=[cell])
    return ending_of(executed, source, target, died=False, stopped=stopped)


@pytest.mark.claim("notebook", OWN_ERROR)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("SettingsError", 2),
        ("SeveralInputsError", 3),
        ("StorageError", 7),
        ("ValueError", 1),
        ("annotations", 1),  # a name in mscf.errors, but no error
        ("KeyboardInterrupt", 75),
    ],
)
def test_the_exit_code_is_that_of_the_error(name, code) -> None:
    assert ended_by(name, "a: must be b").exit_code == code


def test_a_run_that_stopped_itself_is_interrupted(monkeypatch) -> None:
    stopped = type("Stopped", (Exception,), {"exit_code": 75})
    monkeypatch.setattr("mscf.errors.Stopped", stopped, raising=False)
    ending = ended_by("Stopped", "runs/train: saved")
    assert (ending.status, ending.exit_code) == ("interrupted", 75)
    assert ending.lines == ("stopped: runs/train: saved",)


def test_several_findings_are_a_line_each_and_other_errors_one() -> None:
    several = ended_by("SeveralInputsError", "a: must [x]\nb: must [y]")
    assert several.lines == ("error: a: must [x]", "error: b: must [y]")
    other = ended_by("RuntimeError", "out of \x1b memory\nand advice")
    (line,) = other.lines
    assert "cell 2 must run (found: RuntimeError: out of \\x1b memory)" in line
    assert other.traceback.startswith("Traceback\n")


def test_every_notebook_is_found_by_its_name(monkeypatch) -> None:
    monkeypatch.chdir(ROOT / "notebooks")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert find_notebook(path.stem) == path


def in_terminal(words: list[str]) -> tuple[int, str]:
    """Exit code and output under a pseudo-terminal of 100 by 30."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
    started = start(words, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 4096):
            said += part
    except OSError:  # Linux: the other side is closed
        pass
    os.close(ours)
    return started.wait(60), said.decode()


def in_pipes(words: list[str]) -> tuple[int, str]:
    """With pipes as stdin and stdout; stdin has ended."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = start(words, **streams)
    said, complaint = started.communicate("", timeout=100)
    return started.returncode, said + complaint


def into_file(words: list[str]) -> tuple[int, str]:
    """With stdout a file and nothing as stdin."""
    with Path("said.txt").open("w+") as file:
        code = start(words, stdout=file, stderr=file).wait(100)
        file.seek(0)
        return code, file.read()


LITERAL = ["-m", "papermill", "notebooks/small.ipynb"]


@pytest.mark.check
@pytest.mark.parametrize("way", [in_terminal, in_pipes, into_file])
def test_the_command_works_however_it_is_started(way, repository) -> None:
    code, said = way(["-m", "mscf", "notebook", "small", "-p", "seed", "4"])
    assert code == 0, said
    assert [line for line in said.splitlines() if line] == [
        "small.ipynb: running, to be saved as runs/notebooks/small.ipynb",
        "seed 5",
        "small.ipynb: completed, saved as runs/notebooks/small.ipynb",
    ]


@pytest.mark.slow
def test_papermill_with_an_output_path_executes_in_a_terminal(repository) -> None:
    before = (repository / "notebooks/small.ipynb").read_bytes()
    code, said = in_terminal([*LITERAL, "out.ipynb", "-p", "seed", "4"])
    assert code == 0, said
    executed = read(repository / "out.ipynb")
    assert executed.metadata.papermill.parameters == {"seed": 4}
    assert "seed 5" in executed.cells[-2].outputs[0].text
    assert (repository / "notebooks/small.ipynb").read_bytes() == before


@pytest.mark.check
def test_papermill_without_an_output_path_refuses_in_a_terminal(repository) -> None:
    code, said = in_terminal([*LITERAL, "-p", "seed", "4"])
    assert code == 2
    assert "Missing argument 'OUTPUT_PATH'" in said


@pytest.mark.check
def test_papermill_without_one_overwrites_its_input_by_a_piped_stdin(
    repository,
) -> None:
    """``--prepare-only``: no kernel; what is read and written is as without it."""
    write_notebook(repository / "other.ipynb", "print('other')")
    other = (repository / "other.ipynb").read_text()
    before = (repository / "notebooks/small.ipynb").read_bytes()
    for paths, source in ((["out.ipynb"], "2"), ([], "print('other')")):
        words = [*LITERAL, *paths, "--prepare-only", "-p", "seed", "4"]
        started = start(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        _, complaint = started.communicate(other, timeout=100)
        assert started.returncode == 0, complaint
        written = read(repository / (*paths, "notebooks/small.ipynb")[0])
        assert written.cells[-1].source == source
        assert written.metadata.papermill.parameters == {"seed": 4}
        after = (repository / "notebooks/small.ipynb").read_bytes()
        assert (after == before) == bool(paths)


@pytest.mark.claim("notebook", UNHEARD)
@pytest.mark.check
def test_the_run_goes_on_when_nobody_reads_it(repository) -> None:
    write_notebook(repository / "notebooks/small.ipynb", *["print('x' * 9999)"] * 3)
    started = start(["-m", "mscf", "notebook", "small"], stdout=subprocess.PIPE)
    started.stdout.readline()
    started.stdout.close()
    assert started.wait(60) == 0, started.stderr.read()
    executed = read(repository / "runs/notebooks/small.ipynb")
    assert executed.metadata.mscf.status == "completed"


@pytest.mark.check
def test_the_kernel_is_this_interpreter_whatever_is_installed(
    repository, monkeypatch
) -> None:
    other = repository / "jupyter/kernels/python3"
    other.mkdir(parents=True)
    spec = {"argv": ["/bin/false"], "display_name": "other", "language": "python"}
    (other / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(repository / "jupyter"))
    write_notebook(
        repository / "notebooks/small.ipynb", "import sys\nprint(sys.executable)"
    )
    result = run("small")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.splitlines()[1] == sys.executable


@pytest.mark.claim("notebook", SAVES)
@pytest.mark.check
def test_ctrl_c_while_the_kernel_starts_ends_at_once(repository) -> None:
    write_notebook(repository / "notebooks/small.ipynb", "import time\ntime.sleep(99)")
    started = start(["-m", "mscf", "notebook", "small"], stdout=subprocess.PIPE)
    started.stdout.readline()
    time.sleep(0.3)
    started.send_signal(signal.SIGINT)
    assert started.wait(15) == 75, started.stderr.read()
    assert files(repository / "runs/notebooks") == {"small.ipynb"}


@pytest.mark.claim("notebook", LEAVES)
@pytest.mark.claim("notebook", SAVES)
@pytest.mark.check
@pytest.mark.parametrize(
    "cell",
    [
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    pass",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)",
    ],
    ids=["goes on", "does not hear"],
)
def test_no_cell_outlives_the_time_for_saving(cell, repository) -> None:
    write_notebook(
        repository / "notebooks/small.ipynb",
        "import signal, time\nprint('here')", cell, "print('never')",
    )  # fmt: skip
    impatient = "import mscf.notebook.kernel as kernel; kernel.GRACE = 2; "
    impatient += "from mscf.cli import main; main()"
    started = start(["-c", impatient, "notebook", "small"], stdout=subprocess.PIPE)
    started.stdout.readline()
    assert started.stdout.readline() == "here\n"
    time.sleep(0.5)
    started.send_signal(signal.SIGTERM)
    said, _ = started.communicate(timeout=30)
    assert started.returncode == 75
    assert "never" not in said


@pytest.mark.check
@pytest.mark.timeout(600)
def test_train_is_saved_in_the_runs_own_folder(tiny_store, tmp_path) -> None:
    given = {
        "data": tiny_store, "out": tmp_path / "run", "method": "mscf+only-128",
        "epochs": 1, "batch_size": 7, "gpus": 0, "pretrained": False,
    }  # fmt: skip
    pairs = [str(word) for key, value in given.items() for word in ("-p", key, value)]
    words = ["-m", "mscf", "notebook", "train", *pairs]
    for runs in (1, 2):  # the second goes on with the first, its notebook is kept
        started = start(words, stdout=subprocess.PIPE, cwd=ROOT)
        _, complaint = started.communicate(timeout=300)
        assert started.returncode == 0, complaint
        assert len(list((tmp_path / "run").glob("*.ipynb"))) == runs
    assert (tmp_path / "run/summary.json").is_file()


@pytest.mark.parametrize(
    ("notebook", "given", "expected"),
    [
        ("leakage", {"window": "(-100, 240)"}, [-100, 240]),
        ("table1", {"beside": "['hu_threshold']"}, ["hu_threshold"]),
        ("your_own_ct", {"scans": "2024"}, "2024"),  # a folder may be called so
        ("your_own_ct", {"learning_rate": "1e-3"}, 1e-3),
        ("explore_data", {"live": "False"}, False),
        ("fig1", {"example": "2"}, 2),
    ],
)
def test_a_value_is_read_as_its_default_is(notebook, given, expected) -> None:
    values = all_values(ROOT / f"notebooks/{notebook}.ipynb", given)
    (name,) = given
    assert values[name] == expected
    assert type(values[name]) is type(expected)
