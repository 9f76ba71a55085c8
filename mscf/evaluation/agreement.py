"""Two folders of kept runs beside each other: is a run that was done again the same?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from mscf.errors import InputError
from mscf.evaluation.comparable import NO_RECIPE, SLICE
from mscf.evaluation.kept_run import read_run, run_folders

COUNTS = ["tp", "fp", "fn"]  # with the truth's own, a mask's in all that is compared
SAME, OTHER_MASKS, OTHER_DATA = "the same", "other masks", "other data"


def agreement(kept: Path, again: Path) -> pd.DataFrame:
    """A row for each run that both folders, ``<results>/<data>-<size>``, hold.

    Columns: split, method, fold, seed, outcome; slices of the first, and equal of these
    (the same counts of true and false pixels in both); kept and again, the mean Dice of
    both; store, whether it is one by its checksum; recipe, the settings that differ.
    Outcomes:

    - ``the same``: every slice is equal;
    - ``other masks``: the slices and their truth are equal, some predictions are not;
    - ``other data``: other slices, or the same with another truth.

    Raises:
        InputError: a run is damaged, or there is none that both hold.
    """
    rows = []
    for folder in sorted(kept.glob("*/*")):
        split, method = folder.parts[-2:]
        ours, theirs = run_folders(folder), run_folders(again / split / method)
        for fold, seed in sorted(ours.keys() & theirs.keys()):
            first = read_run(ours[fold, seed], method, fold, seed)
            second = read_run(theirs[fold, seed], method, fold, seed)
            one = {"split": split, "method": method, "fold": fold, "seed": seed}
            rows.append(one | compared(*first, *second))
    if not rows:
        raise InputError(
            again, f"must hold a run that {kept} holds too", "none", "agreement-none",
            "name the folders of one set of data: results/phantoms-192",
        )  # fmt: skip
    return pd.DataFrame(rows)


def compared(
    kept: pd.DataFrame, record: dict | None, again: pd.DataFrame, other: dict | None
) -> dict[str, object]:
    """The rows and records of one run, kept and done again."""
    columns = [*SLICE, "truth_px"]
    same_truth = kept[columns].equals(again[columns])  # both are read in one order
    both = kept.merge(again, on=SLICE)
    equal = (both[[f"{n}_x" for n in COUNTS]].to_numpy()
             == both[[f"{n}_y" for n in COUNTS]].to_numpy()).all(axis=1)  # fmt: skip
    n_equal = int(equal.sum())
    masks = SAME if n_equal == len(kept) else OTHER_MASKS
    return {
        "outcome": masks if same_truth else OTHER_DATA,
        "slices": len(kept),
        "equal": n_equal,
        "kept": kept["dice"].mean(),
        "again": again["dice"].mean(),
        "store": same_store(record, other),
        "recipe": ", ".join(differing(record, other)) or "same",
    }


def same_store(record: Mapping | None, other: Mapping | None) -> str:
    """``one`` or ``another``, by checksum; empty where a run has no record of it."""
    if record is None or other is None:
        return ""
    stores = [of["store"]["checksum"] for of in (record, other)]
    return "one" if stores[0] == stores[1] else "another"


def differing(record: Mapping | None, other: Mapping | None) -> list[str]:
    """Settings of the recipe in which two runs differ, and their torch."""
    if record is None or other is None:
        return [] if record is other else ["one is not trained"]
    ours, theirs = record["settings"], other["settings"]
    names = (ours.keys() & theirs.keys()) - NO_RECIPE
    found = sorted(name for name in names if ours[name] != theirs[name])
    torch = [of.get("versions", {}).get("torch") for of in (record, other)]
    return found + (["torch"] if torch[0] != torch[1] else [])
