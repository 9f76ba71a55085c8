import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mscf.data.splits import (
    FOLDS,
    make_split,
    of_some_patients,
    split_checksum,
    train_and_test_rows,
    write_split,
)
from mscf.errors import InputError, SettingsError


def index_of(slices_of_patient, lost=(), empty=()) -> pd.DataFrame:
    """An index of patients with so many slices each, two cases for the first."""
    rows = []
    for patient, n in enumerate(slices_of_patient):
        for i in range(n):
            case = f"c{patient}b" if patient == 0 and i % 2 else f"c{patient}"
            rows.append({"case": case, "patient": f"P{patient}", "slice": i})
    index = pd.DataFrame(rows)
    index.insert(0, "row", range(len(index)))
    index["tumour_lost"] = index["row"].isin(lost)
    gone = index["row"].isin([*lost, *empty])
    return index.assign(stored_tumour_px=np.where(gone, 0, 9)).set_index(
        "row", drop=False
    )


patients = st.lists(st.integers(1, 30), min_size=2, max_size=20)
seeds = st.integers(0, 2**31)


@given(patients, seeds)
def test_by_patient_no_person_stands_on_both_sides(numbers, seed) -> None:
    index = index_of(numbers)
    split = make_split(index, "patient", seed)
    assert split[["case", "patient", "slice"]].equals(
        index[["case", "patient", "slice"]].reset_index(drop=True)
    )
    assert split["fold"].between(0, FOLDS - 1).all()
    assert (split.groupby("patient")["fold"].nunique() == 1).all()


@given(patients, seeds)
def test_by_patient_no_fold_is_fuller_than_one_patient_more(numbers, seed) -> None:
    split = make_split(index_of(numbers), "patient", seed)
    load = split["fold"].value_counts().reindex(range(FOLDS), fill_value=0)
    assert load.max() - load.min() <= max(numbers)


@given(st.integers(1, 200), seeds)
def test_by_slice_folds_are_equal_and_cross_patients(n, seed) -> None:
    split = make_split(index_of([n, 50]), "slice", seed)
    load = split["fold"].value_counts()
    assert load.max() - load.min() <= 1
    assert len(split) == n + 50
    assert split.groupby("patient")["fold"].nunique()["P1"] == FOLDS


@pytest.mark.parametrize("kind", ["patient", "slice"])
def test_a_seed_is_a_split_and_another_seed_another(kind) -> None:
    index = index_of([7, 3, 5, 9, 4, 8, 6])
    again = make_split(index, kind, 3)
    assert again.equals(make_split(index, kind, 3))
    assert not again.equals(make_split(index, kind, 4))


@pytest.mark.parametrize(
    ("kind", "folds"),
    [
        ("patient", [4, 4, 4, 4, 2, 2, 2, 1, 1, 0, 0, 0, 3, 3, 2]),
        ("slice", [1, 2, 1, 1, 2, 1, 3, 4, 3, 0, 2, 0, 0, 4, 0]),
    ],
)
def test_the_folds_of_a_seed_stay_those_of_the_committed_runs(kind, folds) -> None:
    index = index_of([4, 3, 2, 3, 2, 1], empty=[1, 5, 9])
    assert make_split(index, kind, 0)["fold"].tolist() == folds


@given(patients, st.integers(1, 12), seeds)
def test_patients_without_tumour_move_none_of_the_others(numbers, more, seed) -> None:
    """So a store of all slices has the folds of one of the slices with tumour."""
    of = len(numbers)
    index = index_of([*numbers, *[2] * more])
    with_tumour = index["patient"].isin({f"P{n}" for n in range(of)})
    index.loc[~with_tumour, "stored_tumour_px"] = 0
    split = make_split(index, "patient", seed)
    alone = make_split(index[with_tumour], "patient", seed)
    assert split["fold"][with_tumour.to_numpy()].tolist() == alone["fold"].tolist()
    without = split[~with_tumour.to_numpy()].groupby("patient")["fold"].first()
    dealt = without.value_counts().reindex(range(FOLDS), fill_value=0)
    assert dealt.max() - dealt.min() <= 1


def test_folds_are_the_papers_four_to_one() -> None:
    index = index_of([719] * 10)
    training, test = train_and_test_rows(index, make_split(index, "slice", 0), fold=2)
    assert (len(training), len(test)) == (5752, 1438)


@given(patients, seeds, st.sampled_from(["patient", "slice"]), st.integers(0, 4))
def test_every_slice_trains_or_tests_but_never_both(numbers, seed, kind, fold) -> None:
    index = index_of([*numbers, 6, 6, 6, 6, 6])
    split = make_split(index, kind, seed)
    training, test = train_and_test_rows(index, split, fold)
    assert sorted([*training, *test]) == index["row"].tolist()
    assert set(split["fold"].to_numpy()[test]) == {fold}


def test_lost_tumours_are_left_out_and_empty_slices_only_train_when_asked() -> None:
    index = index_of([10, 10, 10, 10, 10, 10], lost=[3, 30], empty=[4, 5, 40, 41])
    split = make_split(index, "patient", 0)
    sides = {s: train_and_test_rows(index, split, 0, s) for s in ("tumour", "all")}
    for training, test in sides.values():
        assert not {3, 30} & {*training, *test}
        assert not {4, 5, 40, 41} & {*test}
    assert np.array_equal(sides["tumour"][1], sides["all"][1])
    more = {*sides["all"][0]} - {*sides["tumour"][0]}
    tested = {*index["row"][(split["fold"] == 0).to_numpy()]}
    assert more == {4, 5, 40, 41} - tested


def test_a_fold_without_tumour_or_without_training_is_an_error() -> None:
    index = index_of([5, 5])
    split = make_split(index, "patient", 0)
    used = set(split["fold"])
    empty = min({*range(FOLDS)} - used)
    with pytest.raises(InputError, match=rf"fold {empty}: .*\[no-tumour\]"):
        train_and_test_rows(index, split, empty)
    with pytest.raises(SettingsError, match=r"\[split-empty\]"):
        train_and_test_rows(index, split.assign(fold=1), 1)
    with pytest.raises(SettingsError, match="must be 0 to 4"):
        train_and_test_rows(index, split, 5)


def test_healthy_slices_alone_train_nothing() -> None:
    index = index_of([5, 5])
    healthy = index["patient"] == index["patient"].iloc[-1]
    index.loc[healthy, "stored_tumour_px"] = 0
    split = make_split(index, "patient", 0).assign(fold=1 * healthy)
    with pytest.raises(SettingsError, match=r"with tumour.*\[split-empty\]"):
        train_and_test_rows(index, split, 0, "all")


def test_one_patient_cannot_be_split_by_patient() -> None:
    with pytest.raises(SettingsError, match=r"two patients.*\[split-patients\]"):
        make_split(index_of([9]), "patient", 0)


def test_the_manifest_says_everything(tmp_path) -> None:
    split = make_split(index_of([4, 5, 6]), "patient", 7)
    write_split(split, tmp_path)
    assert pd.read_csv(tmp_path / "split.csv").equals(split)
    digest = hashlib.sha256((tmp_path / "split.csv").read_bytes()).hexdigest()
    assert split_checksum(split) == digest


@pytest.mark.shared
def test_on_the_excerpt_one_persons_two_scans_stay_together(tmp_path) -> None:
    from pathlib import Path

    excerpt = Path(__file__).parents[3] / "shared/data/lits_excerpt"
    if not excerpt.is_dir():
        pytest.skip("the founders' excerpt of LiTS is not beside the project")
    from mscf.data.cases import find_cases

    cases = {case.name: case.patient for case in find_cases(excerpt)}
    index = index_of([3] * len(cases)).iloc[: 3 * len(cases)]
    names = np.repeat(list(cases), 3)
    index = index.assign(case=names, patient=[cases[name] for name in names])
    for seed in range(20):
        fold = make_split(index, "patient", seed).groupby("case")["fold"].first()
        assert fold["liver_0"] == fold["liver_1"]
        assert fold["liver_6"] == fold["liver_7"]


@given(patients, seeds, st.data())
def test_some_patients_are_whole_with_tumour_and_among_the_more(
    numbers, seed, data
) -> None:
    index = index_of(numbers, empty=range(numbers[0]))  # the first has no tumour
    rows = index["row"].to_numpy()
    few, more = sorted(
        data.draw(st.lists(st.integers(1, len(numbers) - 1), min_size=2, max_size=2))
    )
    drawn = [set(of_some_patients(index, rows, n, seed).tolist()) for n in (few, more)]
    assert drawn[0] <= drawn[1]
    for chosen, n in zip(drawn, (few, more), strict=True):
        of = index.loc[sorted(chosen), "patient"]
        assert of.nunique() == n
        assert "P0" not in {*of}
        assert len(of) == index["patient"].isin(of.unique()).sum()


def test_more_patients_than_there_are_is_one_clear_line() -> None:
    index = index_of([3, 4, 5])
    with pytest.raises(SettingsError, match=r"patients: must be at most the 3 .* 4"):
        of_some_patients(index, index["row"].to_numpy(), 4, seed=0)
