import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from mscf.data.augment import BRIGHTNESS, augment, shift_and_scale


class Dice:
    """A generator whose coins fall as told; its uniform draws are what is given."""

    def __init__(self, coins, draws=()) -> None:
        self.coins, self.draws = list(coins), list(draws)

    def random(self) -> float:
        return 0.49 if self.coins.pop(0) else 0.51

    def uniform(self, low, high, size=None):
        if size is not None:
            return np.array([self.uniform(low, high) for _ in range(size)])
        value = self.draws.pop(0)
        assert low <= value <= high
        return value


NOTHING = [0, 0, 0, 0, 0]


def slice_and_mask(side=64):
    image = torch.rand(1, side, side, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, side, side)
    mask[0, 20:30, 8:24] = 1
    return image, mask


def test_no_coin_no_change() -> None:
    image, mask = slice_and_mask()
    got = augment(image, mask, Dice(NOTHING))
    assert torch.equal(got[0], image)
    assert torch.equal(got[1], mask)


def test_brightness_moves_the_image_within_its_range_and_never_the_mask() -> None:
    image, mask = slice_and_mask()
    got, same = augment(image, mask, Dice([1, 0, 0, 0, 0], [BRIGHTNESS]))
    torch.testing.assert_close(got, (image + 15 / 255).clamp(0, 1))
    assert torch.equal(same, mask)


def test_ranges_are_symmetric_and_no_wider_than_said() -> None:
    asked = []

    class Noting(Dice):
        def uniform(self, low, high, size=None):
            asked.append((low, high))
            return np.zeros(size) if size else 0.0

    augment(*slice_and_mask(), Noting([1, 1, 0, 0, 0]))
    assert asked == [(-15 / 255, 15 / 255)] + [(-0.1, 0.1)] * 3


def test_each_move_is_the_same_for_image_and_mask() -> None:
    _, mask = slice_and_mask()
    for coins, expected in (
        ([0, 0, 1, 0, 0], mask.flip(-1)),
        ([0, 0, 0, 1, 0], mask.flip(-2)),
        ([0, 0, 0, 0, 1], torch.rot90(mask, dims=(-2, -1))),
        ([0, 0, 1, 1, 1], torch.rot90(mask.flip(-1, -2), dims=(-2, -1))),
    ):
        image_moved, mask_moved = augment(mask.clone(), mask, Dice(coins))
        assert torch.equal(image_moved, expected)
        assert torch.equal(mask_moved, expected)


def test_a_shift_moves_by_a_share_of_the_side_and_fills_with_nothing() -> None:
    image, mask = slice_and_mask(side=80)
    # scale, aspect, then right and down: 0.1 and 0.05 of 80 pixels
    draws = [0.0, 0.0, 0.1, 0.05]
    got, moved = shift_and_scale(image + 0.5, mask, Dice([], draws))
    assert torch.equal(moved[0, 24:34, 16:32], torch.ones(10, 16))
    assert moved.sum() == 160
    assert got[:, :4].abs().max() < 1e-5
    assert got[..., :8].abs().max() < 1e-5
    torch.testing.assert_close(got[0, 4:, 8:], (image + 0.5)[0, :-4, :-8])


def test_scale_and_aspect_change_the_sides_as_they_say() -> None:
    mask = torch.zeros(1, 200, 200)
    mask[0, 50:150, 50:150] = 1
    for scale, aspect in ((0.1, 0.0), (-0.1, 0.0), (0.0, 0.1), (0.05, -0.1)):
        _, got = shift_and_scale(mask, mask, Dice([], [scale, aspect, 0.0, 0.0]))
        width = int(got[0].any(dim=0).sum())
        height = int(got[0].any(dim=1).sum())
        assert abs(width - 100 * (1 + scale) * (1 + aspect) ** 0.5) <= 1
        assert abs(height - 100 * (1 + scale) / (1 + aspect) ** 0.5) <= 1


def test_an_aspect_stretches_a_slice_where_ce_net_gives_both_sides_one_factor() -> None:
    """A deviation of ours (open point 26): theirs is scale * sqrt(aspect), twice."""
    mask = torch.zeros(1, 448, 448)
    mask[0, 124:324, 124:324] = 1
    _, got = shift_and_scale(mask, mask, Dice([], [0.0, -0.1, 0.0, 0.0]))
    width, height = (int(got[0].any(dim=side).sum()) for side in (0, 1))
    theirs = round(200 * 0.9**0.5)
    assert (width, height, theirs) == (190, 210, 190)


@given(st.integers(0, 2**32 - 1))
def test_whatever_is_drawn_stays_a_slice_and_a_mask(seed) -> None:
    image, mask = slice_and_mask()
    before = image.clone(), mask.clone()
    got, moved = augment(image, mask, np.random.default_rng(seed))
    assert got.shape == image.shape
    assert moved.shape == mask.shape
    assert 0 <= got.min() <= got.max() <= 1
    assert set(moved.unique().tolist()) <= {0.0, 1.0}
    assert moved.sum() > 0
    assert torch.equal(image, before[0])
    assert torch.equal(mask, before[1])


def test_each_step_happens_about_half_of_the_time() -> None:
    image = torch.zeros(1, 32, 32)
    image[0, 3, 5] = 1.0
    mask = image.clone()
    unchanged = sum(
        torch.equal(augment(image, mask, np.random.default_rng(seed))[1], mask)
        for seed in range(2000)
    )
    # Shift, two flips and the turn all left out: 1/16, and rare returns to the place.
    assert 80 < unchanged < 190
