from pathlib import Path

import numpy as np
import pytest
import torch
from small_contexts import Small, entering, plain_map
from torch import nn

from mscf import build
from mscf.data.dataset import SliceDataset
from mscf.data.store import Store, open_store
from mscf.errors import InputError, SettingsError, StorageError
from mscf.kept import asking
from mscf.kept.any_pixel import (
    ask_all,
    asked_of_run,
    choose,
    keep_any_pixel,
    read_asked,
    write_asked,
    write_page,
)
from mscf.paths import root
from mscf.visualisation.ask_page import ask_page

KEPT = root() / "results/phantoms-shown-192/patient/mscf/fold-0/seed-0/any_pixel.npz"


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Small()
    with torch.no_grad():  # rows that choose, as after training
        for block in network.contexts[::2]:
            for projection in (block.spatial.key, block.spatial.query):
                projection.get_submodule("0").weight.mul_(8)
    return network


@pytest.fixture
def slices(tiny_store):
    return SliceDataset(open_store(tiny_store), [4])


@pytest.fixture
def asked(network, slices):
    return ask_all(network, slices)


def test_what_is_shown_is_the_plain_formulas_row_averaged_over_cells(
    network, slices, asked
) -> None:
    random = np.random.default_rng(0)
    asking = random.integers(0, 24, (10, 2))
    blocks = zip(
        asked.scales,
        network.contexts[::2],
        entering(network, slices[0][0]),
        strict=True,
    )
    for scale, block, x in blocks:
        side = x.shape[-1]
        whole = plain_map(block, x)
        assert scale.looks.shape == (24, 24, 24, 24)
        for row, column in asking:
            pixel = 8 * np.array([row, column]) + 4
            place, step = pixel * side // 192, side // 24
            plain = whole[place[0] * side + place[1]].reshape(24, step, 24, step)
            times = plain.mean(axis=(1, 3)) * side**2
            np.testing.assert_array_equal(asked.pixels[row, column], pixel)
            assert times.max() > 1.5  # else any row would do
            np.testing.assert_allclose(
                scale.times((row, column)), times, atol=times.max() / 255
            )


def test_shares_are_of_the_full_row_and_by_parts_of_its_positions(
    network, slices, asked
) -> None:
    labels = slices.store.masks[4]
    block, x = network.contexts[0], entering(network, slices[0][0])[0]
    asks = 17 * 24 + 3  # of 24 x 24; its position is 2 i + 1 of 48
    row = plain_map(block, x)[(2 * 17 + 1) * 48 + 2 * 3 + 1]
    of_pixels = np.repeat(np.repeat(row.reshape(48, 48), 4, 0), 4, 1) / 16
    expected = [100 * of_pixels[labels == label].sum() for label in (2, 1, 0)]
    shares = asked.scales[0].shares.reshape(-1, 3)[asks]
    np.testing.assert_allclose(shares, expected, rtol=1e-3, atol=1e-4)


def test_the_slice_stays_as_the_store_has_it(slices, asked) -> None:
    entry = slices.index.iloc[0]
    assert (asked.case, asked.slice) == (entry["case"], entry["slice"])
    assert np.array_equal(asked.hu, slices.store.images[4])
    assert asked.window.tolist() == [-40, 160]


def test_chosen_pixels_lie_in_what_they_are_named_after() -> None:
    labels = np.zeros((24, 40), np.uint8)
    labels[2:22, 3:30] = 1
    labels[4:9, 6:13] = labels[12:19, 18:25] = 2
    hu = np.full(labels.shape, 50, np.int16)
    hu[:, 36:] = -1000
    hu[23, 10] = 600  # too small: no pixel of the grid lies in it
    pixels = np.stack(np.mgrid[1:24:3, 2:40:4], axis=-1)
    chosen = choose(hu, labels, pixels)
    assert list(chosen) == ["lesion", "other lesion", "liver", "other tissue", "air"]
    at = {name: tuple(pixels[place]) for name, place in chosen.items()}
    assert at["lesion"] == (16, 22)
    assert at["other lesion"] == (7, 10)
    assert labels[at["liver"]] == 1
    assert labels[at["other tissue"]] == 0
    assert hu[at["air"]] == -1000


def test_a_slice_without_liver_can_be_asked(network, slices) -> None:
    masks = np.array(slices.store.masks)
    masks[4] = 0
    object.__setattr__(slices.store, "masks", masks)
    asked = ask_all(network, slices)
    assert "lesion" not in asked.names
    assert asked.scales[0].shares[..., 2].min() == pytest.approx(100, abs=1e-3)


def test_a_network_without_spatial_context_is_refused(slices) -> None:
    for network in (build("cenet"), Small(spatial=False), nn.Identity()):
        with pytest.raises(
            SettingsError, match=r"must have a spatial context.*no-cont"
        ):
            ask_all(network, slices)


def test_what_is_kept_reads_back(asked, tmp_path) -> None:
    write_asked(asked, tmp_path / "any_pixel.npz")
    again = read_asked(tmp_path / "any_pixel.npz")
    assert (again.case, again.slice) == (asked.case, asked.slice)
    for name in ("hu", "labels", "window", "pixels", "names", "chosen"):
        assert np.array_equal(getattr(again, name), getattr(asked, name)), name
    for one, other in zip(again.scales, asked.scales, strict=True):
        assert one.alpha == other.alpha
        assert one.channels == other.channels
        for name in ("positions", "looks", "highest", "shares"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name


def test_a_file_that_is_no_asked_slice_is_named(asked, tmp_path) -> None:
    path = tmp_path / "any_pixel.npz"
    write_asked(asked, path)
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = dict(file)
    missing = {name: a for name, a in arrays.items() if name != "highest16"}
    no_scale = {
        name: a for name, a in arrays.items() if not name.endswith(("16", "32"))
    }
    for content in (
        missing, no_scale,
        arrays | {"shares16": arrays["shares16"][:2]},
        arrays | {"highest32": np.full_like(arrays["highest32"], np.nan)},
        arrays | {"looks16": arrays["looks16"].astype(float)},
        arrays | {"labels": arrays["labels"][:50]},
        arrays | {"pixels": arrays["pixels"] + 9},
        arrays | {"chosen": arrays["chosen"] + 24},
    ):  # fmt: skip
        np.savez(path, **content)
        with pytest.raises(InputError, match=r"npz: must be a slice.*--any-pixel"):
            read_asked(path)
    for content in (b"", whole[:500], whole[:-200], b"case,slice\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="any-pixel-file"):
            read_asked(path)
    with pytest.raises(InputError, match="No such file"):
        read_asked(tmp_path / "none.npz")


def test_a_finished_run_gives_a_page_of_a_case_and_a_slice(run, tmp_path) -> None:
    asked = asked_of_run(run.folder, "liver_3", 1)
    assert (asked.case, asked.slice) == ("liver_3", 1)
    page = tmp_path / "page.html"
    write_page(asked, page)
    assert "liver_3, slice 1, 192 × 192 pixels; 24 × 24 of them" in page.read_text()


def test_a_case_or_a_slice_that_the_store_has_not_is_told_what_it_has(run) -> None:
    with pytest.raises(InputError, match=r"case \(found: liver_99\).* 6, as liver_"):
        asked_of_run(run.folder, "liver_99", 1)
    with pytest.raises(
        InputError, match=r"liver_3 \(found: 7\); it has 3, from 0 to 2"
    ):
        asked_of_run(run.folder, "liver_3", 7)


def test_a_page_that_cannot_be_written_leaves_nothing(asked, tmp_path) -> None:
    with pytest.raises(StorageError):
        write_page(asked, tmp_path / "nowhere/page.html")
    assert not list(tmp_path.iterdir())


def test_voxels_of_a_person_are_not_kept(run, tmp_path, monkeypatch) -> None:
    path = tmp_path / "any_pixel.npz"
    with pytest.raises(SettingsError, match=r"any-pixel: must be off.*\[examples\]"):
        keep_any_pixel(run.folder, path)
    assert not path.exists()
    monkeypatch.setattr(Store, "phantoms", True)
    keep_any_pixel(run.folder, path)
    assert read_asked(path).scales[0].looks.shape == (24, 24, 24, 24)


def test_a_run_without_a_lesion_to_show_is_refused(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Store, "phantoms", True)
    monkeypatch.setattr(asking, "lesions_of", lambda labels: [])
    with pytest.raises(InputError, match=r"a test slice with a lesion.*\[no-tumour\]"):
        keep_any_pixel(run.folder, tmp_path / "any_pixel.npz")


def test_the_committed_slice_is_whole_and_small() -> None:
    asked = read_asked(KEPT)
    assert "HU window from -40 to 160; R is the " in ask_page(asked)
    assert [scale.channels for scale in asked.scales] == [64, 128, 256]
    assert [scale.looks.shape[2:] for scale in asked.scales] == [(24, 24)] * 2 + [
        (12, 12)
    ]
    for scale in asked.scales:
        assert (scale.looks.max(axis=(-2, -1)) == 255).all()
        np.testing.assert_allclose(scale.shares.sum(axis=-1), 100, atol=0.01)
    assert Path(KEPT).stat().st_size < 500_000
