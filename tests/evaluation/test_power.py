import numpy as np
import pytest

from mscf.evaluation.power import power_table

TRUE = (0.0, 3.0, 10.0)


@pytest.fixture(scope="module")
def table():
    random = np.random.default_rng(0)
    seen = [random.normal(random.normal(0, 5), 8, size=6) for _ in range(40)]
    seen = [of_one - np.concatenate(seen).mean() for of_one in seen]
    wide = [3 * of_one for of_one in seen]
    scenarios = {"narrow": seen, "wide": wide}
    found = power_table(scenarios, patients=(5, 22, 60), true=TRUE, trials=40)
    return found.set_index(["scenario", "patients", "true difference"])


def test_more_patients_and_larger_differences_are_seen_more_often(table) -> None:
    seen = table["reproduced"]
    assert seen["narrow", 22, 0] <= 5 < seen["narrow", 22, 3] < seen["narrow", 22, 10]
    assert seen["narrow", 22, 3] < seen["narrow", 60, 3]
    assert seen["wide", 22, 10] < seen["narrow", 22, 10]
    assert seen["narrow", 60, 10] == 100


def test_a_single_fold_never_decides(table) -> None:
    assert (table.xs(5, level="patients")["undecided"] == 100).all()


def test_outcomes_add_up_and_nine_rivals_make_it_harder(table) -> None:
    outcomes = table[["reproduced", "contradicted", "undecided"]].sum(axis=1)
    np.testing.assert_allclose(outcomes, 100)
    assert (table["reproduced, of nine"] <= table["reproduced"]).all()
    assert table["contradicted"]["narrow", 60, 0] > 0
