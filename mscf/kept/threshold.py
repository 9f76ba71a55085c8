"""One HU threshold on a fold of a store, kept where its networks' runs are.

What a network must beat can be had without one: beside runs that were made elsewhere.
"""

from __future__ import annotations

from pathlib import Path

from mscf.data.splits import make_split, train_and_test_rows
from mscf.data.store import Store
from mscf.evaluation.baseline import evaluate_threshold, fit_threshold
from mscf.evaluation.kept_run import THRESHOLD
from mscf.evaluation.tables import identify, write_rows


def keep_threshold(store: Store, results: Path, fold: int, seed: int) -> Path:
    """Fits it on a patient fold's training slices, keeps its rows of the others; where.

    ``seed`` is that of the split.

    Raises:
        SettingsError: no such fold, or the store cannot be split so.
    """
    kind = "patient"
    split = make_split(store.index, kind, seed)
    training, test = train_and_test_rows(store.index, split, fold)
    rows = evaluate_threshold(fit_threshold(store, training), store, test)
    data = store.name
    folder = results / data / kind / THRESHOLD / f"fold-{fold}/seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    signed = identify(rows, data, kind, fold, THRESHOLD, seed)
    write_rows(signed, folder / "per_slice.csv")
    return folder
