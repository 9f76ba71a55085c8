"""What stands in for scans of one's own, and for weights, where a reader has none.

Four phantoms that no network here was trained on, each scan with its label in folders
named as people name theirs, and a network that phantoms have taught for minutes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from mscf.data.one_at_a_time import one_at_a_time
from mscf.data.phantom import Phantom, phantom
from mscf.data.phantom.files import write_volume
from mscf.replacing import new_folder, write_text
from mscf.training.loop import train
from mscf.training.notebook import PHANTOMS, demo_folder, demo_store, notebook_settings

SEED, CASES, SIZE = 11, 4, 128  # the phantoms that train have seed 0
STEP = 4  # every fourth slice: a page has seconds
EPOCHS, RATE = 2, 5e-4  # of the network


def demo_scans(base: Path) -> tuple[Path, Path]:
    """The folders of the scans and of their labels, made where missing."""
    own = demo_folder(base) / f"own-{SEED}"
    if not own.is_dir():
        with one_at_a_time(own.parent / f".{own.name}.lock", own):
            if not own.is_dir():  # nor made by a process that this one waited for
                write_scans(own)
    return own / "scans", own / "labels"


def write_scans(own: Path) -> None:
    """All of the two folders, or nothing."""
    with new_folder(own) as folder:
        (folder / "scans").mkdir()
        (folder / "labels").mkdir()
        table = ["case,patient,spacing_known"]
        for number in tqdm(range(CASES), desc="phantoms", disable=None):
            made = every(STEP, phantom(number, SEED, SIZE, "large"))
            name = f"scan_{number}"
            write_volume(folder / f"scans/{name}.nii.gz", made, made.hu)
            write_volume(folder / f"labels/{name}_seg.nii.gz", made, made.labels)
            table.append(f"{name},P{made.patient},true")
        write_text(folder / "scans/patients.csv", "\n".join([*table, ""]))


def every(step: int, made: Phantom) -> Phantom:
    """The same scan with one slice in ``step``."""
    return replace(
        made, hu=made.hu[..., ::step], labels=made.labels[..., ::step],
        affine=made.affine @ np.diag([1, 1, step, 1]),
    )  # fmt: skip


def demo_weights(base: Path, gpus: int | None) -> Path:
    """The folder of a run on phantoms, trained where missing: minutes on two cores."""
    settings = notebook_settings(
        base, data=PHANTOMS, out=str(demo_folder(Path()) / "network"), epochs=EPOCHS,
        learning_rate=RATE, pretrained=False, gpus=gpus, resume=True,
    )  # fmt: skip
    if not (settings.out / "summary.json").is_file():  # written when all else is
        demo_store(base)
        train(settings)
    return settings.out
