import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist

from mscf.evaluation.lesions import components
from mscf.evaluation.metrics import summarise_volumes, volume_metrics

SIZES = ("below_10", "10_20", "above_20")


def balls(shape, *centres_and_radii):
    mask = np.zeros(shape, dtype=bool)
    grid = np.indices(shape)
    for *centre, radius in centres_and_radii:
        offset = grid - np.array(centre)[:, None, None, None]
        mask |= (offset**2).sum(axis=0) <= radius**2
    return mask


def blocks(*ranges, shape=(60, 12, 12)):
    mask = np.zeros(shape, dtype=bool)
    for start, stop in ranges:
        mask[start:stop, 2:6, 2:6] = True
    return mask


def test_overlap_of_a_case_by_hand() -> None:
    row = volume_metrics(blocks((0, 6)), blocks((2, 10)), (1, 1, 1))
    assert row["dice"] == 8 / 14  # 4 of 6 and 8 layers
    assert row["voe"] == pytest.approx(1 - 4 / 10)
    assert row["rvd"] == -2 / 8
    assert {type(value) for value in row.values()} == {int, float}  # JSON takes them


def test_surface_distances_are_those_of_face_neighbours_in_mm() -> None:
    a = balls((24, 24, 24), (10, 11, 12, 5))
    t = balls((24, 24, 24), (12, 11, 10, 6), (20, 3, 3, 2))
    spacing = (0.7, 0.9, 2.5)
    edges = []
    for mask in (a, t):
        padded, inside = np.pad(mask, 1), mask.copy()
        for axis in range(3):
            for step in (-1, 1):
                inside &= np.roll(padded, step, axis)[1:-1, 1:-1, 1:-1]
        edges.append(np.argwhere(mask & ~inside) * spacing)
    pairs = cdist(*edges)
    pooled = np.concatenate([pairs.min(axis=1), pairs.min(axis=0)])
    row = volume_metrics(a, t, spacing)
    assert row["assd_mm"] == pytest.approx(pooled.mean())
    assert row["rmsd_mm"] == pytest.approx(math.sqrt((pooled**2).mean()))
    assert row["msd_mm"] == pytest.approx(pooled.max())


def test_exactly_half_of_the_union_is_not_enough_to_detect() -> None:
    truth = blocks((0, 4), (10, 14), (20, 24))
    prediction = blocks((0, 2), (10, 13), (30, 32))  # a half, three quarters, false
    row = volume_metrics(prediction, truth, (1, 1, 1))
    assert row["lesions_truth"] == row["lesions_predicted"] == 3
    assert (row["detected_50"], row["false_50"], row["missed_50"]) == (1, 2, 2)


def test_one_prediction_over_two_lesions_detects_at_most_the_larger() -> None:
    truth = blocks((0, 10), (11, 13))
    row = volume_metrics(blocks((0, 13)), truth, (1, 1, 1))
    assert (row["detected_50"], row["false_50"], row["missed_50"]) == (1, 0, 1)


def test_components_say_their_size_and_what_they_meet() -> None:
    truth = blocks((0, 10), (11, 13), (40, 42))
    prediction = blocks((0, 4), (5, 13), (20, 23))
    table = components(prediction, truth, (1.0, 2.0, 0.5))
    lesions, drawn = (table[table["lesion"] == side] for side in (1, 0))
    assert lesions["voxels"].tolist() == [160, 32, 32]
    assert drawn["voxels"].tolist() == [64, 128, 48]
    assert lesions["common"].tolist() == [16 * 9, 32, 0]
    assert drawn["common"].tolist() == [64, 16 * 7, 0]
    # Of several the largest: the first lesion meets two, the second prediction, too.
    assert lesions["iou"].tolist() == pytest.approx([4 / 10, 2 / 8, 0])
    assert drawn["iou"].tolist() == pytest.approx([4 / 10, 5 / 13, 0])
    ball = 4 / 3 * math.pi * (table["diameter_mm"] / 2) ** 3
    assert ball.tolist() == pytest.approx(table["voxels"].tolist())  # mm3, 1 a voxel
    unknown = components(prediction, truth, None)
    assert unknown["diameter_mm"].isna().all()
    assert unknown.drop(columns="diameter_mm").equals(table.drop(columns="diameter_mm"))


@given(arrays(bool, st.tuples(st.just(2), *[st.integers(1, 6)] * 3)))
def test_components_are_those_of_either_mask(pair) -> None:
    prediction, truth = pair
    table = components(prediction, truth, None)
    for side, mask in ((1, truth), (0, prediction)):
        of = table[table["lesion"] == side]
        assert of["voxels"].sum() == mask.sum()
        assert of["common"].sum() == (prediction & truth).sum()
        assert (of["common"] <= of["voxels"]).all()
        assert ((of["iou"] > 0) == (of["common"] > 0)).all()
    found = table[table["iou"] > 0.5].groupby("lesion").size()  # pairs, one to one
    assert found.nunique() <= 1
    assert len(found) != 1


def test_lesions_that_touch_by_an_edge_are_two() -> None:
    truth = np.zeros((4, 4, 4), dtype=bool)
    truth[0, 0, 0] = truth[1, 1, 0] = True
    assert volume_metrics(truth, truth, (1, 1, 1))["lesions_truth"] == 2


def test_lesion_sizes_are_diameters_of_balls_of_equal_volume() -> None:
    truth = balls((70, 40, 40), (6, 20, 20, 4), (22, 20, 20, 7), (50, 20, 20, 14))
    prediction = truth.copy()
    prediction[:14] = False  # the smallest one is missed
    row = volume_metrics(prediction, truth, (1, 1, 1))  # diameters near 8, 14 and 28
    found = {n: (row[f"lesions_{n}"], row[f"detected_{n}"]) for n in SIZES}
    assert found == {"below_10": (1, 0), "10_20": (1, 1), "above_20": (1, 1)}
    thin = volume_metrics(prediction, truth, (1, 1, 0.1))  # a tenth of the volume
    assert [thin[f"lesions_{n}"] for n in SIZES] == [2, 1, 0]


@pytest.mark.parametrize(
    ("prediction", "truth", "dice", "voe", "rvd", "distance"),
    [
        (blocks(), blocks(), 1, 0, math.nan, 0),
        (blocks(), blocks((0, 2)), 0, 1, -1, math.nan),
        (blocks((0, 2)), blocks(), 0, 1, math.nan, math.nan),
    ],
    ids=["both empty", "missed", "false alarm"],
)
def test_empty_volumes(prediction, truth, dice, voe, rvd, distance) -> None:
    row = volume_metrics(prediction, truth, (1, 1, 1))
    assert (row["dice"], row["voe"]) == (dice, voe)
    assert row["rvd"] == pytest.approx(rvd, nan_ok=True)
    for name in ("assd_mm", "rmsd_mm", "msd_mm"):
        assert row[name] == pytest.approx(distance, nan_ok=True)
    assert row["detected_50"] == 0


def test_without_spacing_nothing_is_said_in_mm() -> None:
    row = volume_metrics(blocks((0, 2)), blocks((0, 2)), None)
    assert row["detected_50"] == 1
    assert not [n for n in row if n.endswith(("_mm", "_10"))]


def test_means_over_cases_and_sums_over_their_lesions() -> None:
    cases = [
        volume_metrics(blocks((0, 4)), blocks((0, 4), (10, 14)), (1, 1, 1)),
        volume_metrics(blocks((0, 4), (20, 22)), blocks(), (1, 1, 1)),
    ]
    columns = {name: [case[name] for case in cases] for name in cases[0]}
    row = summarise_volumes(columns)
    assert row["dice"] == pytest.approx((2 * 4 / 12 + 0) / 2)
    assert row["dice_global"] == pytest.approx(2 * 4 / (4 + 8 + 6))
    assert row["lesion_precision"] == 1 / 3
    assert row["lesion_recall"] == 1 / 2
    assert row["false_50"] == 1  # components a case
    assert row["recall_below_10"] == 1 / 2
    assert math.isnan(row["recall_above_20"])
    assert row["rvd"] == -1 / 2  # of the one case that has tumour


def test_volumes_are_refused_as_slices_are() -> None:
    with pytest.raises(ValueError, match="3 axes"):
        volume_metrics(np.zeros((4, 4), bool), np.zeros((4, 4), bool), (1, 1, 1))
    with pytest.raises(ValueError, match="positive"):
        volume_metrics(blocks(), blocks(), (1, 1, 0))
