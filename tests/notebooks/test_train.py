"""`notebooks/train.ipynb` by the commands of the README."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.timeout(900)
check = pytest.mark.check

ROOT = Path(__file__).parents[2]


def papermill(output: Path, *parameters: str) -> subprocess.CompletedProcess:
    pairs = [part for p in parameters for part in ("-p", *p.split("=", 1))]
    return subprocess.run(
        [sys.executable, "-m", "papermill", "notebooks/train.ipynb", output, *pairs],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow  # make book runs its demo on phantoms
def test_one_epoch_on_phantoms_runs_to_the_last_cell(tmp_path) -> None:
    out = tmp_path / "run"
    done = papermill(tmp_path / "train.ipynb", "epochs=1", f"out={out}", "gpus=0")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (out / "per_slice.csv").is_file()
    notebook = nbformat.read(tmp_path / "train.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)


@pytest.mark.slow  # test_notebook_command.py has mscf+only-128, sooner
@pytest.mark.parametrize(
    "method",
    ["unet", "danet", "mscf+channel"],  # danet: three outputs in training
)
def test_it_runs_to_the_last_cell_with_any_method(method, tiny_store, tmp_path) -> None:
    done = papermill(
        tmp_path / "train.ipynb", f"data={tiny_store}", f"out={tmp_path / 'run'}",
        f"method={method}", "epochs=1", "batch_size=7", "gpus=0", "pretrained=False",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        pytest.param(
            "gpus=64", "64 GPUs were asked for, this machine has", marks=check
        ),
        pytest.param(
            "method=unett", "method: must be a key of METHODS", marks=pytest.mark.slow
        ),
        pytest.param(
            "batch_size=0", "batch_size: must be at least 1", marks=pytest.mark.slow
        ),
    ],
)
def test_a_bad_parameter_is_one_error_in_the_first_cell_after_them(
    parameter, message, tmp_path
) -> None:
    done = papermill(tmp_path / "train.ipynb", parameter, f"out={tmp_path / 'run'}")
    assert done.returncode == 1
    notebook = nbformat.read(tmp_path / "train.ipynb", as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    injected = next(
        i for i, c in enumerate(code) if "injected-parameters" in c.metadata.tags
    )
    (error,) = [o for o in code[injected + 1].outputs if o.output_type == "error"]
    assert message in error.evalue
    assert all(cell.execution_count is None for cell in code[injected + 2 :])
    assert not (tmp_path / "run").exists()
