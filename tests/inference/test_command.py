"""The commands as a user types them."""

import signal
import subprocess
import sys

import pytest
from dark import write_ct
from typer.testing import CliRunner

from mscf.cli import app
from mscf.inference import predict as predict_module


def typed(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_predict_says_where_the_mask_is_and_that_it_is_no_medical_device(
    run, tmp_path
) -> None:
    write_ct(tmp_path / "a.nii.gz")
    result = typed(
        "predict", tmp_path / "a.nii.gz", tmp_path / "out", "--weights", run,
        "--device", "cpu", "--least-ml", 0.5,
    )  # fmt: skip
    assert result.exit_code == 0
    assert "no medical device" in result.stderr
    assert result.stdout.startswith("a: 1 lesion predicted, ")
    assert result.stdout.endswith(f"{tmp_path / 'out' / 'a'}.nii.gz\n")


@pytest.mark.parametrize(
    ("source", "weights", "code", "check"),
    [
        ("none.nii", "run", 3, "folder-missing"),
        ("bad.nii.gz", "run", 3, "gz-mismatch"),
        ("a.nii.gz", "released", 2, "weights-missing"),
        ("a.nii.gz", "bad.nii.gz", 4, "checkpoint-format"),
    ],
)
def test_predict_fails_with_one_line_and_an_exit_code(
    source, weights, code, check, run, tmp_path
) -> None:
    write_ct(tmp_path / "a.nii.gz")
    (tmp_path / "bad.nii.gz").write_bytes(b"nothing of the kind")
    result = typed(
        "predict", tmp_path / source, tmp_path / "out", "--weights", tmp_path / weights
    )
    assert result.exit_code == code
    notice, line = result.stderr.splitlines()
    assert "no medical device" in notice
    assert line.startswith("error: ")
    assert line.endswith(f"[{check}]")
    assert "Traceback" in typed(
        "predict", tmp_path / source, tmp_path / "out", "--weights", tmp_path / weights,
        "--verbose",
    ).stderr  # fmt: skip


def test_a_signal_leaves_what_is_done_and_tells_what_was_refused(
    run, tmp_path, monkeypatch
) -> None:
    for name in ("a", "b", "c"):
        write_ct(tmp_path / "ct" / f"{name}.nii.gz")
    (tmp_path / "ct" / "b.nii.gz").write_bytes(b"nothing of the kind")
    whole = predict_module.write_on_grid

    def and_a_signal(mask, scan, path) -> None:
        if path.name == "c.nii.gz":
            signal.raise_signal(signal.SIGTERM)
        whole(mask, scan, path)

    monkeypatch.setattr(predict_module, "write_on_grid", and_a_signal)
    result = typed(
        "predict", tmp_path / "ct", tmp_path / "out", "--weights", run,
        "--device", "cpu",
    )  # fmt: skip
    assert result.exit_code == 143
    _, refused, stopped = result.stderr.splitlines()
    assert "b.nii.gz" in refused
    assert stopped.startswith("stopped: ")
    assert stopped.endswith("[stopped]")
    assert (tmp_path / "out" / "cases.csv").read_text().count("\na,") == 1
    assert not list((tmp_path / "out").glob("c.*"))


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_help_waits_for_no_slow_import(command) -> None:
    code = (
        "import sys; from mscf.cli import app\n"
        f"app(['{command}', '--help'], standalone_mode=False)\n"
        "slow = {'torch', 'nibabel', 'pandas', 'matplotlib'} & {*sys.modules}\n"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
