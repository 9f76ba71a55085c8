from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import affine_transform, gaussian_filter

from mscf.data import persons
from mscf.data.cases import find_cases
from mscf.data.persons import (
    LEAST,
    RUN,
    Back,
    back_patches,
    best_run,
    compare,
    expected_by_chance,
    look_alikes,
    score_called,
)
from mscf.errors import InputError

SHAPE = (64, 80)
N = 16


def spine(seed: int, n: int = 40) -> np.ndarray:
    """Smooth detail that changes along the body, of one person."""
    noise = np.random.default_rng(seed).normal(size=(n, *SHAPE))
    return gaussian_filter(noise, (1.5, 2, 2)).astype(np.float32)


def backs(seeds, first=0) -> dict[str, Back]:
    return {f"c{seed}": Back(spine(seed)[first : first + N]) for seed in seeds}


def called(table) -> set:
    table = table[table["called"]]
    return {frozenset(pair) for pair in table[["case", "other"]].to_numpy()}


def body(person: np.ndarray, zoom=1.0, left=0.0, couch=False, seed=0) -> np.ndarray:
    """CT of a person: a body of fat and muscle whose back carries their spine."""
    rng = np.random.default_rng(seed)
    side = 160
    rows, columns = np.mgrid[:side, :side].astype(float)
    inside = (rows - 80) ** 2 / 45**2 + (columns - 80) ** 2 / 62**2 < 1
    hu = np.where(inside, 40.0, -1000.0) * np.ones((len(person), 1, 1))
    hu[:, 72:125, 45:115] += 900 * person[:, :53, :70] * inside[72:125, 45:115]
    organ = rng.normal(size=(len(person), 40, 70))
    hu[:, 38:78, 45:115] += (
        300 * gaussian_filter(organ, (1, 3, 3)) * inside[38:78, 45:115]
    )
    middle = np.array([80, 80])
    out = np.stack([
        affine_transform(s, np.eye(2) / zoom, middle - middle / zoom + [0, left],
                         order=1, cval=-1000)
        for s in hu
    ])  # fmt: skip
    if couch:
        out[:, 150:153, 30:130] = 100
    return out + rng.normal(0, 8, out.shape)


def test_one_person_is_called_and_two_are_not() -> None:
    cases = backs(range(9))
    noisy = spine(3)[7 : 7 + N] + 0.02 * spine(99)[:N]
    table = compare(cases | {"again": Back(noisy)})
    assert len(table) == 45
    assert called(table) == {frozenset({"c3", "again"})}
    assert table["by_chance"][0] < 1e-3
    assert table["slices"][0] >= RUN


def test_of_different_persons_none_is_called() -> None:
    for start in (0, 20, 40):
        assert called(compare(backs(range(start, start + 10)))) == set()


def test_what_all_have_in_common_makes_nobody_alike() -> None:
    same = spine(1000)[0]  # one picture that everyone has in every slice
    cases = {n: Back(b.patches + 3 * same) for n, b in backs(range(9)).items()}
    plain = compare(backs(range(9))).set_index(["case", "other"])["score"]
    with_it = compare(cases).set_index(["case", "other"])["score"]
    np.testing.assert_allclose(with_it.loc[plain.index], plain, atol=1e-4)


def test_a_run_has_one_offset_and_one_shift() -> None:
    person = spine(5)
    moved = np.zeros_like(person)
    moved[:, 3:, :-5] = person[:, :-3, 5:]
    whole = best_run(Back(person[:20]), Back(moved[6:26]))
    assert whole["slices"] == 14
    assert whole["score"] > 0.85
    wild = moved[6:26][np.random.default_rng(0).permutation(20)]  # in no order
    assert best_run(Back(person[:20]), Back(wild))["score"] < 0.5


def test_a_shift_does_not_come_in_again_on_the_other_side() -> None:
    left, right = np.zeros((2, N, *SHAPE), np.float32)
    left[:, :, :4] = spine(1)[:N, :, :4]
    right[:, :, -4:] = spine(1)[:N, :, :4]
    assert best_run(Back(left), Back(right))["score"] < 0.1


def test_slices_of_another_thickness_are_compared_at_one() -> None:
    person = gaussian_filter(spine(2, 60), (2, 0, 0))
    coarse = Back(person[::2], step=4.0)
    found = best_run(Back(person, step=2.0), coarse)
    assert found["score"] > 0.99
    assert found["slices"] == 30  # of the coarser: none is made up in between
    assert best_run(coarse, Back(person, step=2.0))["score"] > 0.99
    unknown = best_run(Back(person), coarse)["score"]  # slice by slice: not the same
    assert unknown < 0.8


def test_too_short_a_run_or_nothing_at_all_is_no_likeness() -> None:
    person = Back(spine(0))
    assert best_run(person, Back(person.patches[: RUN - 1])) == {
        "score": 0.0, "slices": 0,
    }  # fmt: skip
    empty = Back(np.zeros((N, *SHAPE), np.float32))
    assert best_run(empty, empty)["score"] == 0


def test_too_few_cases_are_refused() -> None:
    with pytest.raises(InputError, match="too-few-cases"):
        compare(backs(range(LEAST - 1)))


def test_the_expectation_is_that_of_gumbels_law() -> None:
    z = np.random.default_rng(0).gumbel(0.2, 0.05, 20_000)
    scores = np.tanh(z)
    for rank in (10, 100, 1000):
        score = np.sort(scores)[-rank]
        everything = np.append(scores, score)
        assert expected_by_chance(everything)[-1] == pytest.approx(rank, rel=0.35)
    assert (np.diff(expected_by_chance(np.sort(scores))) <= 0).all()


def test_pairs_are_called_from_the_score_on_that_is_said() -> None:
    table = compare(backs(range(9)) | {"again": Back(spine(3)[4 : 4 + N])})
    limit = score_called(table["score"])
    assert table["called"].equals(table["score"] > limit)
    assert 0 < table["called"].sum() < 5


def test_the_picture_of_the_back_is_the_same_in_another_field_of_view() -> None:
    person = spine(7)[:3]
    one = back_patches(body(person))
    other = back_patches(body(person, zoom=0.8, left=6, couch=True, seed=1))
    assert one.shape == (3, *SHAPE)
    a, b = one[:, :54].ravel(), other[:, :54].ravel()
    stranger = back_patches(body(spine(8)[:3], zoom=0.8, seed=1))[:, :54].ravel()
    assert np.corrcoef(a, b)[0, 1] > 0.75
    assert abs(np.corrcoef(a, stranger)[0, 1]) < 0.4


def test_slices_of_air_have_no_back() -> None:
    assert not back_patches(np.full((2, 64, 64), -1000)).any()


@pytest.mark.shared
@pytest.mark.check
def test_on_the_excerpt_exactly_the_two_known_pairs_are_called() -> None:
    excerpt = Path(__file__).parents[3] / "shared/data/lits_excerpt"
    if not excerpt.is_dir():
        pytest.skip("the founders' excerpt of LiTS is not beside the project")
    table = look_alikes(find_cases(excerpt))
    known = {frozenset({"liver_0", "liver_1"}), frozenset({"liver_6", "liver_7"})}
    assert called(table) == known
    assert table["told"].equals(table["called"])
    # The margin that the module states: a fixed score would have this room.
    assert table["score"][1] > 0.68
    assert table["score"][2] < 0.46
    assert table["by_chance"][1] < 0.01
    assert table["by_chance"][2] > 1


@pytest.mark.check
@pytest.mark.timeout(400)
def test_of_phantoms_exactly_the_patients_scanned_twice_are_called(
    sixteen_phantoms,
) -> None:
    table = look_alikes(find_cases(sixteen_phantoms("large")))
    assert table["told"].sum() == 3
    assert table["called"].equals(table["told"])


def test_the_cases_of_a_folder_are_read_and_told_apart(tiny_cases, monkeypatch) -> None:
    monkeypatch.setattr(persons, "LEAST", 6)
    monkeypatch.setattr(persons, "RUN", 2)
    cases = find_cases(tiny_cases)
    table = look_alikes(cases)
    assert len(table) == 15
    assert not table["told"].any()
    assert table["score"].is_monotonic_decreasing
