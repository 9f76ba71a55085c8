"""What the page on the excerpt says of lesions by size, and of C1 with a third seed."""

import pandas as pd
import pytest

from mscf.evaluation.claims import dice_claim
from mscf.evaluation.lesion_claim import lesion_claim, lesions_table
from mscf.evaluation.lesion_sizes import (
    cases_by_any_overlap,
    components_by_size,
    lesions_by_size,
)
from mscf.evaluation.runs import Runs, read_runs
from mscf.kept.results import read_beside
from mscf.paths import root

HALF = root() / "results/lits_excerpt-224/patient"
METHODS = ("cenet", "mscf")
SMALL = ["below 10 mm", "1 to 9 voxels", "10 to 99 voxels"]
IN_ORDER = (
    ["below 10 mm", "10 to 20 mm", "above 20 mm"],
    [*SMALL[1:], "100 to 999 voxels", "1000 voxels and more"],
)


@pytest.fixture(scope="module")
def lesions() -> dict[str, pd.DataFrame]:
    return {key: read_beside(HALF, f"{key}+third-seed", "lesions") for key in METHODS}


@pytest.fixture(scope="module")
def third() -> Runs:
    return read_runs(HALF, [f"{key}+third-seed" for key in METHODS])


def test_the_third_seed_was_trained_as_declared(third) -> None:
    """The same commands but for seed and epochs, on sixteen patients of every fold."""
    epochs = dict(enumerate((23, 22, 20, 19, 25)))
    again = read_runs(HALF, [f"{key}+16-patients" for key in METHODS])
    other = again.records["mscf+16-patients", 0, 2]["settings"]
    assert len(third.records) == 10
    for (key, fold, seed), run in third.records.items():
        asked = {"method": key.split("+")[0], "fold": fold, "epochs": epochs[fold]}
        assert seed == 3
        assert run["epochs_done"] == epochs[fold]
        differ = {"out", "data", "seed"}
        assert {k: v for k, v in run["settings"].items() if k not in differ} == {
            k: v for k, v in (other | asked).items() if k not in differ
        }


def test_most_lesions_are_missed_and_more_are_met_the_larger_they_are(lesions) -> None:
    table = lesions_by_size(lesions)
    of_all = table.loc["all"]
    n = of_all["", "lesions"]
    share = {key: of_all[key] / n for key in METHODS}
    assert share["cenet"].round(2).tolist() == [0.1, 0.5]
    assert share["mscf"].round(2).tolist() == [0.04, 0.31]
    for key in METHODS:
        met = table[key, "met"] / table["", "lesions"]
        for sizes in IN_ORDER:
            assert met[sizes].is_monotonic_increasing
        assert 0.7 < met["above 20 mm"] <= 0.8
        assert met["1000 voxels and more"] == 1
        assert (table[key, "found"] <= table["", "lesions"] / 2).all()
    small = table.loc["below 10 mm"]
    assert (small["cenet", "met"], small["mscf", "met"]) == (8, 1)
    of_ours = lesions["mscf"]
    large = of_ours[(of_ours["lesion"] == 1) & (of_ours["diameter_mm"] >= 20)]
    large = large[large["common"] > 0]
    assert len(large) == 11
    assert (large["common"] / large["voxels"] < 0.1).sum() == 6


def test_what_meets_none_is_small_and_cenet_draws_more_of_it(lesions) -> None:
    table = components_by_size(lesions)
    for key in METHODS:
        none = table[key, "meet none"]
        assert none[SMALL].sum() / none["all"] == pytest.approx(0.75, abs=0.03)
    more, less = table.loc["all", "cenet"], table.loc["all", "mscf"]
    assert (more > less).all()
    assert more["no lesion"] / more["drawn"] < less["no lesion"] / less["drawn"]
    assert more["meet none"] / more["drawn"] > less["meet none"] / less["drawn"]


def test_what_cenet_meets_beyond_ours_is_one_patient_s(lesions) -> None:
    met = pd.DataFrame({
        key: (of["common"] > 0)[of["lesion"] == 1].groupby(of["patient"]).sum()
        for key, of in lesions.items()
    })  # fmt: skip
    assert met.drop("P46").sum().to_dict() == {"cenet": 38, "mscf": 35}
    for of in lesions.values():
        small = of[(of["lesion"] == 1) & (of["diameter_mm"] < 10) & (of["common"] > 0)]
        assert (small["patient"] != "P46").sum() == 1


def test_who_finds_more_turns_with_the_seed() -> None:
    found, false = {}, {}
    for label in ("16-patients", "third-seed"):
        cases = {
            key: read_beside(HALF, f"{key}+{label}", "per_case") for key in METHODS
        }
        for seed in cases["mscf"]["seed"].unique():
            table = lesions_table(
                {k: of[of["seed"] == seed] for k, of in cases.items()}
            )
            found[seed] = tuple(table["found"])
            false[seed] = table["false"]["cenet"] - table["false"]["mscf"]
    assert found == {0: (12, 8), 2: (8, 11), 3: (13, 5)}
    assert -10 < false[0] < 0 < min(false[2], false[3])


def test_c5_has_too_few_patients_and_a_test_that_tells_nothing(lesions) -> None:
    cases = {key: read_beside(HALF, f"{key}+third-seed", "per_case") for key in METHODS}
    met = {key: cases_by_any_overlap(of) for key, of in lesions.items()}
    for of in (cases, met):
        claim = lesion_claim(of)
        assert claim["patients"].tolist() == [6, 22]
        assert (claim["p"] > 0.1).all()
        assert claim["low"].iloc[1] > claim["margin"].iloc[1]


def test_c1_is_undecided_by_the_third_seed_and_over_three(third) -> None:
    bare = {f"{key}+{label}": key for key in METHODS
            for label in ("third-seed", "16-patients")}  # fmt: skip
    again = read_runs(HALF, [f"{key}+16-patients" for key in METHODS])
    rows = pd.concat([again.rows, third.rows]).replace({"method": bare})
    alone, two, three = (
        dice_claim(of, "mscf", "cenet")
        for of in (rows[rows["seed"] == 3], rows[rows["seed"] != 3], rows)
    )
    for claim in (alone, three):
        assert claim["outcome"] == "undecided at this size"
        assert claim["low"] < -claim["margin"] < claim["margin"] < claim["high"] < 3.2
    assert -2 < alone["difference"] < -1.5
    assert three["difference"] == pytest.approx(-0.1, abs=0.05)
    assert two["difference"] > 0
    widths = [claim["high"] - claim["low"] for claim in (three, two)]
    assert 0.85 < widths[0] / widths[1] < 1
