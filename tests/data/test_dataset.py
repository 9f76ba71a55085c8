import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mscf.data.dataset import (
    Batches,
    SliceDataset,
    batch_sizes,
    make_loader,
    three_channels,
    windowed,
)
from mscf.data.store import open_store


@pytest.fixture(scope="module")
def store(tiny_store):
    return open_store(tiny_store)


def test_the_window_maps_its_ends_to_0_and_1_and_cuts() -> None:
    hu = np.array([-1024, -40, 60, 160, 3000], np.int16)
    got = windowed(hu)
    assert got.dtype == np.float32
    assert got.tolist() == [0, 0, 0.5, 1, 1]
    assert windowed(hu, (0, 120)).tolist() == [0, 0, 0.5, 1, 1]


def test_an_item_is_the_scaled_slice_and_its_tumour(store) -> None:
    slices = SliceDataset(store, [4, 2])
    image, target = slices[1]
    assert image.shape == target.shape == (1, 192, 192)
    assert image.dtype == target.dtype == torch.float32
    expected = windowed(store.images[2]) * 3.2 - 1.6
    np.testing.assert_allclose(image[0], expected, atol=1e-6)
    assert np.array_equal(target[0].numpy(), store.masks[2] == 2)
    assert slices.index["row"].tolist() == [4, 2]


def test_augmentation_depends_on_seed_epoch_and_slice_alone(store) -> None:
    def drawn(rows, i, epoch, seed=0):
        slices = SliceDataset(store, rows, augment=True, seed=seed)
        return slices[epoch, i][0]

    assert torch.equal(drawn([5, 1], 0, epoch=3), drawn([0, 5], 1, epoch=3))
    plain = SliceDataset(store, [5], augment=True)[0][0]
    changed = [drawn([5], 0, epoch) for epoch in range(8)]
    assert any(not torch.equal(one, plain) for one in changed)
    assert any(not torch.equal(one, changed[0]) for one in changed)
    others = [drawn([5], 0, epoch, seed=1) for epoch in range(8)]
    assert any(not torch.equal(a, b) for a, b in zip(changed, others, strict=True))


def test_without_augmentation_every_epoch_is_the_slice_itself(store) -> None:
    slices = SliceDataset(store, [5])
    assert torch.equal(slices[7, 0][0], slices[0][0])


@given(st.integers(1, 500), st.integers(1, 16))
def test_batches_drop_nothing_and_end_evenly(n, size) -> None:
    sizes = batch_sizes(n, size)
    assert sum(sizes) == n
    assert max(sizes) <= size
    if n > 1 and size > 2:
        assert min(sizes) > 1
    if len(sizes) > 1:
        assert sizes[-2] - sizes[-1] in (0, 1)


def test_seventeen_slices_end_in_five_and_four() -> None:
    assert batch_sizes(17, 8) == [8, 5, 4]
    assert batch_sizes(16, 8) == [8, 8]
    assert batch_sizes(15, 8) == [8, 7]
    assert batch_sizes(5, 8) == [5]


@given(st.integers(1, 60), st.integers(0, 9), st.integers(0, 9))
def test_an_epoch_shows_every_slice_once_in_an_order_of_its_own(n, seed, epoch) -> None:
    batches = Batches(n, 8, seed)
    batches.set_position(epoch)
    keys = [key for batch in batches for key in batch]
    assert sorted(keys) == [(epoch, i) for i in range(n)]
    assert keys == [key for batch in batches for key in batch]
    if n > 20:
        batches.set_position(epoch + 1)
        assert [i for _, i in keys] != [i for b in batches for _, i in b]


@pytest.mark.check
def test_batches_are_the_same_with_and_without_workers(store) -> None:
    def batches(workers):
        slices = SliceDataset(store, range(11), augment=True, seed=5)
        loader = make_loader(slices, 4, workers=workers)
        seen = []
        for epoch in range(2):
            loader.batch_sampler.set_position(epoch)
            seen += list(loader)
        return seen

    here, there = batches(0), batches(2)
    assert len(here) == len(there) == 6
    for one, other in zip(here, there, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_memory_is_pinned_where_it_is_asked_for(store, monkeypatch) -> None:
    """Not wherever there is a GPU: that makes a context there in every process."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    slices = SliceDataset(store, [0, 1])
    assert not make_loader(slices, 2).pin_memory
    assert make_loader(slices, 2, pinned=True).pin_memory


def test_a_store_goes_to_a_worker_as_its_folder(store) -> None:
    packed = pickle.dumps(SliceDataset(store, [0, 1]))
    assert len(packed) < 20_000  # not the arrays
    assert torch.equal(pickle.loads(packed)[1][0], SliceDataset(store, [1])[0][0])


def test_three_channels_are_the_slice_three_times() -> None:
    images = torch.rand(2, 1, 4, 4)
    got = three_channels(images)
    assert got.shape == (2, 3, 4, 4)
    assert all(torch.equal(got[:, c], images[:, 0]) for c in range(3))
