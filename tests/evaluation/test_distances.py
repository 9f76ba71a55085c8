import math

import numpy as np
import pytest
from mask_pairs import SHAPES, disc, random_pairs, single
from scipy.ndimage import distance_transform_edt
from scipy.spatial.distance import cdist, directed_hausdorff
from skimage.metrics import hausdorff_distance

from mscf.evaluation.distances import boundary, joint_box, nearest
from mscf.evaluation.metrics import slice_metrics

GRID = (448, 448)


def plain_hausdorff(a, b, spacing=(1, 1)):
    """The definition: all pixels against all pixels."""
    a, b = np.argwhere(a) * spacing, np.argwhere(b) * spacing
    return max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0])


def plain_surface(a, b, spacing=(1, 1)):
    """Distances of boundary pixels, both directions, by the table of all pairs."""
    edges = []
    for mask in (a, b):
        padded = np.pad(mask, 1)
        inside = (
            padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        )
        edges.append(np.argwhere(mask & ~inside) * spacing)
    pairs = cdist(*edges)
    return pairs.min(axis=1), pairs.min(axis=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_hd_equals_scipy_on_points_and_scikit_image(shape) -> None:
    prediction, truth = random_pairs(shape, 50)
    ours = slice_metrics(prediction, truth)["hd"]
    for a, t, hd in zip(prediction, truth, ours, strict=True):
        assert hd == pytest.approx(plain_hausdorff(a, t), abs=1e-9)
        assert hd == pytest.approx(hausdorff_distance(a, t), abs=1e-9)


@pytest.mark.parametrize("shape", [SHAPES[1], SHAPES[4], SHAPES[5]])
@pytest.mark.parametrize("spacing", [(0.7, 0.7), (0.8, 1.9)])
def test_millimetres_equal_the_definition_on_scaled_points(shape, spacing) -> None:
    prediction, truth = random_pairs(shape, 20, seed=1)
    ours = slice_metrics(prediction, truth, spacing, surface=True)
    for i, (a, t) in enumerate(zip(prediction, truth, strict=True)):
        there, back = plain_surface(a, t, spacing)
        expected = {
            "hd_mm": plain_hausdorff(a, t, spacing),
            "hd_edge_mm": max(there.max(), back.max()),
            "hd95_mm": max(np.percentile(there, 95), np.percentile(back, 95)),
            "assd_mm": np.concatenate([there, back]).mean(),
        }
        for name, value in expected.items():
            assert ours[name][i] == pytest.approx(value, abs=1e-9), name


def test_the_nearest_pixel_may_change_with_the_spacing() -> None:
    truth = single((20, 20), (0, 5), (6, 0))
    row = slice_metrics(single((20, 20), (0, 0), (0, 5), (6, 0)), truth, (1, 2))
    assert row["hd"] == 5
    assert row["hd_mm"] == 6  # now the other one, at 6 rows of 1 mm


def test_surface_columns_equal_the_definition() -> None:
    prediction, truth = random_pairs((40, 31), 40, seed=2)
    ours = slice_metrics(prediction, truth, surface=True)
    for i, (a, t) in enumerate(zip(prediction, truth, strict=True)):
        there, back = plain_surface(a, t)
        n = there.size + back.size
        assert ours["assd"][i] == pytest.approx((there.sum() + back.sum()) / n)
        assert ours["hd_edge"][i] == max(there.max(), back.max())


@pytest.mark.parametrize("density", [0.001, 0.02, 0.5, 0.99])
def test_all_three_ways_give_the_same_bits(density) -> None:
    rng = np.random.default_rng(0)
    queries, targets = rng.random((2, 90, 90)) < density
    targets[40, 40] = True
    found = nearest(queries, targets, (1.0, 1.0))
    expected = distance_transform_edt(~targets)[queries]
    assert np.array_equal(found, expected)
    roots = np.sqrt(np.rint(found**2))  # correctly rounded roots of integers
    assert np.array_equal(found, roots)


BODY = disc((100, 100), (50, 50), 15)


@pytest.mark.parametrize(
    ("other", "hd", "hd_edge"),
    [
        (BODY & ~disc((100, 100), (50, 59), 5), 5.10, 11.05),
        (disc((100, 100), (50, 50), 19) & ~BODY, 15.03, 4.12),
        (BODY & ~disc((100, 100), (50, 50), 12), 12.04, 2.83),
    ],
    ids=["eccentric hole", "ring around it", "its own rim"],
)
def test_pixels_and_boundaries_part_where_the_deciding_pixel_lies_inside(
    other, hd, hd_edge
) -> None:
    row = slice_metrics(BODY, other, surface=True)
    assert row["hd"] == pytest.approx(hd, abs=0.005)
    assert row["hd_edge"] == pytest.approx(hd_edge, abs=0.005)


def test_a_pixel_is_boundary_by_its_edge_neighbours_and_at_the_image_border() -> None:
    expected = np.ones((5, 6), dtype=bool)
    expected[1:-1, 1:-1] = False
    assert np.array_equal(boundary(np.ones((5, 6), dtype=bool)), expected)
    diagonal_gap = np.ones((5, 5), dtype=bool)
    diagonal_gap[1, 1] = False  # corner neighbour of (2, 2)
    assert not boundary(diagonal_gap)[2, 2]
    assert boundary(diagonal_gap)[1, 2]


def test_the_joint_box_holds_both_masks_and_no_empty_border() -> None:
    a, b = single((30, 40), (3, 9)), single((30, 40), (20, 4))
    assert joint_box(a, b) == (slice(3, 21), slice(4, 10))
    nothing = np.zeros((30, 40), dtype=bool)
    assert nothing[joint_box(nothing, nothing)].size == 0


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (single(GRID, (9, 9)), single(GRID, (9, 9)), 0),
        (single(GRID, (9, 9)), single(GRID, (12, 13)), 5),
        (single(GRID, (0, 0)), single(GRID, (447, 447)), 447 * math.sqrt(2)),
        (np.ones(GRID, bool), single(GRID, (0, 0)), 447 * math.sqrt(2)),
        (single((1, 1), (0, 0)), single((1, 1), (0, 0)), 0),
        (single((1, 9), (0, 1)), single((1, 9), (0, 8)), 7),
        (single((9, 1), (8, 0)), single((9, 1), (0, 0)), 8),
        (
            single((3, 100), (1, 1)),
            single((3, 100), (1, 1), (2, 99)),
            math.hypot(1, 98),
        ),
    ],
    ids=[
        "identical",
        "shifted",
        "opposite corners",
        "whole image",
        "one pixel",
        "one row",
        "one column",
        "oblong",
    ],
)
def test_distances_known_by_hand(a, b, expected) -> None:
    row = slice_metrics(a, b, surface=True)
    assert row["hd"] == row["hd_diagonal"] == row["hd_farthest"] == expected
    if expected in (0, 5):  # one pixel against one: every distance is that one
        assert row["hd_edge"] == row["hd95"] == row["assd"] == expected


def test_masks_and_their_complements_lie_a_step_apart() -> None:
    rows, columns = np.indices((61, 60))
    board = (rows + columns) % 2 == 0
    row = slice_metrics(board, ~board, surface=True)
    assert row["hd"] == row["hd_edge"] == row["hd95"] == row["assd"] == 1
    body = disc((61, 60), (30, 30), 8)
    assert slice_metrics(body, ~body)["hd"] == plain_hausdorff(body, ~body)


@pytest.mark.parametrize("side", ["top", "bottom", "left", "right", "frame"])
def test_masks_touching_the_border_are_measured_as_elsewhere(side) -> None:
    a, b = np.zeros((2, 30, 41), dtype=bool)
    part = {
        "top": np.s_[:4, 5:20], "bottom": np.s_[-4:, 5:20],
        "left": np.s_[7:20, :4], "right": np.s_[7:20, -4:],
    }  # fmt: skip
    if side == "frame":
        a[:], a[1:-1, 1:-1] = True, False
        b[10:13, 10:13] = True
    else:
        a[part[side]] = True
        b[12:18, 15:25] = True
    inner = slice_metrics(np.pad(a, 9), np.pad(b, 9), surface=True)
    row = slice_metrics(a, b, surface=True)
    there, back = plain_surface(a, b)
    assert row["hd"] == inner["hd"] == plain_hausdorff(a, b)
    assert row["hd_edge"] == inner["hd_edge"] == max(there.max(), back.max())
    assert row["assd"] == inner["assd"]


class TestOneMaskEmpty:
    lesion = disc((448, 300), (100, 80), 6)
    nothing = np.zeros((448, 300), dtype=bool)

    @pytest.mark.parametrize("reverse", [False, True], ids=["missed", "false alarm"])
    def test_three_rules_in_three_columns(self, reverse) -> None:
        pair = (self.lesion, self.nothing) if reverse else (self.nothing, self.lesion)
        row = slice_metrics(*pair, spacing=(2, 0.5), surface=True)
        assert all(math.isnan(row[n]) for n in ("hd", "hd_edge", "hd95", "assd"))
        assert all(math.isnan(row[f"{n}_mm"]) for n in ("hd", "hd_edge", "assd"))
        assert row["hd_diagonal"] == math.hypot(448, 300)
        assert row["hd_diagonal_mm"] == math.hypot(896, 150)
        corners = np.array([(0, 0), (0, 299), (447, 0), (447, 299)])
        pixels = np.argwhere(self.lesion)
        assert row["hd_farthest"] == pytest.approx(cdist(pixels, corners).max())
        scaled = cdist(pixels * (2, 0.5), corners * (2, 0.5)).max()
        assert row["hd_farthest_mm"] == pytest.approx(scaled)

    def test_the_diagonal_of_the_paper_s_grid(self) -> None:
        truth = single(GRID, (3, 3))
        row = slice_metrics(np.zeros(GRID, bool), truth)
        assert row["hd_diagonal"] == pytest.approx(448 * math.sqrt(2), rel=1e-15)

    def test_both_empty_is_zero_under_every_rule(self) -> None:
        row = slice_metrics(self.nothing, self.nothing, (1, 2), surface=True)
        names = ["hd", "hd_diagonal", "hd_farthest", "hd_edge", "hd95", "assd"]
        assert all(row[n] == row[f"{n}_mm"] == 0 for n in names)


@pytest.mark.parametrize("name", ["hd", "hd_edge", "hd95", "assd"])
def test_square_spacing_scales_and_unit_spacing_changes_nothing(name) -> None:
    prediction, truth = random_pairs((25, 30), 10, seed=3)
    one = slice_metrics(prediction, truth, (1, 1), surface=True)
    other = slice_metrics(prediction, truth, (0.5, 0.5), surface=True)
    assert np.array_equal(one[name], one[f"{name}_mm"])
    assert np.array_equal(one[name] / 2, other[f"{name}_mm"])
