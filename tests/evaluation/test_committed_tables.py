"""Tables committed beside the runs are those that the runs give: no number drifts."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from kept_runs import keep, measured

from mscf.kept.split_tables import write_grid_tables
from mscf.models import is_method

RESULTS = Path(__file__).parents[2] / "results"
PLACES = sorted(
    str(file.parent.relative_to(RESULTS)) for file in RESULTS.rglob("ranks.csv")
)
FILES = "summary.csv", "comparison.csv", "ranks.csv"


@pytest.mark.check
@pytest.mark.parametrize("place", PLACES)
def test_tables_made_again_from_the_runs_are_the_same(place, tmp_path) -> None:
    """Up to the last digits: a mean's order of adding differs between machines."""
    copy = tmp_path / place
    shutil.copytree(
        RESULTS / place, copy, ignore=shutil.ignore_patterns("*.npz", *FILES)
    )
    write_grid_tables(copy)
    for name in FILES:
        made, there = (pd.read_csv(folder / name) for folder in (copy, RESULTS / place))
        pd.testing.assert_frame_equal(made, there, rtol=1e-9, atol=1e-12)


def test_every_split_with_several_methods_has_its_tables() -> None:
    for place in {run.parents[3] for run in RESULTS.rglob("run.json")}:
        names = {file.parents[2].name for file in place.rglob("run.json")}
        methods = [*filter(is_method, names)]  # not "mscf+long" and other labels
        assert len(methods) <= 1 or str(place.relative_to(RESULTS)) in PLACES


def test_combined_variants_and_controls_have_their_rows_and_labels_none(
    tmp_path,
) -> None:
    place = tmp_path / "lits-24/patient"
    for key, quality in (
        ("mscf+gain", 0.7),
        ("mscf+only-64+twice", 0.6),
        ("mscf", 0.8),
    ):
        keep(place, key, measured(quality))
    keep(place, "mscf+long", measured(0.5))  # a label of keep_run
    table = write_grid_tables(place)
    assert list(dict.fromkeys(table["method"])) == [
        "mscf", "mscf+gain", "mscf+only-64+twice",
    ]  # fmt: skip
