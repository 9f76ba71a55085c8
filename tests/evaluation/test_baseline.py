from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from mscf.errors import InputError
from mscf.evaluation.baseline import evaluate_threshold, fit_threshold
from mscf.evaluation.metrics import rates
from mscf.evaluation.tables import identify


def store_of(images, masks):
    n = len(images)
    index = pd.DataFrame({
        "case": "a", "patient": "p", "slice": np.arange(n), "spacing_known": True,
        "spacing_y": 0.7, "spacing_x": 0.7,
    }, index=np.arange(n))  # fmt: skip
    return SimpleNamespace(
        folder=Path("store"), index=index,
        images=np.asarray(images, np.int16), masks=np.asarray(masks, np.uint8),
    )  # fmt: skip


def scan(n=6, size=24, tumour_hu=60, seed=0):
    """A liver of 100 HU with a lesion, noise of 20, everything else far darker."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, size, size), dtype=np.uint8)
    masks[:, 4:20, 4:20] = 1
    masks[:, 8:13, 9:15] = 2
    hu = np.choose(masks, [-900, 100, tumour_hu]) + rng.normal(0, 20, masks.shape)
    return store_of(hu.round(), masks)


def pooled_dice(prediction, truth):
    return 2 * (prediction & truth).sum() / (prediction.sum() + truth.sum())


@pytest.mark.parametrize(("tumour_hu", "direction"), [(60, "below"), (150, "above")])
def test_no_other_integer_threshold_is_better(tumour_hu, direction) -> None:
    store, rows = scan(tumour_hu=tumour_hu), np.array([0, 1, 2, 4])
    fitted = fit_threshold(store, rows)
    liver, truth = store.masks[rows] > 0, store.masks[rows] == 2
    hu = store.images[rows]
    every = range(int(hu.min()) - 1, int(hu.max()) + 2)
    below = [pooled_dice(liver & (hu <= t), truth) for t in every]
    above = [pooled_dice(liver & (hu >= t), truth) for t in every]
    assert fitted.direction == direction
    assert fitted.training_dice == max(*below, *above)
    assert pooled_dice(fitted.mask(hu, store.masks[rows]), truth) == max(*below, *above)


def test_the_threshold_is_fitted_on_the_training_rows_only() -> None:
    store = scan()
    changed = scan()
    changed.images[5] = -changed.images[5]
    rows = np.arange(5)
    assert fit_threshold(store, rows) == fit_threshold(changed, rows)
    assert fit_threshold(store, np.arange(6)) != fit_threshold(changed, np.arange(6))


def test_nothing_outside_the_liver_is_drawn() -> None:
    store = scan()
    mask = fit_threshold(store, np.arange(6)).mask(store.images, store.masks)
    assert mask.any()
    assert not mask[store.masks == 0].any()


def test_the_ends_of_int16_are_thresholds_like_others() -> None:
    masks = np.ones((1, 4, 4))
    masks[0, 0] = 2
    for low, high, direction in ((-32768, 0, "below"), (32767, 0, "above")):
        images = np.where(masks == 2, low, high)
        fitted = fit_threshold(store_of(images, masks), np.array([0]))
        assert (fitted.direction, fitted.hu, fitted.training_dice) == (
            direction,
            low,
            1,
        )


def test_rows_are_those_of_an_evaluation_and_their_pooled_dice_is_the_fit_s() -> None:
    store, rows = scan(), np.array([1, 3, 5])
    fitted = fit_threshold(store, rows)
    table = evaluate_threshold(fitted, store, rows)
    signed = identify(table, "phantoms", "patient", 0, "hu_threshold", 0)
    assert signed["slice"].tolist() == [1, 3, 5]
    assert signed["assd_mm"].notna().all()
    counts = (np.array([signed[name].sum()]) for name in ("tp", "fp", "fn", "tn"))
    assert rates(*counts)["dice"][0] == pytest.approx(fitted.training_dice)


def test_training_slices_without_tumour_are_refused() -> None:
    store = scan()
    store.masks[:] = 1
    with pytest.raises(InputError, match="no-tumour"):
        fit_threshold(store, np.arange(6))
