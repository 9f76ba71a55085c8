import numpy as np
import pytest
import torch
from small_contexts import Small, entering, plain_map

from mscf import build
from mscf.data.dataset import SliceDataset
from mscf.data.store import open_store
from mscf.errors import InputError, SettingsError
from mscf.evaluation.lesion_attention import lesions_of
from mscf.kept import asking
from mscf.kept.asking import (
    COLUMNS,
    attention_from,
    attention_grid,
    cells,
    channel_maps,
    in_cells,
    innermost,
    landmarks,
    lesion_attention,
    lesion_maps,
    with_most_lesions,
    with_several_lesions,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def image():
    return torch.randn(1, 24, 40, generator=torch.Generator().manual_seed(1))


def test_a_pixel_looks_as_the_plain_map_says_of_its_position(network, image) -> None:
    looks = attention_from(network, image, [(0, 0), (23, 39), (9, 16)])
    assert {c: rows.shape for c, rows in looks.items()} == {
        16: (3, 6, 10),
        32: (3, 3, 5),
    }
    positions = {16: [0, 59, 2 * 10 + 4], 32: [0, 14, 1 * 5 + 2]}
    for block, x in zip(network.contexts[::2], entering(network, image), strict=True):
        rows = looks[x.shape[1]].reshape(3, -1)
        expected = plain_map(block, x)[positions[x.shape[1]]]
        np.testing.assert_allclose(rows, expected, rtol=1e-4)
        np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("length", "expected"), [(448, 28), (192, 24), (48, 24), (12, 12), (512, 16)]
)
def test_cells_are_as_many_as_divide(length, expected) -> None:
    assert cells(length) == expected


@pytest.mark.parametrize("length", [116, 232, 31])
def test_what_does_not_divide_is_refused(length) -> None:
    with pytest.raises(
        SettingsError, match=rf"^size: .* 28 cells \(found: {length}\); prep.*\[size\]$"
    ):
        cells(length)


def test_a_slice_whose_size_does_not_divide_is_refused(network) -> None:
    with pytest.raises(SettingsError, match=r"found: 232\)"):
        attention_grid(network, torch.zeros(1, 232, 232))


def test_the_pixels_in_the_middle_of_a_grids_cells_ask(
    network, image, monkeypatch
) -> None:
    monkeypatch.setattr(asking, "SIDE", 10)
    pixels, looks = attention_grid(network, image)
    assert pixels[:, 0, 0].tolist() == [1, 4, 7, 10, 13, 16, 19, 22]
    assert pixels[0, :, 1].tolist() == list(range(2, 40, 4))
    alone = attention_from(network, image, [(7, 30)])
    for channels, rows in looks.items():
        np.testing.assert_allclose(rows[2, 7], alone[channels][0], rtol=1e-5)


def test_in_cells_takes_the_mean_of_each_cell(monkeypatch) -> None:
    monkeypatch.setattr(asking, "SIDE", 5)
    rows = np.arange(2 * 6 * 10, dtype=np.float32).reshape(2, 6, 10)
    averaged = in_cells(rows)
    assert averaged.shape == (2, 3, 5)
    assert averaged[1, 2, 4] == rows[1, 4:6, 8:10].mean()


def test_looking_leaves_the_network_as_it_was(network, image) -> None:
    network.train()
    network.second.eval()  # as one that is frozen
    before = {name: t.clone() for name, t in network.state_dict().items()}
    attention_from(network, image, [(3, 3)])
    channel_maps(network, image)
    assert network.training
    assert network.drop.training
    assert not network.second.training
    for name, t in network.state_dict().items():
        assert torch.equal(t, before[name])
    for module in network.modules():
        assert not module._forward_hooks
    assert all(p.grad is None for p in network.parameters())


def test_a_network_that_fails_is_left_as_it_was_too(network) -> None:
    network.train()
    with pytest.raises(RuntimeError):
        attention_from(network, torch.zeros(1, 2, 2), [(0, 0)])
    assert network.drop.training
    assert not any(module._forward_hooks for module in network.modules())


def test_channel_maps_are_those_of_equation_4(network, image) -> None:
    maps = channel_maps(network, image)
    for x in entering(network, image):
        features = x[0].flatten(1).double()
        expected = torch.softmax(features @ features.T, dim=1)
        np.testing.assert_allclose(maps[x.shape[1]], expected, atol=1e-4)


@pytest.mark.parametrize(
    "pixel", [(-1, 0), (0, 40), (24, 0), (1000, 3), (2.5, 3), (3, None)]
)
def test_a_pixel_outside_the_slice_is_refused(network, image, pixel) -> None:
    with pytest.raises(
        SettingsError, match=r"must lie in the slice of 24 x 40 .*\[pixel\]"
    ):
        attention_from(network, image, [(0, 0), pixel])


def test_a_network_without_the_context_asked_for_is_refused(image) -> None:
    with pytest.raises(SettingsError, match=r"CENet.*mscf\+spatial \[no-context\]"):
        attention_from(build("cenet"), image, [(0, 0)])
    with pytest.raises(SettingsError, match="must have a spatial context"):
        attention_from(Small(spatial=False), image, [(0, 0)])
    with pytest.raises(SettingsError, match="must have a channel context"):
        channel_maps(Small(channel=False), image)
    with pytest.raises(SettingsError, match="must have a channel context"):
        channel_maps(Small(eq5="identity"), image)  # a gain forms no map
    assert list(attention_from(Small(channel=False), image, [(0, 0)])) == [16, 32]


@pytest.fixture
def labels():
    labels = np.zeros((24, 40), np.uint8)
    labels[2:22, 3:37] = 1
    labels[4:9, 6:13] = labels[13:18, 21:25] = 2
    return labels


def test_what_lesions_give_and_get_is_the_mean_over_their_pixels(
    network, image, labels, monkeypatch
) -> None:
    monkeypatch.setattr(asking, "AT_A_TIME", 7)  # several parts, the last smaller
    lesions = lesions_of(labels)
    block, x = network.contexts[0], entering(network, image)[0]
    gives, gets = lesion_maps(block.spatial, x, labels, lesions)
    whole = plain_map(block, x)
    rows, columns = np.indices(labels.shape)
    position = (rows // 4 * 10 + columns // 4).ravel()
    pixels = whole[position][:, position] / 16  # from each pixel to each pixel
    for k, lesion in enumerate(lesions):
        np.testing.assert_allclose(
            gives[k].ravel(), pixels[lesion.ravel()].mean(axis=0), rtol=1e-4
        )
        np.testing.assert_allclose(
            gets[k][labels > 0],
            pixels[:, lesion.ravel()].sum(axis=1)[(labels > 0).ravel()],
            rtol=1e-4,
        )
    np.testing.assert_allclose(gives.sum(axis=(1, 2)), 1)
    # The two say the same of a pair.
    there, back = gives[0][lesions[1]].sum(), gets[1][lesions[0]].mean()
    np.testing.assert_allclose(there, back)


@pytest.fixture
def slices(tiny_store):
    store = open_store(tiny_store)
    return SliceDataset(store, store.index["row"])


def test_slices_with_one_lesion_give_no_row_and_the_table_its_columns(
    network, slices
) -> None:
    table = lesion_attention(network, slices)
    assert table.empty
    assert tuple(table.columns) == COLUMNS


def test_a_slice_with_several_lesions_has_a_row_at_each_scale(network, slices) -> None:
    masks = np.array(slices.store.masks)
    masks[4] = 1
    masks[4, 20:30, 20:30] = masks[4, 60:66, 90:99] = masks[4, 150:160, 30:44] = 2
    object.__setattr__(slices.store, "masks", masks)
    table = lesion_attention(network, slices)
    assert table["channels"].tolist() == [16, 32]
    assert table["lesions"].tolist() == [3, 3]
    assert table["pairs"].tolist() == [6, 6]
    entry = slices.index.iloc[4]
    assert set(table["case"]) == {entry["case"]}
    assert set(table["slice"]) == {entry["slice"]}
    assert table["above_liver_asked"].between(0, 1).all()


def test_the_innermost_pixel_is_the_middle_of_a_lesion() -> None:
    mask = np.zeros((9, 20), bool)
    mask[2:7, 3:8] = True
    mask[4, 8:] = True  # a thin tail draws a mean away
    assert innermost(mask) == (4, 5)


def test_landmarks_lie_in_what_they_are_named_after(labels) -> None:
    hu = np.full(labels.shape, 50, np.int16)
    hu[23, 10:14] = 600
    asking = landmarks(hu, labels)
    assert list(asking) == ["lesion", "other lesion", "liver", "bone"]
    assert labels[asking["lesion"]] == labels[asking["other lesion"]] == 2
    assert asking["lesion"][0] < 10 < asking["other lesion"][0]
    assert labels[asking["liver"]] == 1
    assert hu[asking["bone"]] == 600
    assert "bone" not in landmarks(np.zeros_like(hu), labels)


def test_a_slice_without_tumour_has_nothing_to_ask(labels) -> None:
    with pytest.raises(InputError, match=r"must have a tumour.*\[no-tumour\]"):
        landmarks(np.zeros(labels.shape, np.int16), np.minimum(labels, 1))


@pytest.fixture
def of_several(slices):
    """Slices 4 and 5 of one patient with three and two lesions, and 9 with two."""
    masks = np.array(slices.store.masks)
    for row, lesions in ((4, 3), (5, 2), (9, 2)):
        masks[row] = 1
        for k in range(lesions):
            masks[row, 20 + 40 * k : 30 + 40 * k, 50:60] = 2
    object.__setattr__(slices.store, "masks", masks)
    return slices


def test_slices_with_most_lesions_are_of_several_patients(of_several) -> None:
    few = with_most_lesions(of_several, 3)
    assert few.index["row"].tolist()[:2] == [4, 9]
    assert few.index["patient"].nunique() == 3


def test_slices_whose_lesions_were_lost_in_resizing_are_not_taken(slices) -> None:
    masks = np.minimum(slices.store.masks, 1)
    masks[7, 40:50, 40:50] = 2
    object.__setattr__(slices.store, "masks", masks)
    assert with_most_lesions(slices).index["row"].tolist() == [7]
    assert len(with_several_lesions(slices, 3)) == 0


def test_slices_with_several_lesions_are_taken_evenly(of_several) -> None:
    assert with_several_lesions(of_several, 9).index["row"].tolist() == [4, 5, 9]
    assert with_several_lesions(of_several, 2).index["row"].tolist() == [4, 9]
    assert len(with_several_lesions(of_several, 1)) == 1
    with pytest.raises(SettingsError, match=r"^most: must be at least 1 .*found: 0"):
        with_several_lesions(of_several, 0)
