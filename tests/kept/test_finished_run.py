import json

import pytest
import torch
from torch import nn

from mscf.checkpoint import read_checkpoint
from mscf.errors import CheckpointError
from mscf.kept import finished_run
from mscf.kept.finished_run import nothing_kept, open_run, run_in_words
from mscf.kept.results import keep_run


def test_a_finished_run_is_opened_with_its_weights_and_its_test_slices(run) -> None:
    opened = open_run(run.folder)
    network, test = opened.network(), opened.test
    weights, _ = read_checkpoint(run.folder / "best.ckpt")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, weights[name])
    assert sorted(test.index["slice"]) == sorted(run.rows["slice"])
    assert not test.augment


def test_a_run_of_a_larger_machine_is_opened_here(run) -> None:
    path = run.folder / "run.json"
    record = json.loads(path.read_text())
    record["settings"] |= {"gpus": 4, "processes": 4, "cuda_graph": True}
    record["settings"] |= {"sync_batch_norm": True, "require_pretrained": True}
    path.write_text(json.dumps(record))
    opened = open_run(run.folder)
    if not torch.cuda.is_available():
        assert opened.settings.device.type == "cpu"
    assert opened.settings.processes == 1
    assert opened.record["settings"]["gpus"] == 4  # what it was stays said


def test_a_run_that_cannot_be_looked_at_is_refused(run, monkeypatch) -> None:
    monkeypatch.setattr(finished_run, "build", lambda *_: nn.Conv2d(1, 1, 1))
    with pytest.raises(CheckpointError, match="checkpoint-tensors"):
        open_run(run.folder).network()
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
    record = json.loads((kept / "run.json").read_text())
    record["store"]["phantoms"] = True  # whatever its folder is called
    (kept / "run.json").write_text(json.dumps(record))
    assert "Synthetic CT" in run_in_words(kept)
    (kept / "run.json").write_text("{}")
    with pytest.raises(CheckpointError, match="run-record"):
        run_in_words(kept)


def test_a_page_without_a_trained_network_says_so() -> None:
    assert "No trained network is kept at `results/x`" in nothing_kept("results/x")
