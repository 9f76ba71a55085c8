"""The network learns: four tumour slices of phantoms, overfitted."""

import pytest
import torch
from torch.optim import Adam
from torch.optim.swa_utils import update_bn

import mscf
from mscf.data.dataset import SliceDataset, make_loader, three_channels
from mscf.data.phantom import make_phantoms
from mscf.data.store import prepare
from mscf.training.distributed import Ranks
from mscf.training.loop import train_one_epoch
from mscf.training.passes import precision
from mscf.training.settings import TrainSettings
from mscf.training.start import start_at_log_odds
from mscf.training.state import RunState
from mscf.training.stopping import StopRequest


@pytest.fixture(scope="module")
def four_slices(tmp_path_factory) -> SliceDataset:
    """The slice with most tumour of each of four phantom patients, at 192 x 192."""
    folder = tmp_path_factory.mktemp("phantoms")
    make_phantoms(
        folder / "cases", cases=4, seed=0, size=192, lesions="large", processes=1
    )
    store = prepare(folder / "cases", folder / "store", size=192, processes=1)
    largest = store.index.groupby("case")["stored_tumour_px"].idxmax()
    return SliceDataset(store, store.index.loc[largest, "row"].to_numpy())


def tumour_dice(model, slices) -> float:
    """Dice pooled over the slices, the model in whatever mode it is."""
    (images, targets), *_ = make_loader(slices, len(slices))
    with torch.no_grad():
        prediction = model(three_channels(images)) > 0
    both = (prediction & (targets > 0)).sum()
    return float(2 * both / (prediction.sum() + targets.sum()))


@pytest.mark.check
@pytest.mark.timeout(600)
def test_four_tumour_slices_are_overfitted(four_slices, tmp_path) -> None:
    settings = TrainSettings(data=tmp_path, out=tmp_path, gpus=0).resolved()
    torch.manual_seed(0)
    model = mscf.build("mscf").to(memory_format=torch.channels_last)
    start_at_log_odds(model, four_slices)
    optimizer = Adam(model.parameters(), 5e-4, fused=True)
    loader = make_loader(four_slices, len(four_slices))
    state = RunState(settings, four_slices.store, model, optimizer, Ranks())
    before = tumour_dice(model.eval(), four_slices)
    with precision(settings):
        for epoch in range(1, 61):
            train_one_epoch(model, loader, state, StopRequest())
            if epoch % 5 == 0:
                batch_statistics = tumour_dice(model.train(), four_slices)
                if batch_statistics >= 0.97:  # the statistics anew cost up to 0.002
                    break
        lagging = tumour_dice(model.eval(), four_slices)
        with torch.no_grad():  # its running means are of steps long gone
            update_bn((three_channels(images) for images, _ in loader), model)
        refreshed = tumour_dice(model.eval(), four_slices)
    print(
        f"before {before:.3f}, after {epoch} epochs: "
        f"batch statistics {batch_statistics:.3f}, "
        f"evaluation mode {lagging:.3f}, estimated anew {refreshed:.3f}"
    )
    assert before < 0.1
    assert batch_statistics >= 0.95
    assert refreshed >= 0.95
