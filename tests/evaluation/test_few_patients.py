"""Intervals over few patients are not printed without a word on what they cover."""

import re
from operator import attrgetter

import pandas as pd
import pytest

from mscf.evaluation.statements import few_patients
from mscf.paths import root


def of(slices: list[int]) -> pd.DataFrame:
    """A row a slice of each patient, as often as there are scales."""
    rows = [(f"P{p}", f"case_{p}", s) for p, n in enumerate(slices) for s in range(n)]
    table = pd.DataFrame(rows, columns=["patient", "case", "slice"])
    return pd.concat([table.assign(channels=c) for c in (64, 128)])


def test_patients_count_by_the_weight_of_their_slices() -> None:
    assert few_patients(of([3] * 20)) == ""
    assert "the 20 patients tell as much as 13 with" in few_patients(
        of([40] + [8] * 19)
    )
    assert "the 19 patients tell as much as 19 with" in few_patients(of([3] * 19))


def test_of_one_patient_there_is_no_interval_to_speak_of() -> None:
    assert few_patients(of([5])) == ""


WITH_INTERVALS = ("ablation", "audit", "excerpt", "fig1", "leakage", "results",
                  "spatial_context", "table1", "train")  # fmt: skip


@pytest.mark.parametrize(
    "path", sorted(root().glob("notebooks/*.ipynb")), ids=attrgetter("stem")
)
def test_a_page_with_intervals_over_patients_says_what_they_cover(path) -> None:
    text = " ".join(path.read_text("utf-8").split())
    shows = re.search(r"interval\W+(\w+\W+){0,3}?over patients", text) is not None
    assert shows <= (path.stem in WITH_INTERVALS)
    if path.stem in WITH_INTERVALS:
        assert re.search(r"few_patients\(|\bnotes\(|covers less", text)
