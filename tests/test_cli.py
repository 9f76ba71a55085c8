import errno
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import nullcontext
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from recorder import recorded
from ten_networks import TABLE
from typer.testing import CliRunner

from mscf import command
from mscf.cli import app, main
from mscf.inference.predict import PredictSettings
from mscf.models import METHODS
from mscf.replacing import new_folder
from mscf.training import loop
from mscf.training.stopping import stop_requests


def run(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_methods_lists_every_network_with_its_parameters() -> None:
    result = run("methods")
    assert result.exit_code == 0
    lines = result.output.splitlines()[-len(METHODS) :]
    assert [line.split()[0] for line in lines] == list(METHODS)
    for line, (key, method) in zip(lines, METHODS.items(), strict=True):
        assert f"{TABLE[key][2]:,}" in line
        assert str(method.minimum_size) in line.split()
        (gmac,) = (
            float(word) for word in line.split() if re.fullmatch(r"\d+\.\d+", word)
        )
        assert gmac == pytest.approx(TABLE[key][4], abs=0.006)


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["--method", "unett"], 2, "error: method: must be a key of METHODS"),
        (["--image-size", "100"], 2, "[image-size]"),
        (["--window", "nan", "5"], 2, "error: window: must be two HU, low and high"),
        ([], 4, "[store-missing]"),
    ],
)
def test_a_bad_argument_is_one_line_and_an_exit_code(
    arguments, code, line, tmp_path
) -> None:
    result = run(
        "train", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "run"),
        *arguments,
    )  # fmt: skip
    assert result.exit_code == code
    assert line in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_train_ends_with_what_the_network_is_worth_and_its_learning_curve(
    monkeypatch, tmp_path
) -> None:
    rows = pd.DataFrame({"dice": [0.25, 0.5, 0.75], "patient": ["P1", "P2", "P2"]})
    history = pd.DataFrame({"epoch": [0, 1], "loss": [0.2, 0.1]})
    history["learning_rate"] = [2e-4, 1e-4]
    finished = SimpleNamespace(rows=rows, history=history)
    monkeypatch.setattr(loop, "train", lambda settings: finished)
    result = run("train", "--data", "store", "--out", str(tmp_path))
    assert result.exit_code == 0
    assert result.stdout == (
        f"mean Dice 0.500 on 3 slices of 2 patients: {tmp_path / 'summary.json'}\n"
    )
    assert "<!-- rate cut -->" in (tmp_path / "history.svg").read_text()


@pytest.mark.parametrize("flags", [("largest", "probabilities"), ("probabilities",)])
def test_every_option_of_predict_reaches_the_library(flags, monkeypatch) -> None:
    heard = recorded(monkeypatch, "mscf.inference.predict.predict_cases", [])
    result = run(
        "predict", "in", "out", "--weights", "a.ckpt", "--liver", "livers",
        "--least-ml", "0.5", "--batch-size", "3", "--device", "cpu",
        *(f"--{flag}" for flag in flags),
    )  # fmt: skip
    assert result.exit_code == 0
    settings = PredictSettings(
        liver=Path("livers"), least_ml=0.5, batch_size=3, device="cpu",
        **dict.fromkeys(flags, True),
    )  # fmt: skip
    assert [*heard.values()] == [Path("in"), Path("out"), "a.ckpt", settings]
    given = {"liver", "least_ml", "batch_size", "device", "largest", "probabilities"}
    assert given == {field.name for field in fields(settings)}  # a new one: type it


def test_every_option_of_evaluate_reaches_the_library(monkeypatch) -> None:
    heard = recorded(monkeypatch, "mscf.evaluation.folders.evaluate_folders", "tables")
    written = recorded(monkeypatch, "mscf.evaluation.folders.write_folder_tables", None)
    monkeypatch.setattr("mscf.evaluation.folders.summary_lines", lambda tables: [])
    result = run(
        "evaluate", "ours", "true", "--out", "t", "--slices", "all", "--label", "1"
    )
    assert result.exit_code == 0
    assert [*heard.values()] == [Path("ours"), Path("true"), "all", 1]
    assert [*written.values()] == ["tables", Path("t")]


@pytest.mark.parametrize("form", ["onnx", "pt2"])
def test_a_form_that_is_not_wanted_is_not_exported(form, monkeypatch) -> None:
    heard = recorded(monkeypatch, "mscf.inference.export.export", [])
    assert run("export", "run", "out", f"--no-{form}").exit_code == 0
    forms = {name: name != form for name in ("onnx", "pt2")}
    assert heard == {"run": "run", "out": Path("out")} | forms


def test_ctrl_c_names_the_way_on_and_exits_75(monkeypatch, capsys) -> None:
    def stopped(settings) -> None:
        with stop_requests(settings.out):
            raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", stopped)
    arguments = ["train", "--data", "store", "--out", "runs/one"]
    monkeypatch.setattr("sys.argv", ["mscf", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 75
    assert said.err.startswith("stopped: runs/one: ")
    assert "--resume" in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("becomes", [KeyboardInterrupt, ImportError])
def test_a_signal_is_one_line_and_nothing_half_done_is_left(
    becomes, number, monkeypatch, tmp_path, capsys
) -> None:
    def main() -> None:
        with command.one_line_errors(), new_folder(tmp_path / "out"):
            try:
                signal.raise_signal(number)
            except KeyboardInterrupt as error:
                signal.raise_signal(number)  # `timeout` sends it twice
                raise becomes from error

    before = signal.getsignal(number)
    monkeypatch.setattr("sys.argv", ["mscf"])
    with pytest.raises(SystemExit) as ended:
        command.run_script(main)
    said = capsys.readouterr()
    assert ended.value.code == 128 + number
    assert said.err.startswith(
        f"stopped: mscf: was asked to stop (found: {number.name}); the same command "
    )
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["train", "--foo", "1"], "--foo"),
        (["train", "--data", "x", "--out", "y", "--epochs", "many"], "--epochs"),
        (["train", "--out", "y"], "--data"),
        (["tarin"], "tarin"),
    ],
)
def test_what_is_mistyped_is_one_line_and_exit_code_2(
    arguments, found, monkeypatch, capsys
) -> None:
    monkeypatch.setattr("sys.argv", ["mscf", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err.startswith("error: arguments: ")
    assert found in said.err
    assert said.err.count("\n") == 1


def test_no_argument_shows_the_help(monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["mscf"])
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr()
    assert "methods" in said.out + said.err
    assert "error" not in said.out + said.err


REFUSED = ["ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "ENOTDIR"]


@pytest.mark.parametrize("known_place", [False, True])
@pytest.mark.parametrize("number", [getattr(errno, name) for name in REFUSED])
def test_what_the_system_refuses_is_no_bug(
    number, known_place, monkeypatch, capsys
) -> None:
    def main() -> None:
        with command.one_line_errors() if known_place else nullcontext():
            raise OSError(number, os.strerror(number), *["run/a.ckpt"] * known_place)

    monkeypatch.setattr("sys.argv", ["mscf"])
    with pytest.raises(SystemExit) as ended:
        command.run_script(main)
    said = capsys.readouterr().err
    assert ended.value.code == 7
    assert said.startswith(f"error: {'run/a.ckpt' if known_place else 'output'}: must ")
    assert f"(found: {os.strerror(number)})" in said
    assert said.endswith("[storage]\n")
    assert said.count("\n") == 1


PRINTING = """
from mscf import command

def main(n: int, within: bool = False) -> None:
    if within:
        with command.one_line_errors():
            print("x" * n)
    print("x" * n)

command.run_script(main)
"""


def printed_to(output, unbuffered: str, *arguments: str):
    return subprocess.run(
        [sys.executable, "-c", PRINTING, *arguments], stdout=output,
        stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
    )  # fmt: skip


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full is Linux's")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["9"], ["99999"], ["9", "--within"], ["99999", "--within"]],
)
def test_output_to_a_full_disk_is_one_line(arguments, unbuffered) -> None:
    with Path("/dev/full").open("w") as full:
        ended = printed_to(full, unbuffered, *arguments)
    assert ended.stderr == (
        "error: output: must be open to read or write (found: No space left on "
        "device); free some space and run again [storage]\n"
    )
    assert ended.returncode == 7


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_leaves_is_not_told_of(unbuffered) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as left:
        ended = printed_to(left, unbuffered, "9")
    assert (ended.returncode, ended.stderr) == (1, "")


@pytest.mark.parametrize("verbose", [False, True])
def test_a_bug_is_one_line_that_names_the_full_report(
    verbose, monkeypatch, tmp_path, capsys
) -> None:
    def main(verbose: command.Verbose = False) -> None:
        raise TypeError("not this\nway")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["mscf", *["--verbose"] * verbose])
    with pytest.raises(SystemExit) as ended:
        command.run_script(main)
    assert ended.value.code == 1
    *trace, line = capsys.readouterr().err.splitlines()
    assert bool(trace) == verbose
    (report,) = tmp_path.iterdir()
    assert "TypeError: not this" in line
    assert f"please report it with {report} [bug]" in line
    assert "Traceback" in report.read_text()
