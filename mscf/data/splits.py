"""Which slices train and which test: five folds, by patient or by slice.

One fold against four is the paper's 4:1. "Slice" is the paper's words, "randomly
split"; it lets neighbouring slices of one patient stand on both sides. "Patient" does
not, and is the default.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.data.spreadsheet import as_csv
from mscf.errors import InputError, SettingsError
from mscf.replacing import write_text

FOLDS = 5
KEY = ["case", "patient", "slice"]


def make_split(index: pd.DataFrame, kind: str, seed: int) -> pd.DataFrame:
    """A fold from 0 to 4 for every slice of a store's index: its key and ``fold``.

    Raises:
        SettingsError: by patient, with one patient only.
    """
    random = np.random.default_rng(seed)
    split = index[KEY].reset_index(drop=True)
    if kind == "slice":
        # Two draws, so that slices without tumour do not unbalance those with it.
        for has_tumour in (True, False):
            rows = np.flatnonzero((index["stored_tumour_px"] > 0) == has_tumour)
            split.loc[random.permutation(rows), "fold"] = np.arange(len(rows)) % FOLDS
        return split.astype({"fold": "int64"})
    weight = (index["stored_tumour_px"] > 0).groupby(index["patient"]).sum()
    if len(weight) < 2:
        raise SettingsError(
            "split", "needs at least two patients", len(weight), "split-patients",
            "take split slice, or give more cases",
        )  # fmt: skip
    load, fold_of = np.zeros(FOLDS, int), {}
    for patient in random.permutation(sorted(weight.index[weight > 0])):
        fold = int(load.argmin())  # the one with the fewest tumour slices so far
        fold_of[patient] = fold
        load[fold] += weight[patient]
    # Dealt afterwards, so that those without tumour move none of the others.
    for n, patient in enumerate(random.permutation(sorted(weight.index[weight == 0]))):
        fold_of[patient] = n % FOLDS
    return split.assign(fold=split["patient"].map(fold_of).astype("int64"))


def write_split(split: pd.DataFrame, folder: Path) -> None:
    """``split.csv``: the manifest of who trains and who tests."""
    write_text(folder / "split.csv", as_csv(split))


def split_checksum(split: pd.DataFrame) -> str:
    """SHA-256 of what ``split.csv`` holds."""
    return hashlib.sha256(as_csv(split).encode()).hexdigest()


def train_and_test_rows(
    index: pd.DataFrame, split: pd.DataFrame, fold: int, slices: str = "tumour"
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the store that train (all folds but ``fold``) and that test.

    Those whose tumour vanished in resizing are left out. ``slices`` "all" trains on
    slices without tumour too; tested are always those with tumour, as in the paper.

    Raises:
        SettingsError: no such fold, or nothing left to train on.
        InputError: no tumour in the fold that tests.
    """
    if not 0 <= fold < FOLDS:
        raise SettingsError("fold", f"must be 0 to {FOLDS - 1}", fold, "fold")
    with_tumour = (index["stored_tumour_px"] > 0).to_numpy()
    usable = ~index["tumour_lost"].to_numpy() if slices == "all" else with_tumour
    tests = (split["fold"] == fold).to_numpy()
    rows = index["row"].to_numpy()
    training, test = rows[usable & ~tests], rows[with_tumour & tests]
    if not (with_tumour & ~tests).any():
        raise SettingsError(
            "fold", "must leave slices with tumour to train on", "none", "split-empty"
        )
    if not len(test):
        raise InputError(
            f"fold {fold}", "must have a slice with tumour to test on", "none",
            "no-tumour", "choose another fold or seed, or give more cases",
        )  # fmt: skip
    return training, test


def of_some_patients(
    index: pd.DataFrame, rows: NDArray[np.int64], patients: int, seed: int
) -> NDArray[np.int64]:
    """Those training rows that are of so many patients, drawn by the seed.

    Each of the patients has tumour. Fewer patients are among the more of equal seed, so
    that a learning curve adds to what was there.

    Raises:
        SettingsError: there are not so many.
    """
    of = index.set_index("row").loc[rows]
    there = sorted(of["patient"][of["stored_tumour_px"] > 0].unique())
    if patients > len(there):
        raise SettingsError(
            "patients", f"must be at most the {len(there)} with tumour to train on",
            patients, "patients",
        )  # fmt: skip
    drawn = np.random.default_rng(seed).permutation(there)[:patients]
    return rows[of["patient"].isin(drawn).to_numpy()]
