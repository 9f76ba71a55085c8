import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mask_pairs import SHAPES, disc, random_pairs, single

from mscf.evaluation.distances import surface_distances
from mscf.evaluation.metrics import (
    EMPTY_RULES,
    RATES,
    f1_of,
    slice_metrics,
    summarise,
)

SHAPE = (12, 10)
NOTHING = np.zeros(SHAPE, dtype=bool)
SQUARE = NOTHING.copy()
SQUARE[2:6, 2:6] = True
SHIFTED = np.roll(SQUARE, 1, axis=1)  # 12 of 16 pixels in common
APART = np.roll(SQUARE, 5, axis=0)


# A second implementation


@pytest.fixture(scope="module")
def monai():
    """MONAI's metrics of a stack: what each of our names is there."""
    import mscf.compat  # noqa: F401  (before anything imports torchvision)

    torch = pytest.importorskip("torch")
    metrics = pytest.importorskip("monai.metrics")

    def compute(prediction, truth):
        a, t = (torch.from_numpy(m)[:, None].float() for m in (prediction, truth))
        matrix = metrics.get_confusion_matrix(a, t, include_background=True)
        found = {
            "dice": metrics.compute_dice(a, t),
            "jaccard": metrics.compute_iou(a, t),
            "hd_edge": metrics.compute_hausdorff_distance(a, t, True),
            "hd95": metrics.compute_hausdorff_distance(a, t, True, percentile=95),
        }
        for name in ("precision", "recall", "specificity"):
            found[name] = metrics.compute_confusion_matrix_metric(name, matrix)
        return {name: value.flatten().numpy() for name, value in found.items()}

    return compute


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("shape", SHAPES)
def test_monai_agrees_on_rates_and_on_boundary_distances(shape, monai) -> None:
    prediction, truth = random_pairs(shape, 20)
    ours = slice_metrics(prediction, truth, empty="nan", surface=True)
    for name, theirs in monai(prediction, truth).items():
        tolerance = 1e-4 if name in ("hd_edge", "hd95") else 1e-6  # it is float32
        np.testing.assert_allclose(ours[name], theirs, 0, tolerance, err_msg=name)


def test_hd95_is_the_larger_direction_s_percentile_not_that_of_both() -> None:
    """A far island is 1 of 15 edge pixels of its own mask, but 1 of 29 of both."""
    truth = disc((120, 120), (40, 40), 20)
    prediction = truth.copy()
    prediction[100:103, 100:103] = True
    there, back = surface_distances(prediction, truth, (1, 1))
    both = np.percentile(np.concatenate([there, back]), 95)  # as medpy has it
    assert both == 0
    assert slice_metrics(prediction, truth, surface=True)["hd95"] > 60


# Empty masks: the table


@pytest.mark.parametrize("empty", EMPTY_RULES)
@pytest.mark.parametrize(
    ("outcome", "prediction", "truth", "dice", "precision", "recall", "specificity"),
    [
        ("overlap", SHIFTED, SQUARE, 0.75, 0.75, 0.75, 100 / 104),
        ("elsewhere", APART, SQUARE, 0, 0, 0, 88 / 104),
        ("missed", NOTHING, SQUARE, 0, "0/0", 0, 1),
        ("false_alarm", SQUARE, NOTHING, 0, 0, "0/0", 104 / 120),
        ("clean", NOTHING, NOTHING, "0/0", "0/0", "0/0", 1),
        ("overlap", SQUARE, ~NOTHING, 32 / 136, 1, 16 / 120, "0/0"),
        ("overlap", ~NOTHING, ~NOTHING, 1, 1, 1, "0/0"),
        ("missed", NOTHING, ~NOTHING, 0, "0/0", 0, "0/0"),
    ],
)
def test_rates_and_outcome_of_every_kind_of_slice_under_every_rule(
    empty, outcome, prediction, truth, dice, precision, recall, specificity
) -> None:
    row = slice_metrics(prediction, truth, empty=empty)
    same = float(np.array_equal(prediction, truth))
    undefined = {"strict": same, "nan": math.nan, "one": 1.0, "zero": 0.0}[empty]
    jaccard = dice if dice == "0/0" else dice / (2 - dice)
    expected = {
        "dice": dice, "f1": dice, "jaccard": jaccard,
        "precision": precision, "recall": recall, "specificity": specificity,
    }  # fmt: skip
    for name, value in expected.items():
        value = undefined if value == "0/0" else value
        assert row[name] == pytest.approx(value, abs=1e-15, nan_ok=True), name
    assert row["outcome"] == outcome


def test_counts_are_whole_numbers_of_pixels() -> None:
    row = slice_metrics(SHIFTED, SQUARE)
    names = ("truth_px", "predicted_px", "tp", "fp", "fn", "tn")
    assert [row[n] for n in names] == [16, 16, 12, 4, 4, 100]
    assert all(isinstance(row[n], int) for n in names)


# Shapes and kinds of input


def test_a_stack_equals_its_slices_one_by_one() -> None:
    prediction, truth = random_pairs((30, 41), 24)
    prediction[3] = truth[5] = prediction[7] = truth[7] = False
    spacing = np.random.default_rng(0).uniform(0.5, 2, size=(24, 2))
    stack = slice_metrics(prediction, truth, spacing, surface=True)
    for i in range(24):
        row = slice_metrics(prediction[i], truth[i], spacing[i], surface=True)
        assert row.keys() == stack.keys()
        for name, value in row.items():
            np.testing.assert_equal(stack[name][i], value, err_msg=name)


@pytest.mark.parametrize("shape", [(1, 20, 20), (20, 1, 20), (20, 20, 1)])
def test_a_stack_of_thin_slices_keeps_its_axes(shape) -> None:
    masks = np.ones(shape, dtype=bool)
    assert slice_metrics(masks, masks)["dice"].shape == shape[:1]


def test_integers_noncontiguous_and_read_only_arrays_give_the_same() -> None:
    prediction, truth = random_pairs((30, 40), 6)
    expected = slice_metrics(prediction, truth, surface=True)
    wide = np.zeros((6, 60, 80), dtype=np.int16)
    wide[:, ::2, ::2] = prediction
    fortran = np.asfortranarray(truth.astype(np.uint8))
    fortran.setflags(write=False)
    before = wide.copy()
    found = slice_metrics(wide[:, ::2, ::2], fortran, surface=True)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    assert np.array_equal(wide, before)


MASK = np.zeros((4, 5), dtype=bool)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prediction": np.zeros((5, 4), bool)}, "one shape"),
        ({"prediction": np.zeros((4, 5))}, "integers 0 and 1, found float64"),
        ({"truth": np.full((4, 5), np.nan)}, "integers 0 and 1, found float64"),
        ({"truth": np.full((4, 5), 2, np.uint8)}, "only 0 and 1, found 2 to 2"),
        ({"truth": np.full((4, 5), -1)}, "only 0 and 1, found -1 to -1"),
        ({"prediction": MASK[:0], "truth": MASK[:0]}, "must have pixels"),
        ({"prediction": MASK[0], "truth": MASK[0]}, "must have 2 or 3 axes"),
        ({"spacing": (1, 0)}, "positive"),
        ({"spacing": (1, math.nan)}, "positive"),
        ({"spacing": (1, -1)}, "positive"),
        ({"spacing": (1, 1, 1)}, "2 numbers"),
        ({"empty": "maybe"}, "strict, nan, one, zero, not maybe"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(arguments, message) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        slice_metrics(**({"prediction": MASK, "truth": MASK} | arguments))
    assert "\n" not in str(caught.value)


# Properties


def pairs_of_masks(n=2):
    shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
    masks = shapes.flatmap(lambda s: arrays(bool, (n, *s)))
    sparse = masks.map(lambda m: m & (np.indices(m.shape).sum(axis=0) % 5 == 0))
    return st.one_of(masks, sparse)


quick = settings(max_examples=60, deadline=None, derandomize=True, database=None)


@quick
@given(pairs_of_masks())
def test_dice_jaccard_and_hd_are_symmetric_and_precision_mirrors_recall(pair) -> None:
    there, back = slice_metrics(*pair, surface=True), slice_metrics(*pair[::-1])
    for name in ("dice", "jaccard", "f1", "hd", "hd_diagonal", "hd_farthest"):
        np.testing.assert_equal(there[name], back[name])
    assert there["precision"] == back["recall"]
    assert there["f1"] == there["dice"]
    assert there["jaccard"] == pytest.approx(there["dice"] / (2 - there["dice"]))


@quick
@given(pairs_of_masks())
def test_hd_is_zero_exactly_for_equal_masks_and_never_above_its_bounds(pair) -> None:
    row = slice_metrics(*pair, surface=True)
    assert (row["hd_diagonal"] == 0) == np.array_equal(*pair)
    assert row["hd_farthest"] <= row["hd_diagonal"] <= math.hypot(*pair.shape[1:])
    if pair[0].any() and pair[1].any():
        worst = max(
            slice_metrics(mask, np.zeros_like(mask))["hd_farthest"] for mask in pair
        )
        assert row["hd"] <= worst
        assert max(row["hd95"], row["assd"]) <= row["hd_edge"]


@quick
@given(pairs_of_masks(3))
def test_hd_keeps_the_triangle_inequality(masks) -> None:
    a, b, c = (mask | single(mask.shape, (0, 0)) for mask in masks)
    ab, bc, ac = (slice_metrics(*p)["hd"] for p in ((a, b), (b, c), (a, c)))
    assert ac <= ab + bc + 1e-9


@quick
@given(pairs_of_masks(), st.sampled_from(["rows", "columns", "turn", "transpose"]))
def test_flips_and_turns_change_nothing(pair, move) -> None:
    moved = {
        "rows": pair[:, ::-1], "columns": pair[:, :, ::-1],
        "turn": np.rot90(pair, axes=(1, 2)), "transpose": pair.transpose(0, 2, 1),
    }[move]  # fmt: skip
    expected = slice_metrics(*pair, surface=True)
    for name, value in slice_metrics(*moved, surface=True).items():
        if name == "outcome":
            assert value == expected[name]
        else:
            assert value == pytest.approx(expected[name], abs=1e-12, nan_ok=True)


@quick
@given(pairs_of_masks(), st.tuples(*[st.integers(0, 7)] * 4))
def test_a_wider_image_changes_only_specificity_and_the_penalties(pair, by) -> None:
    wide = np.pad(pair, ((0, 0), by[:2], by[2:]))
    row = slice_metrics(*pair, surface=True)
    wider = slice_metrics(*wide, surface=True)
    own = {"tn", "specificity", "hd_diagonal", "hd_farthest"}
    for name in row.keys() - own:
        np.testing.assert_equal(wider[name], row[name], err_msg=name)


# Means


def test_f1_of_the_summary_is_made_of_mean_precision_and_mean_recall() -> None:
    rows = slice_metrics(
        np.stack([SHIFTED, SQUARE, NOTHING]), np.stack([SQUARE, SQUARE, SQUARE])
    )
    means = summarise(rows)
    precision, recall = (0.75 + 1 + 0) / 3, (0.75 + 1 + 0) / 3
    assert means["f1"] == pytest.approx(2 * precision * recall / (precision + recall))
    assert means["f1_mean"] == means["dice"] == pytest.approx((0.75 + 1) / 3)


def test_f1_leaves_the_mean_dice_where_precision_and_recall_part() -> None:
    large = disc(SHAPE, (4, 4), 3)
    small = disc(SHAPE, (4, 4), 1)
    means = summarise(slice_metrics(np.stack([large, small]), np.stack([small, large])))
    p = (small.sum() / large.sum() + 1) / 2
    assert means["precision"] == means["recall"] == means["f1"] == pytest.approx(p)
    assert means["f1_mean"] < means["f1"]


def test_undefined_values_are_left_out_of_means() -> None:
    rows = slice_metrics(np.stack([SHIFTED, NOTHING]), np.stack([SQUARE, SQUARE]))
    means = summarise(rows)
    assert means["hd"] == 1
    assert means["hd_diagonal"] == (1 + math.hypot(*SHAPE)) / 2
    rows = slice_metrics(NOTHING[None], SQUARE[None], empty="nan", spacing=(1, 2))
    means = summarise(rows)
    assert math.isnan(means["precision"])
    assert math.isnan(means["hd_mm"])
    assert means["recall"] == 0


@pytest.mark.parametrize("name", RATES)
def test_predicting_nothing_gains_nothing_under_strict(name) -> None:
    rows = slice_metrics(np.stack([SHIFTED, NOTHING]), np.stack([SQUARE, SQUARE]))
    alone = slice_metrics(SHIFTED, SQUARE)
    if name == "specificity":
        assert rows[name][1] == 1
    else:
        assert summarise(rows)[name] < alone[name]


def test_f1_of_zero_precision_and_recall_is_zero() -> None:
    assert f1_of(0.0, 0.0) == 0
    assert math.isnan(f1_of(math.nan, 0.5))
