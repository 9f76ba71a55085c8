"""What the issue asks of a set of phantoms, at the sizes that are trained."""

import numpy as np
import pytest

from mscf.data.splits import make_split, train_and_test_rows
from mscf.data.store import prepare
from mscf.data.volume import TUMOUR
from mscf.evaluation.baseline import fit_threshold

pytestmark = [pytest.mark.check, pytest.mark.timeout(600)]


@pytest.fixture(scope="module", params=["all", "large"])
def kind_and_store(request, sixteen_phantoms, tmp_path_factory):
    """Sixteen cases at 256 pixels, prepared at 192."""
    folder = tmp_path_factory.mktemp("difficulty") / "store"
    cases = sixteen_phantoms(request.param)
    return request.param, prepare(cases, folder, size=192, processes=1)


def test_a_tumour_fills_about_one_percent_of_its_slice(kind_and_store) -> None:
    kind, store = kind_and_store
    index = store.index
    share = 100 * index["tumour_px"] / (index["height"] * index["width"])
    print(
        f"{kind}: tumour share mean {share.mean():.2f}, median {share.median():.2f}, "
        f"90 % {share.quantile(0.9):.2f}, largest {share.max():.2f} %"
    )
    assert 0.6 < share.mean() < (1.6 if kind == "all" else 2.5)
    if kind == "all":
        assert (share < 0.2).mean() > 0.1  # small ones are in it


def test_no_hu_threshold_in_the_true_liver_reaches_half(kind_and_store) -> None:
    kind, store = kind_and_store
    best = fit_threshold(store, np.arange(len(store)))
    print(f"{kind}: best threshold {best}")
    assert best.training_dice < 0.5

    split = make_split(store.index, "patient", seed=0)
    for fold in range(5):
        train, test = train_and_test_rows(store.index, split, fold)
        prediction = fit_threshold(store, train).mask(
            store.images[test], store.masks[test]
        )
        truth = store.masks[test] == TUMOUR
        dice = 2 * (prediction & truth).sum() / (prediction.sum() + truth.sum())
        print(f"{kind}, fold {fold} held out: {len(test)} slices, Dice {dice:.3f}")
        assert dice < 0.5
