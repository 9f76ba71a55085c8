"""Lesions and components by size, by one half and by any overlap."""

import numpy as np
import pandas as pd
import pytest

from mscf.evaluation.lesion_claim import lesion_claim
from mscf.evaluation.lesion_sizes import (
    cases_by_any_overlap,
    components_by_size,
    lesions_by_size,
)


def components(*rows: tuple, case: str = "a", fold: int = 0) -> pd.DataFrame:
    """Rows of ``lesions.csv``: lesion, voxels, mm, common, iou."""
    names = ["lesion", "voxels", "diameter_mm", "common", "iou"]
    table = pd.DataFrame(rows, columns=names)
    return table.assign(case=case, patient=case.upper(), fold=fold, seed=0)


NONE = np.nan
ONE = pd.concat([
    components((1, 9, NONE, 9, 0.6), (1, 10, NONE, 1, 0.1), (1, 1000, NONE, 0, 0.0),
               (0, 15, NONE, 9, 0.6), (0, 99, NONE, 1, 0.1), (0, 5, NONE, 0, 0.0)),
    components((1, 50, 9.9, 50, 0.5), (1, 60, 10.0, 60, 0.51),
               (0, 100, 14.0, 50, 0.5), (0, 70, 20.0, 60, 0.51), case="b", fold=1),
])  # fmt: skip
NOTHING = ONE[ONE["lesion"] == 1].assign(common=0, iou=0.0)


def test_each_lesion_stands_in_its_size_found_and_met() -> None:
    table = lesions_by_size({"mscf": ONE, "cenet": NOTHING})
    assert table.index.tolist() == [
        "below 10 mm", "10 to 20 mm", "above 20 mm", "1 to 9 voxels",
        "10 to 99 voxels", "100 to 999 voxels", "1000 voxels and more",
        "all",
    ]  # fmt: skip
    assert table["", "lesions"].tolist() == [1, 1, 0, 1, 1, 0, 1, 5]
    assert table["", "patients"].tolist() == [1, 1, 0, 1, 1, 0, 1, 2]
    assert table["mscf", "found"].tolist() == [0, 1, 0, 1, 0, 0, 0, 2]
    assert table["mscf", "met"].tolist() == [1, 1, 0, 1, 1, 0, 0, 4]
    assert (table["cenet"] == 0).all(axis=None)


def test_each_component_stands_in_its_size_false_by_either_rule() -> None:
    table = components_by_size({"mscf": ONE, "cenet": ONE})
    assert table["mscf", "drawn"].tolist() == [0, 1, 1, 1, 2, 0, 0, 5]
    assert table["mscf", "no lesion"].tolist() == [0, 1, 0, 1, 1, 0, 0, 3]
    assert table["mscf", "meet none"].tolist() == [0, 0, 0, 1, 0, 0, 0, 1]
    assert table["cenet"].equals(table["mscf"])


def test_sizes_are_of_the_runs_that_all_methods_share() -> None:
    table = lesions_by_size({"mscf": ONE, "cenet": ONE[ONE["fold"] == 1]})
    assert table["", "lesions"].tolist() == [1, 1, 0, 0, 0, 0, 0, 2]


def test_a_method_that_draws_nothing_has_no_component() -> None:
    table = components_by_size({"mscf": ONE, "cenet": NOTHING})
    assert (table["cenet"] == 0).all(axis=None)
    assert table["mscf", "drawn"]["all"] == 5


def test_by_any_overlap_what_is_met_is_found() -> None:
    rows = cases_by_any_overlap(ONE).set_index("case")
    assert rows["lesions_below_10"].tolist()[1:] == [1]
    assert np.isnan(rows.loc["a", ["lesions_below_10", "detected_below_10"]]).all()
    assert rows.loc["b", "detected_below_10"] == 1
    assert rows["false_50"].tolist() == [1, 0]
    assert rows["patient"].tolist() == ["A", "B"]
    claim = lesion_claim({"mscf": cases_by_any_overlap(ONE),
                          "cenet": cases_by_any_overlap(NOTHING)})  # fmt: skip
    assert claim["difference"].iloc[0] == pytest.approx(100)
    assert claim["patients"].tolist() == [1, 2]
