"""Seven Dice of one small set of predictions, counted by hand."""

import pandas as pd
import pytest

from mscf.evaluation.ways_of_counting import ways_of_counting

SLICES = pd.DataFrame(
    [  # two cases: tumour found, missed, false alarm, both empty; tumour half found
        ("a", 10, 10, 10), ("a", 0, 6, 0), ("a", 0, 0, 4), ("a", 0, 0, 0),
        ("b", 20, 40, 20),
    ],
    columns=["case", "tp", "truth_px", "predicted_px"],
)  # fmt: skip
HALF = 2 * 20 / 60


def test_each_way_gives_its_own_number() -> None:
    assert ways_of_counting(SLICES).to_dict() == pytest.approx({
        "mean over slices with tumour": (1 + 0 + HALF) / 3,
        "pixels of slices with tumour, pooled": 2 * 30 / (56 + 30),
        "mean over cases, their slices with tumour": (20 / 26 + HALF) / 2,
        "mean over all slices, both empty counts 1": (1 + 0 + 0 + 1 + HALF) / 5,
        "mean over all slices, both empty left out": (1 + 0 + 0 + HALF) / 4,
        "mean over cases, whole volumes": (20 / 30 + HALF) / 2,
        "voxels of all cases, pooled": 2 * 30 / (56 + 34),
    })  # fmt: skip


def test_slices_with_tumour_alone_leave_open_what_needs_the_others() -> None:
    found = ways_of_counting(SLICES[SLICES["truth_px"] > 0])
    assert found.isna().tolist() == [False] * 3 + [True] * 4


def test_a_case_without_tumour_and_without_prediction_counts_1() -> None:
    clean = pd.DataFrame([("c", 0, 0, 0)], columns=SLICES.columns)
    found = ways_of_counting(pd.concat([SLICES, clean]))
    assert found["mean over cases, whole volumes"] == pytest.approx(
        (20 / 30 + HALF + 1) / 3
    )
