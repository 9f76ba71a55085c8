import numpy as np
import pandas as pd
import pytest

from mscf.evaluation.lesion_attention import (
    FEWEST,
    PAIR,
    at_distance,
    in_words,
    lesions_of,
    list_places,
    moved_sums,
    pair_rows,
    share_below,
    shown,
    summarise,
)

SIDE = 24


@pytest.fixture(scope="module")
def labels():
    """A liver with two lesions of different shape."""
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[1:23, 1:23] = 1
    labels[6:9, 5:9] = 2
    labels[15:19, 13:15] = 2
    return labels


def rows_of(labels, attention):
    """Pairs under a map ``(N, N)`` whose rows are made to sum to 1."""
    attention = attention / attention.sum(axis=1, keepdims=True)
    lesions = lesions_of(labels)
    flat = lesions.reshape(len(lesions), -1)
    gives = np.array([attention[lesion].mean(axis=0) for lesion in flat])
    gets = np.array([attention[:, lesion].sum(axis=1) for lesion in flat])
    rows = pair_rows(
        labels, lesions, gives.reshape(lesions.shape), gets.reshape(lesions.shape)
    )
    return pd.DataFrame(rows)


def test_even_attention_is_once_the_even_share_and_above_half_of_the_places(
    labels,
) -> None:
    rows = rows_of(labels, np.ones((SIDE**2, SIDE**2)))
    assert len(rows) == 2
    np.testing.assert_allclose(rows[["lesion_to_lesion", "liver_asked"]], 1)
    np.testing.assert_allclose(rows["liver_asking"], 1)
    assert (rows[["above_liver_asked", "above_liver_asking"]] == 0.5).all(axis=None)


def test_attention_between_lesions_is_above_all_places_both_ways(labels) -> None:
    tumour = (labels == 2).ravel()
    rows = rows_of(labels, 1 + 9.0 * np.outer(tumour, tumour))
    assert (rows[["above_liver_asked", "above_liver_asking"]] == 1).all(axis=None)
    # A lesion's row holds 20 tumour positions of weight 10, the others of weight 1.
    np.testing.assert_allclose(
        rows["lesion_to_lesion"], SIDE**2 * 10 / (20 * 10 + SIDE**2 - 20)
    )


def test_lesions_at_which_all_the_liver_looks_are_only_conspicuous(labels) -> None:
    tumour = (labels == 2).ravel()
    rows = rows_of(labels, 1 + 9.0 * np.outer(np.ones_like(tumour), tumour))
    assert (rows["above_liver_asked"] == 1).all()
    assert (rows["above_liver_asking"] == 0.5).all()
    np.testing.assert_allclose(rows["liver_asking"], rows["lesion_to_lesion"])


def test_attention_to_what_is_near_is_no_attention_to_lesions() -> None:
    labels = np.ones((SIDE, SIDE), np.uint8)
    labels[10:12, 7:10] = labels[14:17, 12:14] = 2  # near each other
    places = np.indices((SIDE, SIDE)).reshape(2, -1)
    distance = np.hypot(*(places[:, :, None] - places[:, None]))
    rows = rows_of(labels, np.exp(-distance / 4))
    assert (rows["lesion_to_lesion"] > 1).all()
    # Among places at a like distance the pair is neither first nor last.
    shares = rows[["above_liver_asked", "above_liver_asking"]]
    assert shares.min(axis=None) > 0.3
    assert shares.max(axis=None) < 0.7


def test_places_are_all_those_where_the_shape_fits_and_no_others() -> None:
    random = np.random.default_rng(0)
    allowed = random.random((14, 13)) < 0.8
    region = np.zeros_like(allowed)
    region[[5, 6, 6], [7, 7, 8]] = True  # an L
    expected = [
        (rows, columns)
        for rows in range(-5, 8)
        for columns in range(-7, 5)
        if all(allowed[r + rows, c + columns] for r, c in np.argwhere(region))
    ]
    assert [tuple(move) for move in list_places(region, allowed)] == expected


def test_sums_are_those_of_the_region_where_it_was_moved_to() -> None:
    values = np.arange(30.0).reshape(5, 6)
    region = np.zeros((5, 6), bool)
    region[1, 1:3] = True
    moves = np.array([[0, 0], [2, 1]])
    assert moved_sums(values, region, moves).tolist() == [7 + 8, 20 + 21]


def test_moves_keep_about_their_distance_and_very_many_are_thinned() -> None:
    moves = np.argwhere(np.ones((80, 80), bool)) - 40
    centre, other = np.array([0.0, 20.0]), np.zeros(2)
    kept = at_distance(moves, centre, other)
    far = np.hypot(*(kept + centre).T)
    assert 15 <= far.min() < far.max() <= 25
    assert 200 < len(kept) <= 400


def test_a_pair_without_room_to_be_moved_is_left_out() -> None:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[8:11, 4:7] = labels[8:11, 14:17] = 2
    labels[8:11, 7:14] = 1  # a narrow bridge of liver
    attention = np.ones((SIDE**2, SIDE**2))
    assert rows_of(labels, attention).empty
    labels[labels == 0] = 1
    assert len(rows_of(labels, attention)) == 2


def test_lesions_are_the_components_of_a_slice_without_single_pixels() -> None:
    labels = np.zeros((9, 9), np.uint8)
    labels[0:2, 0:2] = labels[4:7, 4:7] = 2
    labels[8, 0] = 2
    lesions = lesions_of(labels)
    assert [int(lesion.sum()) for lesion in lesions] == [9, 4]
    assert lesions_of(np.zeros((9, 9), np.uint8)).shape == (0, 9, 9)


def test_ties_count_by_half() -> None:
    assert share_below(np.array([0.0, 1, 1, 2]), 1 + 1e-9) == 0.5
    assert share_below(np.zeros(FEWEST), 0.0) == 0.5


def table(shares, patients, channels=64):
    """Slices of which only the shares matter."""
    n = len(shares)
    rows = pd.DataFrame({name: np.ones(n) for name in PAIR})
    rows["above_liver_asked"] = shares
    return rows.assign(
        above_liver_asking=0.5, patient=patients, channels=channels, pairs=2
    )


def test_slices_are_drawn_and_tested_by_patient() -> None:
    patients = np.repeat([f"P{i}" for i in range(10)], 5)
    random = np.random.default_rng(1)
    of_patient = np.repeat(0.5 + random.uniform(0.1, 0.4, 10), 5)
    (row,) = summarise(table(of_patient, patients)).to_dict("records")
    assert (row["patients"], row["slices"], row["pairs"]) == (10, 50, 100)
    assert row["above_liver_asked"] == pytest.approx(of_patient.mean())
    # All ten above one half: 2 / 2^10, twice by Holm; the other is all ties.
    assert row["above_liver_asked_p"] == pytest.approx(2 * 2 / 2**10)
    assert row["above_liver_asking_p"] == 1
    assert 0.5 < row["above_liver_asked_low"] < row["above_liver_asked_high"] < 1
    # One patient's slices alone, however many, say nothing of patients.
    (alone,) = summarise(table(of_patient, ["P0"] * 50)).to_dict("records")
    assert np.isnan(alone["above_liver_asked_p"])


def test_what_is_shown_are_percents_with_their_interval() -> None:
    patients = [f"P{i}" for i in range(10)]
    (row,) = shown(summarise(table([0.75] * 10, patients))).to_dict("records")
    assert row["above places asked, %"] == "75 (75 to 75)"
    assert row["above places asking, %"] == "50 (50 to 50)"
    assert row["p, places asked"] == "0.004"
    assert row["lesion to lesion"] == "1"


def test_words_say_more_or_less_only_where_the_p_does() -> None:
    patients = [f"P{i}" for i in range(10)]
    high, low = table([0.9] * 10, patients), table([0.2] * 10, patients, 128)
    words = in_words(summarise(pd.concat([high, low])))
    first, second = words.splitlines()
    assert "64 channels" in first
    assert "That is more than other places get from it" in first
    assert "and not measurably more or less than other places give" in first
    assert "That is less than other places get from it" in second
    assert in_words(summarise(high[:0])).startswith("No slice")
    few = in_words(summarise(high[:5]))
    assert few.startswith("- With 5 patients no p can stay below 0.05")
    assert "not measurably" in few
