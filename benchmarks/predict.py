"""``mscf predict`` of a whole scan on one core: time and memory, from start to picture.

The scan is one phantom's slices of 512 x 512, repeated; the network is the paper's at
192 x 192, untrained, its last bias so low that nothing is drawn. Each runs in a process
of its own. Told are seconds of the processor, which other work on the machine changes
little. Predicted: some five slices a second, a memory that does not grow with them.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

import mscf
from benchmarks.racing import measured, peak
from mscf.checkpoint import write_checkpoint
from mscf.data.phantom import make_phantoms
from mscf.inference.predict import PredictSettings, predict_cases

SIDE = 192  # of the network's slices
THREADS = 1
NOTHING = -1e3  # logit


def figures(quick: bool) -> list[dict]:
    """One line a scan; ``mib`` is the peak, PyTorch and the network with it."""
    size, lengths = (128, (4,)) if quick else (512, (128, 384))
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_weights(folder / "weights.ckpt")
        cases = make_phantoms(folder / "cases", 1, seed=0, size=size)
        image = nib.load(next((cases / "imagesTr").iterdir()))
        for slices in lengths:
            scan = folder / f"{slices}.nii.gz"
            write_scan(image, slices, scan)
            found.append(predicted(scan, f"{slices} slices of {size} x {size}", slices))
    return found


def write_weights(path: Path) -> None:
    """The untrained network as a run would have kept it."""
    torch.manual_seed(0)
    weights = mscf.build("mscf").state_dict()
    last = [key for key in weights if key.endswith("bias")][-1]
    weights[last].fill_(NOTHING)
    window = {"window": [-40.0, 160.0]}
    record = {"method": "mscf", "classes": 1, "image_size": SIDE, "epoch": 0}
    write_checkpoint(path, weights, record | {"settings": window})


def write_scan(image: nib.Nifti1Image, slices: int, path: Path) -> None:
    """So many slices (the last axis), those of the image again and again."""
    voxels = np.asarray(image.dataobj)
    repeats = -(-slices // voxels.shape[2])
    long = np.tile(voxels, (1, 1, repeats))[..., :slices]
    nib.save(nib.Nifti1Image(long, image.affine), path)


def predicted(scan: Path, what: str, slices: int) -> dict:
    """What a new process says of itself, its imports included."""
    command = [sys.executable, "-m", "benchmarks.predict", scan, scan.parent / "out"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kilobytes, seconds = map(float, done.stdout.split()[-2:])
    return measured(
        f"mscf predict, {what}", seconds, "s of a core", slices=slices,
        mib=round(kilobytes / 1024),
    )  # fmt: skip


def main() -> None:
    """SCAN and OUT; prints the peak in kilobytes, and seconds of the processor."""
    torch.set_num_threads(THREADS)
    scan, out = map(Path, sys.argv[1:])
    weights = scan.with_name("weights.ckpt")
    (report,) = predict_cases(scan, out, weights, PredictSettings(device="cpu"))
    assert not report.lesions  # else their measuring would be timed too
    print(peak(), round(time.process_time(), 1))


if __name__ == "__main__":
    main()
