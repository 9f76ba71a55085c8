"""Small kept runs: a folder of results as the grid leaves it, without any training."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from mscf.evaluation.metrics import slice_metrics
from mscf.evaluation.tables import identify, write_rows

SIZE = 24


def measured(
    quality=0.8, seed=0, patients=8, slices=5, size=SIZE, empty=False
) -> pd.DataFrame:
    """Rows of ``patients`` times ``slices``; the truth is the same for every call.

    A square of 6 x 6, from whose pixels each is drawn with probability ``quality``.
    """
    random = np.random.default_rng(seed)
    rows = []
    for number in range(patients * slices):
        truth, prediction = np.zeros((2, size, size), dtype=bool)
        corner = 2 + number % 7
        truth[corner : corner + 6, 3:9] = True
        if not empty:
            prediction[corner + 1 : corner + 7, 3:9] = random.random((6, 6)) < quality
        patient = number % patients
        row = {"case": f"c{patient}", "patient": f"p{patient}", "slice": number}
        row |= {"height": size, "width": size, "spacing_y": 1.0, "spacing_x": 1.0}
        rows.append(row | slice_metrics(prediction, truth))
    return pd.DataFrame(rows)


def record(method: str, fold: int, seed: int, n_slices: int, **settings) -> dict:
    """What of ``run.json`` a table reads."""
    return {
        "settings": {"method": method, "fold": fold, "seed": seed, "epochs": 2}
        | settings,
        "store": {"checksum": "a", "size": SIZE},
        "slices": {"training": 9, "test": n_slices},
        "status": "finished", "pretrained": "not loaded", "parameters": 7,
        "seconds": 3600.0, "epochs_done": 2, "machine": {"device": "cpu"},
    }  # fmt: skip


def keep(
    place: Path,
    method: str,
    rows: pd.DataFrame,
    fold=0,
    seed=0,
    trained=True,
    **settings,
) -> Path:
    """Writes one run below ``place``, ``<data>-<size>/<split>``; its folder."""
    folder = place / method / f"fold-{fold}/seed-{seed}"
    folder.mkdir(parents=True)
    data, split = place.parts[-2:]
    write_rows(
        identify(rows, data, split, fold, method, seed), folder / "per_slice.csv"
    )
    if trained:
        made = record(method, fold, seed, len(rows), **settings)
        (folder / "run.json").write_text(json.dumps(made))
    return folder
