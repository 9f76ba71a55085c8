"""One command trains with several processes; whatever ends one of them ends all."""

import json
import signal
import time
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from small_processes import (
    ended,
    listener,
    living,
    options,
    rank_of,
    run,
    start,
    start_command,
    together,
    until_saved,
)
from torch.distributed import run as torchrun
from torch.distributed.elastic.multiprocessing.api import SignalException

from mscf.errors import CheckpointError
from mscf.training import launch as launching
from mscf.training.launch import arguments, command, environment, launch
from mscf.training.run_folder import claimed
from mscf.training.settings import TrainSettings

PORT = "A port that is taken is one line, or does not matter: another is chosen"
ALIKE = "Two processes train as one that accumulates the same parts does"
KILLED = "A process that is killed ends all, is named, and the run goes on bit-equal"
RAISED = "A process that fails shows its own error, not that of those who waited for it"
HANGS = "A process that hangs is named with its last step"
ORPHANS = "No process outlives the launcher that is killed"
ASKED = "A request to stop saves and ends several processes with exit code 75"
NOTEBOOK = "A notebook that is killed or stopped leaves no training process behind"

check = pytest.mark.check
pytestmark = pytest.mark.timeout(300)


def two(store, out, **changes) -> list[str]:
    return options(store, out, processes=2, **changes)


@pytest.mark.slow  # test_ranks.py has the like of a small network, sooner
@pytest.mark.claim("processes", ALIKE)
def test_one_command_trains_cenet_with_two_processes(
    tiny_store, tmp_path, shows
) -> None:
    changes = {"method": "cenet", "epochs": 1}
    pair = run(two(tiny_store, tmp_path / "two", **changes), module="mscf")
    one = options(tiny_store, tmp_path / "one", accumulate=2, **changes)
    one = run(one, module="mscf")
    assert (pair.returncode, one.returncode) == (0, 0), pair.stderr + one.stderr
    assert pair.stdout.count("mean Dice") == 1
    tables = [pd.read_csv(tmp_path / name / "history.csv") for name in ("one", "two")]
    difference = (tables[0]["loss"] - tables[1]["loss"]).abs().max()
    assert difference < 1e-5
    rows = pd.read_csv(tmp_path / "two/per_slice.csv")
    assert len(rows) == len(rows[["case", "slice"]].drop_duplicates()) == 6
    assert not list((tmp_path / "two").glob("rank*"))
    shows(shown=f"losses differ by {difference:.1g}")


LONG = {"batch_size": 8, "epochs": 10, "split": "slice", "fold": 3}  # 2 steps each


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.claim("processes", ALIKE)
@pytest.mark.parametrize("method", ["cenet", "mscf"])
def test_twenty_steps_of_two_processes_are_those_of_one(
    method, tiny_store, tmp_path, shows
) -> None:
    seconds = {}
    for name, parts in (("two", {"processes": 2}), ("one", {"accumulate": 2})):
        words = options(tiny_store, tmp_path / name, method=method, **LONG, **parts)
        done = ended(start(words, module="mscf"), 1700)
        assert done.returncode == 0, done.stderr
        timing = pd.read_csv(tmp_path / name / "timing.csv")
        seconds[name] = timing["seconds"].sum()
    tables = [pd.read_csv(tmp_path / name / "history.csv") for name in ("one", "two")]
    difference = (tables[0]["loss"] - tables[1]["loss"]).abs().max()
    assert difference < 1e-5
    shows(
        tried=20,
        shown=f"20 steps of {method}: losses differ by {difference:.1g}, one process "
        f"{seconds['one']:.0f} s, two {seconds['two']:.0f} s",
    )


@pytest.fixture(scope="module")
def whole(tiny_store, tmp_path_factory) -> Path:
    """A run that nothing disturbed, but that torchrun's usual port is taken."""
    out = tmp_path_factory.mktemp("whole") / "run"
    with listener(29500):
        done = run(two(tiny_store, out))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mean Dice") == 1
    assert not list(out.glob("rank*"))
    return out


def same_tables(whole: Path, out: Path) -> None:
    for name in ("history.csv", "per_slice.csv"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


@check
@pytest.mark.claim("processes", PORT)
def test_torchruns_usual_port_may_be_taken(whole) -> None:
    record = json.loads((whole / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["settings"]["processes"] == 2


@check
@pytest.mark.claim("processes", KILLED)
def test_a_rank_that_is_killed_ends_all_and_the_run_goes_on(
    whole, tiny_store, tmp_path, shows
) -> None:
    words = two(tiny_store, tmp_path)
    child = start(words, fault="waits 1 4")
    family = until_saved(child, tmp_path)
    begin = time.monotonic()
    rank_of(family, 1).kill()
    done = ended(child)
    seconds = time.monotonic() - begin
    assert done.returncode == 8
    line = "rank 1: must live as long as the others (found: ended by SIGKILL)"
    assert line in done.stderr
    assert done.stderr.count("\n") == 1
    assert seconds < 15
    assert not living(family)
    begin = time.monotonic()
    again = run([*words, "--resume"])
    rest = time.monotonic() - begin
    assert again.returncode == 0, again.stderr
    same_tables(whole, tmp_path)
    shows(
        shown=f"all ended {seconds:.1f} s after it, the rest was done in {rest:.1f} s"
    )


@check
@pytest.mark.claim("processes", ASKED)
def test_a_request_to_stop_saves_and_ends_all_with_75(
    whole, tiny_store, tmp_path
) -> None:
    words = two(tiny_store, tmp_path)
    child = start(words, fault="waits 1 4")
    family = until_saved(child, tmp_path)
    child.send_signal(signal.SIGTERM)
    child.send_signal(signal.SIGTERM)  # as timeout and Slurm do: one request
    done = ended(child)
    assert done.returncode == 75, done.stderr
    assert done.stderr.startswith("stopped: ")
    assert done.stderr.count("\n") == 1
    assert not living(family)
    words.append("--resume")
    assert [rank.code for rank in together(words, words)] == [0, 0]
    same_tables(whole, tmp_path)


@check
@pytest.mark.claim("processes", RAISED)
@pytest.mark.parametrize(
    ("fault", "code", "line"),
    [
        ("refuses", 3, "error: case 5: must be readable (found: rubbish) [some-check]"),
        (
            "raises", 8, "error: rank 1: must end without an error (found: ValueError: "
            "something of its own); its traceback is in rank-1.json [rank-raised]",
        ),
    ],
)  # fmt: skip
def test_the_error_of_a_rank_is_the_one_that_is_shown(
    fault, code, line, tiny_store, tmp_path
) -> None:
    done = run(two(tiny_store, tmp_path), fault=f"{fault} 1 4")
    assert done.returncode == code
    assert done.stderr.splitlines() == [line]
    if fault == "raises":
        left = json.loads((tmp_path / "rank-1.json").read_text())
        assert "small_mscf.py" in left["traceback"]


@check
@pytest.mark.claim("processes", HANGS)
def test_a_rank_that_hangs_is_named(tiny_store, tmp_path, shows) -> None:
    child = start(two(tiny_store, tmp_path, timeout=10), fault="waits 1 4")
    family = until_saved(child, tmp_path)
    begin = time.monotonic()
    done = ended(child)
    seconds = time.monotonic() - begin
    assert done.returncode == 8, done.stderr
    assert "no answer in time from rank 1 since step 1:0" in done.stderr
    assert not living(family)
    shows(
        shown=f"with `--timeout 10` ended {seconds:.0f} s after the last sign of life"
    )


@check
@pytest.mark.claim("processes", ORPHANS)
def test_no_process_outlives_a_launcher_that_is_killed(
    tiny_store, tmp_path, shows
) -> None:
    child = start(two(tiny_store, tmp_path), fault="waits 1 4")
    family = until_saved(child, tmp_path)
    begin = time.monotonic()
    child.kill()
    assert len(family) >= 4  # the command, torchrun, two ranks
    assert not living(family)
    shows(shown=f"none left {time.monotonic() - begin:.1f} s later")
    child.communicate()


@check
@pytest.mark.claim("notebook", NOTEBOOK)
@pytest.mark.parametrize(
    ("whom", "number", "code"),
    [("kernel", signal.SIGKILL, 1), ("command", signal.SIGINT, 75)],
)
def test_a_notebook_that_trains_leaves_nobody_behind(
    whom, number, code, tiny_store, tmp_path, monkeypatch
) -> None:
    for folder in ("mscf", "notebooks"):  # what a clone looks like
        (tmp_path / folder).mkdir()
    (tmp_path / "_toc.yml").touch()
    out = tmp_path / "run"
    changes = {"data": str(tiny_store), "out": str(out), "epochs": 3, "batch_size": 4}
    changes |= {"pretrained": False, "gpus": 0, "processes": 2}
    cells = [
        "import os, small_mscf\nsmall_mscf.install()\nprint(os.getpid())",
        "from mscf.training.loop import train\n"
        "from mscf.training.settings import TrainSettings\n"
        f"train(TrainSettings(**{changes}))",
    ]
    notebook = new_notebook(cells=[new_code_cell(cell) for cell in cells])
    nbformat.write(notebook, tmp_path / "notebooks/trains.ipynb")
    monkeypatch.chdir(tmp_path)
    command = start_command(["mscf", "notebook", "trains"], fault="waits 1 4")
    command.stdout.readline()
    kernel = psutil.Process(int(command.stdout.readline()))
    family = until_saved(command, out)
    assert kernel in family
    assert len(family) >= 5  # the command, its kernel, torchrun, two ranks
    (kernel if whom == "kernel" else command).send_signal(number)
    _, errors = command.communicate(timeout=100)
    assert command.returncode == code, errors
    assert not living(family)


def test_the_ranks_are_started_with_the_settings_given(tmp_path) -> None:
    settings = TrainSettings(
        data=tmp_path, out=tmp_path / "x", method="unet", gpus=0, processes=2,
        window=(-100, 200), pretrained=False, compile=True, learning_rate=1e-3,
    )  # fmt: skip
    words = arguments(settings)
    assert "--no-pretrained" in words
    assert words[words.index("--window") + 1 :][:2] == ["-100.0", "200.0"]
    assert {"--gpus=0", "--processes=2", "--compile", "--method=unet"} <= set(words)


def test_torchrun_is_given_no_option_that_an_older_one_refuses(tmp_path) -> None:
    """As ``--signals-to-handle``, which is there since torch 2.10 only."""
    settings = TrainSettings(data=tmp_path, out=tmp_path / "x", gpus=0, processes=2)
    words = command(settings)
    words = words[words.index("--standalone") : words.index("mscf")]
    assert words == ["--standalone", "--nproc-per-node=2", "-m"]


def test_torchrun_hears_slurms_signal_also_where_it_knows_none_such(
    tmp_path, monkeypatch
) -> None:
    def ends(number: int, _frame) -> None:  # as torch's own handler does
        raise SignalException("", signal.Signals(number))

    def main(_words: list[str]) -> None:
        signal.signal(signal.SIGTERM, ends)
        signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(launching, "die_with_parent", lambda number: None)
    monkeypatch.setattr(torchrun, "main", main)
    monkeypatch.setattr("sys.argv", ["launch", str(tmp_path)])
    numbers = (signal.SIGTERM, signal.SIGUSR1)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        with pytest.raises(SystemExit) as stopped:
            launching.main()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert stopped.value.code == 75


def test_several_processes_do_not_enter_a_folder_in_use(tmp_path) -> None:
    cause = tmp_path / "rank-1.json"
    cause.write_text("{}")  # of the run that lives
    with claimed(tmp_path), pytest.raises(CheckpointError, match=r"\[run-lock\]"):
        launch(TrainSettings(data=tmp_path, out=tmp_path, gpus=0, processes=2))
    assert cause.exists()


@check
def test_bad_settings_start_no_process_and_leave_no_folder(
    tiny_store, tmp_path
) -> None:
    refused = run(two(tiny_store, tmp_path / "run", fold=7), module="mscf")
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_processes_share_the_cores_and_what_the_user_set_stays(monkeypatch) -> None:
    monkeypatch.setattr(launching, "cores", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    shared = [environment(n)["OMP_NUM_THREADS"] for n in (1, 4, 24)]
    assert shared == ["12", "3", "1"]
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    assert environment(4)["OMP_NUM_THREADS"] == "5"
