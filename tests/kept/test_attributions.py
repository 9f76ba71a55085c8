import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mscf.data.dataset import SliceDataset
from mscf.data.store import Store, open_store
from mscf.errors import CheckpointError, InputError, SettingsError
from mscf.kept import attributions as module
from mscf.kept import finished_run
from mscf.kept.attribution_tables import (
    BETTER,
    area_table,
    correlation_table,
    curves,
    in_words,
    titles,
)
from mscf.kept.attributions import (
    attributions_of_run,
    explained,
    most_tumour,
    occlusion_window,
    read_attributions,
    write_attributions,
)
from mscf.models.context import ContextBlock
from mscf.training import start
from mscf.training.loop import train
from mscf.training.settings import TrainSettings
from mscf.visualisation.attribution import SHARES, grad_cam

MAPS = ["before0", "after0", "gradients", "occlusion"]


class Small(nn.Module):
    """One context block at 12 x 12 between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 8, 16, stride=16)
        self.contexts = nn.ModuleList([ContextBlock(8)])
        self.up = nn.Sequential(nn.Conv2d(8, 256, 1), nn.PixelShuffle(16))

    def forward(self, x):
        return self.up(self.contexts[0](self.down(x)))


class Without(Small):
    """The same, and no context block."""

    def __init__(self) -> None:
        super().__init__()
        del self.contexts

    def forward(self, x):
        return self.up(self.down(x))


@pytest.fixture(scope="module")
def store(tiny_store):
    return open_store(tiny_store)


@pytest.fixture(scope="module")
def small_run(store, tmp_path_factory):
    """The folder of a finished run of the small network; do not write here."""
    settings = TrainSettings(
        data=store.folder, out=tmp_path_factory.mktemp("runs") / "run", epochs=2,
        learning_rate=1e-2, pretrained=False, gpus=0,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(start, "build", lambda *_, **__: Small())
        return train(settings).folder


def build_by(make: Callable[[str], nn.Module], patch: pytest.MonkeyPatch) -> None:
    """Every network is what ``make`` gives."""
    for place in (module, finished_run):
        patch.setattr(place, "build", make)


@pytest.fixture
def run(small_run, monkeypatch):
    build_by(lambda _: Small(), monkeypatch)
    return small_run


@pytest.fixture(scope="module")
def kept(small_run):
    with pytest.MonkeyPatch.context() as patch:
        build_by(lambda _: Small(), patch)
        torch.manual_seed(5)
        state = torch.get_rng_state()
        found = attributions_of_run(small_run, n=1)
        assert torch.equal(torch.get_rng_state(), state)  # the caller's numbers go on
    return found


def test_the_maps_are_those_of_the_runs_network_and_slice(kept, run, store) -> None:
    network, untrained, slices = module.opened(run, 1)
    image, region, _ = explained(slices, 0)
    row = slices.index["row"].iat[0]
    assert np.array_equal(kept["hu"][0], store.images[row])
    assert np.array_equal(kept["truth"][0], region.numpy())
    assert kept["maps"].tolist() == MAPS
    for name, one in (("", network), ("untrained_", untrained)):
        cam = grad_cam(one.eval(), one.contexts[0], image, region)
        expected = cam / np.abs(cam).max()
        np.testing.assert_allclose(kept[f"{name}after0"][0], expected, atol=1e-3)
    with torch.no_grad():
        probability = network(image)[0, 0].sigmoid()
    np.testing.assert_allclose(kept["probability"][0] / 255, probability, atol=0.002)
    inside = float(probability[region].mean())
    assert kept["deletion"][0, :, 0] == pytest.approx(inside, rel=1e-4)
    assert kept["insertion"][0, :, -1] == pytest.approx(inside, rel=1e-4)
    assert kept["missed"][0] < 0.05


def test_what_is_kept_is_what_a_reader_asks_for(kept) -> None:
    assert kept.keys() == {*module.ALWAYS, *module.named_maps(kept)}


def test_the_checks_have_a_number_for_every_stage_and_order(kept) -> None:
    assert kept["stages"].tolist() == ["up", "contexts", "down"]
    assert kept["orders"].tolist() == [*MAPS, "region", "random"]
    assert kept["correlation"].shape == (1, 3, 4)
    assert kept["correlation_of_sizes"].shape == (1, 3, 4)
    assert (np.abs(kept["correlation"]) <= 1).all()
    assert kept["deletion"].shape == kept["insertion"].shape == (1, 6, len(SHARES))
    assert kept["block"].shape == (1, 1)
    assert kept["block"] > 0.5  # two epochs leave alpha and beta near 0
    for name in MAPS:
        for array in (kept[name], kept[f"untrained_{name}"]):
            assert np.abs(array).max() == pytest.approx(1, abs=1e-3)


def test_networks_answer_in_evaluation_mode_and_have_their_own_back(
    run, monkeypatch
) -> None:
    network, untrained, slices = module.opened(run, 1)
    network.train()
    network.down.eval()
    untrained.train()

    def seen(network, untrained, *_) -> dict:
        training = [m.training for one in (network, untrained) for m in one.modules()]
        return {"a": any(training), "untrained_a": 0}

    monkeypatch.setattr(module, "of_slice", seen)
    assert not module.attributions(network, untrained, slices)["a"].any()
    assert network.training
    assert not network.down.training
    assert untrained.training


def test_the_baseline_is_the_grey_of_the_liver(run) -> None:
    _, _, slices = module.opened(run, 1)
    _, _, baseline = explained(slices, 0)
    # 110 HU in the made liver, of a window from -40 to 160, scaled to -1.6 to 1.6
    assert baseline == pytest.approx(150 / 200 * 3.2 - 1.6, abs=0.1)


def test_the_slice_with_most_tumour_of_each_test_patient_is_shown(
    store,
) -> None:
    slices = SliceDataset(store, store.index["row"])
    slices.index = slices.index.assign(stored_tumour_px=0)
    with pytest.raises(InputError, match="no-tumour"):
        most_tumour(slices, 1)
    with pytest.raises(SettingsError, match=r"at least 1.*\[examples\]"):
        most_tumour(slices, 0)
    slices.index.loc[slices.index["slice"] == 1, "stored_tumour_px"] = 5
    slices.index.loc[slices.index["case"] == "liver_0", "stored_tumour_px"] = 0
    chosen = most_tumour(slices, 3).index
    assert chosen["case"].tolist() == ["liver_1", "liver_2", "liver_3"]
    assert set(chosen["slice"]) == {1}
    slices.index.loc[slices.index["case"] == "liver_2", "liver_px"] = 0
    chosen = most_tumour(slices, 2).index
    assert chosen["case"].tolist() == ["liver_1", "liver_3"]


def test_a_slice_without_tumour_or_without_liver_is_named(
    store,
) -> None:
    ones = np.ones_like(store.masks)
    slices = SliceDataset(replace(store, masks=ones), [0])
    with pytest.raises(InputError, match=r"liver_0:\d+: must show tumour"):
        explained(slices, 0)
    slices = SliceDataset(replace(store, masks=2 * ones), [0])
    with pytest.raises(InputError, match="must show liver beside its tumour"):
        explained(slices, 0)


def test_what_is_written_is_read(kept, run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Store, "phantoms", True)
    monkeypatch.setattr(module, "attributions", lambda *_: kept)
    path = tmp_path / "attribution.npz"
    write_attributions(run, 1, path)
    found = read_attributions(path)
    assert found.keys() == kept.keys()
    for name in kept:
        assert np.array_equal(found[name], kept[name]), name


def test_attributions_of_people_are_not_written(run, tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"phantoms only.*\[attributions\]"):
        write_attributions(run, 1, tmp_path / "attribution.npz")
    assert list(tmp_path.iterdir()) == []


def test_no_file_and_another_file_are_told_apart(tmp_path) -> None:
    path = tmp_path / "attribution.npz"
    with pytest.raises(InputError, match=r"No such file.*attribution-file"):
        read_attributions(path)
    for content in (b"", b"rubbish", b"PK\x03\x04rubbish"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="attribution-file"):
            read_attributions(path)
    arrays = dict.fromkeys(module.ALWAYS, np.array(["a"]))
    for lost in ("hu", "correlation_of_sizes"):
        np.savez(path, **{k: v for k, v in arrays.items() if k != lost})
        with pytest.raises(InputError, match=rf"found: no {lost}\).*attribution-file"):
            read_attributions(path)
    np.savez(path, a=np.zeros(3), **arrays)
    with pytest.raises(InputError, match="found: no untrained_a"):
        read_attributions(path)
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(InputError, match="attribution-file"):
        read_attributions(tmp_path / "array.npy")


def test_a_run_that_does_not_fit_is_refused(run, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "run"
    with pytest.raises(CheckpointError, match="run-record"):
        attributions_of_run(folder, 1)
    folder.mkdir()
    record = json.loads((run / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"status": "training"}))
    with pytest.raises(CheckpointError, match="run-unfinished"):
        attributions_of_run(folder, 1)
    build_by(lambda _: Without(), monkeypatch)
    with pytest.raises(SettingsError, match=r"context blocks.*\[no-contexts\]"):
        attributions_of_run(run, 1)

    def larger(_: str) -> nn.Module:
        network = Small()
        network.more = nn.Linear(1, 1)
        return network

    build_by(larger, monkeypatch)
    with pytest.raises(CheckpointError, match="checkpoint-tensors"):
        attributions_of_run(run, 1)


@pytest.mark.parametrize("side", [192, 224, 320, 448, 512])
def test_the_cells_of_occlusion_end_where_the_slice_does(side) -> None:
    window = occlusion_window(side)
    assert window % 2 == 0
    assert side % (window // 2) == 0
    assert side / 12 < window <= side / 6
    assert occlusion_window(192) == 32  # as what is kept was made


def made_up() -> dict:
    """Two slices, two maps: the first changes with the weights and beats random."""
    falls, rises = 1 - SHARES**0.5, SHARES**0.5
    straight = np.stack([SHARES, SHARES])
    return {
        "hu": np.zeros((2, 4, 4)),
        "maps": np.array(["after0", "gradients"]),
        "after0": np.zeros((2, 3, 5)),
        "gradients": np.zeros((2, 2, 2)),
        "stages": np.array(["decoder", "encoder"]),
        "correlation": np.array([[[0.6, 1], [0.1, -0.8]], [[0.2, 1], [0.3, -0.6]]]),
        "correlation_of_sizes": np.array([[[0.7, 0.1]] * 2] * 2),
        "orders": np.array(["after0", "gradients", "region", "random"]),
        "deletion": np.stack([[falls] * 2, 1 - straight / 2, *[1 - straight] * 2], 1),
        "insertion": np.stack([[rises] * 2, *[straight] * 3], axis=1),
    }


def test_tables_are_means_over_slices_by_name() -> None:
    kept = made_up()
    assert titles(kept)["after0"] == "Grad-CAM after, 3 x 5"
    table = correlation_table(kept)
    assert table.columns.tolist() == ["decoder", "+ encoder"]
    assert table.loc["Grad-CAM after, 3 x 5"].tolist() == pytest.approx([0.4, 0.2])
    sizes = correlation_table(kept, signs=False)
    assert sizes.loc["Grad-CAM after, 3 x 5"].tolist() == pytest.approx([0.7, 0.7])
    areas = area_table(kept)
    assert areas.loc["random", ("deletion", "area")] == pytest.approx(0.5)
    assert areas.loc["integrated gradients", ("deletion", "area")] == pytest.approx(
        0.75
    )
    better = areas.xs(BETTER, axis=1, level=1)
    assert better.loc["Grad-CAM after, 3 x 5"].tolist() == [2, 2]
    assert better.loc["integrated gradients"].tolist() == [0, 0]
    drawn = curves(kept, "deletion")
    assert drawn["random"].shape == (2, len(SHARES))
    assert np.array_equal(drawn["random"][0], 1 - SHARES)


def test_the_sentences_follow_from_the_numbers() -> None:
    kept = made_up()
    words = in_words(kept)
    assert "is above 0.5 for integrated gradients; that of" in words
    assert "of the sizes alone for Grad-CAM after, 3 x 5. Such" in words
    assert words.endswith("in deletion and insertion: Grad-CAM after, 3 x 5.")
    kept["correlation"][:] = kept["correlation_of_sizes"][:] = 0.1
    kept["insertion"][:] = SHARES
    words = in_words(kept)
    assert "is above 0.5 for none; that of the sizes alone for none." in words
    assert words.endswith("in deletion and insertion: none.")
