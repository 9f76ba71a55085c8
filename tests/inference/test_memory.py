"""What a prediction takes of memory, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dark import AFFINE, write_weights

PROGRAMME = r"""
import re, sys
from pathlib import Path
from dark import DarkMethod
from mscf import models
from mscf.inference.predict import PredictSettings, predict_cases
models.METHODS = {**models.METHODS, "dark": DarkMethod()}
source, target, weights, liver = map(Path, sys.argv[1:])
settings = PredictSettings(liver, device="cpu", probabilities=True)
list(predict_cases(source, target, weights, settings))
print(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
"""
# Not getrusage: its peak has that of the process which started this one in it.
SIDE = 128


def peak_mb(slices: int, folder: Path) -> float:
    """Peak of a prediction of so many slices, in MB."""
    random = np.random.default_rng(slices)
    ct = random.integers(105, 115, (SIDE, SIDE, slices), dtype=np.int16)
    ct[40:60, 50:80, 3:-3] = 40
    ct[0] = -1000
    liver = np.zeros(ct.shape, np.uint8)
    liver[20:100, 30:120, 1:] = 1
    nib.save(nib.Nifti1Image(ct, AFFINE), folder / f"{slices}.nii.gz")
    nib.save(nib.Nifti1Image(liver, AFFINE), folder / f"liver-{slices}.nii.gz")
    done = subprocess.run(
        [
            sys.executable, "-c", PROGRAMME, folder / f"{slices}.nii.gz",
            folder / f"{slices}", folder / "a.ckpt", folder / f"liver-{slices}.nii.gz",
        ],
        check=True, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent,
    )  # fmt: skip
    assert nib.load(folder / f"{slices}" / f"{slices}.nii.gz").shape[2] == slices
    return int(done.stdout) / 1024


@pytest.mark.check
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_thousand_slices_take_the_memory_of_a_hundred(tmp_path) -> None:
    write_weights(tmp_path / "a.ckpt")
    few, many = (peak_mb(slices, tmp_path) for slices in (100, 1000))
    voxels = 900 * SIDE**2 * 2 / 2**20  # MB that a reader of whole volumes adds
    assert voxels > 28
    assert many - few < voxels / 4
