"""The same slices as several methods drew them, for Fig. 4.

Either from the few slices that were kept with each run, or drawn anew by the networks
of finished runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.data.dataset import SliceDataset
from mscf.data.volume import TUMOUR
from mscf.errors import InputError
from mscf.evaluation.chosen_slices import ChosenSlices, choose_slices
from mscf.evaluation.evaluate import predict
from mscf.evaluation.metrics import slice_metrics
from mscf.kept.examples import read_examples
from mscf.kept.finished_run import FinishedRun, is_finished, open_run
from mscf.kept.parameters import check_at_least
from mscf.training.passes import precision

ONE = "fold-0/seed-0"  # the folder of a run below its method
KEY = ["case", "slice"]


@dataclass(frozen=True)
class Drawings:
    """``n`` slices, what is there, and what each method drew.

    ``names`` says which slice; ``hu``, ``truth`` and the ``masks`` of every method that
    has a run are ``(n, H, W)``; ``missing`` have none. ``chosen`` counts from 0, of
    ``pool`` slices that there were to choose from.
    """

    names: list[str]
    hu: NDArray[np.int16]
    truth: NDArray[np.bool_]
    masks: dict[str, NDArray[np.bool_]]
    missing: tuple[str, ...]
    chosen: ChosenSlices
    pool: int

    def dice(self) -> pd.DataFrame:
        """A row a slice, a column a method."""
        return dice_table(self.masks, self.truth)

    def of(self, i: int) -> tuple[NDArray, NDArray, dict[str, NDArray]]:
        """HU, truth and every method's mask of one slice, ``(H, W)`` each."""
        masks = {method: of_all[i] for method, of_all in self.masks.items()}
        return self.hu[i], self.truth[i], masks

    def in_words(self, titles: Mapping[str, str]) -> str:
        """What was there to choose from, and whose drawings are missing."""
        asked = len(self.masks) + len(self.missing)
        said = (
            f"{len(self.masks)} of {asked} methods have a run here; chosen from "
            f"{self.pool} slices."
        )
        lacking = ", ".join(titles[method] for method in self.missing)
        if lacking:
            said += f" Not run, not finished or not kept: {lacking}."
        return said


def kept_drawings(
    place: Path, methods: Sequence[str], n: int = 7, seed: int = 0, one: str = ONE
) -> Drawings:
    """From ``examples.npz`` of each method under ``place``, ``results/<data>/<split>``.

    Raises:
        SettingsError: ``n`` is below 1, or ``seed`` below 0.
        InputError: no method has any, or two have other slices.
    """
    check_at_least(1, n=n)
    check_at_least(0, seed=seed)
    there, missing = those_with(place, methods, one, "kept examples", has_examples)
    kept = {method: read_examples(place / method / one) for method in there}
    first = kept[there[0]]
    for method, other in kept.items():
        for name in ("row", "hu", "truth"):
            if not np.array_equal(first[name], other[name]):
                raise other_slices(place / method / one, there[0])
    masks = {method: of_one["probability"] > 127 for method, of_one in kept.items()}
    chosen = choose_slices(dice_table(masks, first["truth"]), n, seed)
    return Drawings(
        [str(case) for case in first["case"]],  # one slice a patient
        first["hu"],
        first["truth"],
        masks,
        missing,
        chosen,
        len(first["row"]),
    )


def fresh_drawings(
    place: Path,
    methods: Sequence[str],
    n: int = 7,
    seed: int = 0,
    one: str = ONE,
    data: Path | str | None = None,
) -> Drawings:
    """Drawn now by the networks of the finished runs ``<place>/<method>/<one>``.

    The slices are chosen from all that the runs were tested on. ``data``: where their
    store lies now, see `open_run`.

    Raises:
        SettingsError: ``n`` is below 1, or ``seed`` below 0.
        InputError: no method has a run, or two were tested on other slices.
        CheckpointError: a run's record is damaged, its store is gone or another, its
            rows are not of its test slices.
    """
    check_at_least(1, n=n)
    check_at_least(0, seed=seed)
    there, missing = those_with(place, methods, one, "a finished run", is_finished)
    runs = {method: open_run(place / method / one, data) for method in there}
    tables = {method: tested(run) for method, run in runs.items()}
    first = tables[there[0]]
    for method, table in tables.items():
        same_store = runs[method].store.checksum == runs[there[0]].store.checksum
        if not (same_store and table.index.equals(first.index)):
            raise other_slices(runs[method].folder, there[0])
    found = choose_slices(pd.DataFrame(tables), n, seed)
    keys = found.all()
    test = runs[there[0]].test
    rows = test.index.set_index(KEY).loc[keys, "row"].to_numpy()
    return Drawings(
        [f"{case}, slice {slice_}" for case, slice_ in keys],
        test.store.images[rows],
        test.store.masks[rows] == TUMOUR,
        {method: draw(run, rows) for method, run in runs.items()},
        missing,
        ChosenSlices(
            [keys.index(key) for key in found.random],
            *(keys.index(key) for key in (found.best, found.worst, found.disputed)),
        ),
        len(first),
    )


def has_examples(folder: Path) -> bool:
    """Whether slices of a kept run are there to be shown."""
    return (folder / "examples.npz").is_file()


def those_with(
    place: Path,
    methods: Sequence[str],
    one: str,
    what: str,
    has: Callable[[Path], bool],
) -> tuple[list[str], tuple[str, ...]]:
    """The methods whose folder has what is needed, and those whose has not.

    Raises:
        InputError: none has.
    """
    there = [method for method in methods if has(place / method / one)]
    if not there:
        raise InputError(
            place, f"must hold {what} of a method in {one}", "none", "drawings-none",
            "train and keep a run: make grid",
        )  # fmt: skip
    return there, tuple(method for method in methods if method not in there)


def tested(run: FinishedRun) -> pd.Series:
    """Dice by case and slice, of every slice that the run was tested on."""
    return run.rows().set_index(KEY)["dice"].sort_index()


def draw(run: FinishedRun, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The masks ``(n, H, W)`` of a run's network on these rows of its store."""
    slices = SliceDataset(run.store, rows, run.settings.window)
    with precision(run.settings):
        parts = predict(run.network(), slices, len(rows), run.settings.device)
        return np.concatenate([masks for _, masks in parts])


def dice_table(
    masks: dict[str, NDArray[np.bool_]], truth: NDArray[np.bool_]
) -> pd.DataFrame:
    """Dice of every slice and method."""
    return pd.DataFrame(
        {
            method: slice_metrics(of_one, truth)["dice"]
            for method, of_one in masks.items()
        }
    )


def other_slices(folder: Path, first: str) -> InputError:
    """That two runs cannot stand side by side."""
    return InputError(
        folder, f"must show the slices that {first} shows", "others",
        "drawings-other", "keep or train both on one store and fold",
    )  # fmt: skip
