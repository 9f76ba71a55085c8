"""A run that was done again, beside the one that is kept."""

import json

import pytest
from kept_runs import keep, measured

from mscf.errors import InputError
from mscf.evaluation.agreement import agreement

DATA = "toys-24"
SMALL = {"patients": 2, "slices": 3}


def both(tmp_path, kept, again, **settings) -> dict:
    """The one row of one run kept, and done again with these rows and settings."""
    keep(tmp_path / "results" / DATA / "patient", "mscf", kept)
    keep(tmp_path / "mine" / DATA / "patient", "mscf", again, **settings)
    (row,) = compared(tmp_path)
    return row


def compared(tmp_path) -> list[dict]:
    places = tmp_path / "results" / DATA, tmp_path / "mine" / DATA
    return agreement(*places).to_dict("records")


def test_a_run_with_the_same_masks_is_the_same(tmp_path) -> None:
    row = both(tmp_path, measured(**SMALL), measured(**SMALL))
    assert (row["outcome"], row["slices"], row["equal"]) == ("the same", 6, 6)
    assert (row["store"], row["recipe"]) == ("one", "same")
    assert row["kept"] == pytest.approx(row["again"])


@pytest.mark.parametrize("change", [{"fp": 1}, {"tp": -1, "fn": 1}], ids=str)
def test_one_pixel_elsewhere_makes_other_masks(change, tmp_path) -> None:
    moved = measured(**SMALL)
    moved.loc[3, [*change]] += [*change.values()]
    row = both(tmp_path, measured(**SMALL), moved)
    assert (row["outcome"], row["equal"]) == ("other masks", 5)


def test_another_truth_or_another_slice_is_other_data(tmp_path) -> None:
    truth, slices = measured(**SMALL), measured(**SMALL)
    truth.loc[3, "truth_px"] += 1
    slices.loc[3, "slice"] = 99
    for folder, again in ("truth", truth), ("slices", slices):
        row = both(tmp_path / folder, measured(**SMALL), again)
        assert row["outcome"] == "other data"


def test_settings_that_differ_are_named_and_those_without_effect_are_not(
    tmp_path,
) -> None:
    for folder, settings in (
        ("results", {"epochs": 2, "workers": 1}), ("mine", {"epochs": 3, "workers": 2})
    ):  # fmt: skip
        place = tmp_path / folder / DATA / "patient"
        keep(place, "mscf", measured(**SMALL), **settings)
    (row,) = compared(tmp_path)
    assert row["recipe"] == "epochs"


def test_another_store_is_told(tmp_path) -> None:
    for folder, checksum in ("results", "a"), ("mine", "b"):
        run = keep(tmp_path / folder / DATA / "patient", "mscf", measured(**SMALL))
        record = json.loads((run / "run.json").read_text())
        record["store"]["checksum"] = checksum
        (run / "run.json").write_text(json.dumps(record))
    (row,) = compared(tmp_path)
    assert (row["store"], row["outcome"]) == ("another", "the same")


def test_only_runs_that_both_hold_are_compared(tmp_path) -> None:
    row = both(tmp_path, measured(**SMALL), measured(**SMALL))
    for folder, method, seed in (
        ("results", "mscf", 1), ("mine", "mscf", 1), ("mine", "cenet", 0),
        ("results", "mscf", 2),
    ):  # fmt: skip
        place = tmp_path / folder / DATA / "patient"
        keep(place, method, measured(seed=seed, **SMALL), seed=seed)
    assert row["seed"] == 0
    found = [(row["method"], row["seed"]) for row in compared(tmp_path)]
    assert found == [("mscf", 0), ("mscf", 1)]


def test_what_is_not_trained_has_no_store_and_no_recipe(tmp_path) -> None:
    for folder in "results", "mine":
        place = tmp_path / folder / DATA / "patient"
        keep(place, "hu_threshold", measured(**SMALL), trained=False)
    (row,) = compared(tmp_path)
    assert (row["outcome"], row["store"], row["recipe"]) == ("the same", "", "same")


def test_no_common_run_is_an_error(tmp_path) -> None:
    keep(tmp_path / "results" / DATA / "patient", "mscf", measured(**SMALL))
    with pytest.raises(InputError, match=r"must hold a run that .* holds too"):
        compared(tmp_path)
