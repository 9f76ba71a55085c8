"""LiTS as its organisers give it out: downloaded by hand, recognised and checked here.

Two archives, ``Training Batch 1`` (cases 0 to 27) and ``Training Batch 2`` (28 to 130),
hold ``volume-N.nii`` and ``segmentation-N.nii``. Copies elsewhere sort the same names
into other folders; ``find_cases`` finds them in all of these.
"""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from mscf.data.cases import Case, find_cases
from mscf.data.nifti import read_nifti
from mscf.data.volume_files import lits_files
from mscf.errors import Finding, InputError, raise_all, warn

CASES = 131
BATCHES = {"Training Batch 1": range(28), "Training Batch 2": range(28, CASES)}


def is_lits(folder: Path) -> bool:
    """Whether a folder holds LiTS's own files, packed or not, and not MSD's."""
    if not folder.is_dir() or (folder / "dataset.json").exists():
        return False
    return bool(archives(folder)) or any(lits_files(folder))


def check_lits(folder: Path) -> list[Case]:
    """The cases, each image and its labels read to the end; says which are missing.

    Raises:
        InputError: still packed; half a pair; damaged files, all of them named.
    """
    volumes, segmentations = lits_files(folder)
    if not volumes and not segmentations:
        raise InputError(
            archives(folder)[0], "must be unpacked", "an archive", "lits-packed",
            "unpack it in its folder and run again",
        )  # fmt: skip
    cases = find_cases(folder)
    errors = []
    for case in tqdm(cases, "checking", leave=False, disable=None):
        for path in (case.image, case.label):
            try:
                read_nifti(path)
            except InputError as error:
                errors.append(error)
    raise_all(errors)
    say_missing(folder, cases)
    return cases


def say_missing(folder: Path, cases: list[Case]) -> None:
    """Warns of the cases of LiTS that are not there, by the archive they are in."""
    here = {int(case.name.removeprefix("volume-")) for case in cases}
    for batch, numbers in BATCHES.items():
        missing = [n for n in numbers if n not in here]
        if not missing:
            continue
        found = (
            "none" if len(missing) == len(numbers) else f"without {in_words(missing)}"
        )
        warn(
            Finding(
                str(folder),
                f"holds {batch}'s {len(numbers)} cases when it is complete",
                found,
                "lits-missing",
                "training goes on without them",
            )
        )


def in_words(numbers: list[int]) -> str:
    """The first few of a list."""
    more = f" and {len(numbers) - 5} more" if len(numbers) > 5 else ""
    return ", ".join(map(str, numbers[:5])) + more


def archives(folder: Path) -> list[Path]:
    """Archives in a folder that are called like those of LiTS."""
    return sorted(
        path
        for path in folder.glob("*.zip")
        if "training" in path.name.lower() and "batch" in path.name.lower()
    )
