import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mscf import results as module
from mscf.checkpoint import read_checkpoint
from mscf.data.store import Store, open_store
from mscf.errors import CheckpointError, InputError, SettingsError
from mscf.models.context import ContextBlock
from mscf.results import keep_run, open_run, read_beside, run_in_words
from mscf.training import start
from mscf.training.loop import train
from mscf.training.settings import TrainSettings

ROOT = Path(__file__).parents[1]


class SmallNetwork(nn.Module):
    """One context block between two convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(3, 16, 3, stride=8, padding=1)
        self.contexts = nn.ModuleList([ContextBlock(16)])
        self.up = nn.ConvTranspose2d(16, 1, 8, stride=8)
        self.last = nn.Conv2d(1, 1, 1)

    def forward(self, x):
        return self.last(self.up(self.contexts[0](self.down(x))))

    def heads(self):
        return [self.last]


@pytest.fixture
def run(tiny_store, tmp_path, monkeypatch):
    for place in (start, module):
        monkeypatch.setattr(place, "build", lambda *_, **__: SmallNetwork())
    settings = TrainSettings(
        data=tiny_store, out=tmp_path / "run", epochs=2, pretrained=False, gpus=0,
        log_odds_bias=True,
    )  # fmt: skip
    return train(settings)


def test_a_run_is_kept_beside_its_untrained_self_and_a_threshold(
    run, tiny_store, tmp_path
) -> None:
    folder = keep_run(run.folder, tmp_path / "results")
    assert folder == tmp_path / "results/tiny/patient/mscf/fold-0/seed-0"
    tables = {
        method: pd.read_csv(
            tmp_path / f"results/tiny/patient/{method}/fold-0/seed-0/per_slice.csv"
        )
        for method in ("mscf", "mscf+untrained", "hu_threshold")
    }
    for method, table in tables.items():
        assert set(table["method"]) == {method}
        assert table[["case", "slice"]].equals(tables["mscf"][["case", "slice"]])
    assert (folder / "per_slice.csv").read_bytes() == (
        run.folder / "per_slice.csv"
    ).read_bytes()
    assert (folder / "history.csv").read_bytes() == (
        run.folder / "history.csv"
    ).read_bytes()
    # The threshold knows the liver, and the made tumour is far darker than it.
    assert tables["hu_threshold"]["dice"].mean() > 0.8
    record = json.loads((folder / "run.json").read_text())
    assert record["slices"]["test"] == len(tables["mscf"])
    # It expects the tumour's small share everywhere, as the run did at its start.
    assert set(tables["mscf+untrained"]["predicted_px"]) == {0}
    for method in tables:
        path = tmp_path / f"results/tiny/patient/{method}/fold-0/seed-0/summary.json"
        (one, _) = json.loads(path.read_text())
        assert one["commit"] == record["commit"]
    assert str(tmp_path) not in (folder / "run.json").read_text()
    assert not (folder / "examples.npz").exists()
    of_case = read_beside(tmp_path / "results/tiny/patient", "mscf", "per_case")
    assert set(of_case["fold"]) == {0}
    assert of_case["slices"].sum() == len(tables["mscf"])
    drawn = tables["mscf"].groupby("case")[["truth_px", "predicted_px", "tp"]].sum()
    assert of_case["truth_voxels"].tolist() == drawn["truth_px"].tolist()
    assert of_case["predicted_voxels"].tolist() == drawn["predicted_px"].tolist()
    assert of_case["tp"].tolist() == drawn["tp"].tolist()
    apart = pd.read_csv(folder / "separation.csv")
    assert sorted(apart["slice"]) == sorted(tables["mscf"]["slice"])
    assert apart["after_16"].between(0, 1).all()


def test_what_was_not_kept_is_named(run, tmp_path) -> None:
    keep_run(run.folder, tmp_path / "results", beside=False)
    place = tmp_path / "results/tiny/patient"
    with pytest.raises(InputError, match=r"must have kept lesions\.csv"):
        read_beside(place, "mscf", "lesions")
    (place / "mscf/fold-0/seed-0/per_case.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"per_case\.csv: must be a table"):
        read_beside(place, "mscf", "per_case")


def test_without_its_rivals_a_run_is_kept_alone(run, tmp_path) -> None:
    folder = keep_run(run.folder, tmp_path / "results", beside=False)
    assert folder == tmp_path / "results/tiny/patient/mscf/fold-0/seed-0"
    assert [p.name for p in folder.parents[1].parent.iterdir()] == ["mscf"]
    assert "threshold" not in json.loads((folder / "run.json").read_text())


def test_the_untrained_network_has_imagenet_weights_where_the_run_had(
    run, tmp_path
) -> None:
    path = run.folder / "run.json"
    record = json.loads(path.read_text())
    record["settings"]["pretrained"] = True  # asked for, and could not be had
    path.write_text(json.dumps(record))
    keep_run(run.folder, tmp_path / "results")
    path.write_text(json.dumps(record | {"pretrained": "loaded"}))
    with pytest.raises(SettingsError, match=r"--no-beside.*\[pretrained\]"):
        keep_run(run.folder, tmp_path / "more")
    assert not (tmp_path / "more").exists()


def test_a_run_is_kept_under_the_folders_name_also_where_it_is_a_dot(
    run, tiny_store, tmp_path, monkeypatch
) -> None:
    path = run.folder / "run.json"
    record = json.loads(path.read_text())
    record["settings"]["data"] = "."
    path.write_text(json.dumps(record))
    monkeypatch.chdir(tiny_store)
    folder = keep_run(run.folder, tmp_path / "results", beside=False)
    assert folder == tmp_path / "results/tiny/patient/mscf/fold-0/seed-0"


def test_examples_of_real_ct_are_refused(run, tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"phantoms only.*\[examples\]"):
        keep_run(run.folder, tmp_path / "results", examples=2)
    assert not (tmp_path / "results").exists()


def test_examples_are_the_slices_as_they_are_and_as_the_network_sees_them(
    run, tiny_store, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(Store, "phantoms", True)
    folder = keep_run(run.folder, tmp_path / "results", examples=2)
    store = open_store(tiny_store)
    with np.load(folder / "examples.npz") as kept:
        rows, n = kept["row"], len(kept["row"])
        assert np.array_equal(kept["hu"], store.images[rows])
        assert np.array_equal(kept["truth"], store.masks[rows] == 2)
        assert kept["probability"].shape == (n, 192, 192)
        assert kept["before0"].shape == kept["after0"].shape == (n, 6, 24, 24)
        # Before training alpha and beta are 0, and after two steps nearly: 2 X.
        np.testing.assert_allclose(kept["after0"], 2 * kept["before0"], atol=0.05)
        tested = set(run.rows["patient"])
        assert set(store.index["patient"].loc[rows]) <= tested


def test_a_run_that_is_not_finished_or_of_other_data_is_refused(run, tmp_path) -> None:
    path = run.folder / "run.json"
    record = json.loads(path.read_text())
    path.write_text("{}")
    with pytest.raises(CheckpointError, match="run-unfinished"):
        keep_run(run.folder, tmp_path / "results")
    path.write_text(json.dumps({"status": "finished"}))
    with pytest.raises(CheckpointError, match="run-record"):
        keep_run(run.folder, tmp_path / "results")
    path.write_text(json.dumps(record | {"status": "training"}))
    with pytest.raises(CheckpointError, match="run-unfinished"):
        keep_run(run.folder, tmp_path / "results")
    other = record | {"store": {"checksum": "0"}}
    path.write_text(json.dumps(other))
    with pytest.raises(CheckpointError, match="store-other"):
        keep_run(run.folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_finished_run_is_opened_with_its_weights_and_its_test_slices(run) -> None:
    network, test = open_run(run.folder)
    weights, _ = read_checkpoint(run.folder / "best.ckpt")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, weights[name])
    assert sorted(test.index["slice"]) == sorted(run.rows["slice"])
    assert not test.augment


def test_a_run_that_cannot_be_looked_at_is_refused(run, monkeypatch) -> None:
    monkeypatch.setattr(module, "build", lambda *_: nn.Conv2d(1, 1, 1))
    with pytest.raises(CheckpointError, match="checkpoint-tensors"):
        open_run(run.folder)
    path = run.folder / "run.json"
    path.write_text(path.read_text().replace('"finished"', '"training"'))
    with pytest.raises(CheckpointError, match="run-unfinished"):
        open_run(run.folder)
    with pytest.raises(CheckpointError, match=r"run\.json"):
        open_run(run.folder / "nowhere")


def test_a_run_is_told_in_words_from_its_own_tables(run, tmp_path) -> None:
    kept = keep_run(run.folder, tmp_path / "results", beside=False)
    for folder in (run.folder, kept):
        words = run_in_words(folder)
        assert "after 2 epochs on tiny (192 x 192 pixels)" in words
        assert f"Dice {run.rows['dice'].mean():.2f} on {len(run.rows)} tumour" in words
        assert "Synthetic" not in words
    (kept / "run.json").write_text("{}")
    with pytest.raises(CheckpointError, match="run-record"):
        run_in_words(kept)


def test_no_voxel_of_a_person_is_in_the_repository() -> None:
    """Examples hold voxels, so they may be of phantoms only."""
    for path in (ROOT / "results").rglob("*.npz"):
        assert path.relative_to(ROOT / "results").parts[0].startswith("phantoms")
    allowed = {".csv", ".json", ".npz"}
    files = [p for p in (ROOT / "results").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= allowed


def test_results_name_no_place_of_the_machine_that_made_them() -> None:
    for path in (ROOT / "results").rglob("run.json"):
        settings = json.loads(path.read_text())["settings"]
        assert "/" not in settings["data"] + settings["out"]
