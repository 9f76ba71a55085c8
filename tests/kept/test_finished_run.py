import json
import shutil

import pytest
import torch
from torch import nn

from mscf.checkpoint import read_checkpoint
from mscf.errors import CheckpointError
from mscf.kept import attributions, finished_run
from mscf.kept.any_pixel import asked_of_run
from mscf.kept.drawings import fresh_drawings
from mscf.kept.examples import examples_of_run
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


@pytest.fixture
def from_elsewhere(run, tmp_path):
    """A run as it comes from another machine: its store is not where it was."""
    change_record(run.folder, lambda r: r["settings"].update(data="/elsewhere/tiny"))
    return run


def change_record(folder, change) -> None:
    """Rewrites the run's record after ``change`` has been made to it."""
    record = json.loads((folder / "run.json").read_text())
    change(record)
    (folder / "run.json").write_text(json.dumps(record))


def test_a_run_from_elsewhere_is_opened_with_its_store_of_here(
    from_elsewhere, tiny_store, tmp_path
) -> None:
    shutil.copytree(tiny_store, tmp_path / "here")
    for place in (tmp_path / "here", str(tmp_path / "here")):
        opened = open_run(from_elsewhere.folder, place)
        assert opened.store.folder == tmp_path / "here"
        assert len(opened.test) == len(from_elsewhere.rows)


def test_a_store_that_is_not_there_is_named_and_what_to_give(
    from_elsewhere, tmp_path
) -> None:
    line = r"tiny: .*no store\.json.*give that folder as data \[store-mis"
    for data in (None, tmp_path / "tiny"):
        with pytest.raises(CheckpointError, match=line):
            open_run(from_elsewhere.folder, data)


def test_another_store_is_not_taken_for_the_runs(from_elsewhere, tiny_store) -> None:
    change_record(from_elsewhere.folder, lambda r: r["store"].update(checksum="0"))
    with pytest.raises(CheckpointError, match="store-other"):
        open_run(from_elsewhere.folder, tiny_store)


def test_everything_that_a_page_makes_of_a_run_is_made_with_that_store(
    from_elsewhere, tiny_store, tmp_path, monkeypatch
) -> None:
    folder, data = from_elsewhere.folder, tiny_store
    assert len(examples_of_run(folder, 1, data)[0]["row"]) == 1
    assert asked_of_run(folder, "liver_3", 1, data=data).case == "liver_3"
    monkeypatch.setattr(attributions, "build", finished_run.build)
    assert len(attributions.opened(folder, 1, data)[2]) == 1
    with pytest.raises(CheckpointError, match="store-missing"):
        attributions.attributions_of_run(folder, 1, tmp_path)
    shutil.copytree(folder, tmp_path / "runs/mscf/fold-0/seed-0")
    assert fresh_drawings(tmp_path / "runs", ["mscf"], data=data).pool
    kept = keep_run(folder, tmp_path / "results", beside=True, data=data)
    assert (kept / "per_slice.csv").is_file()


def test_a_run_split_by_slice_says_that_its_patients_were_trained_on(run) -> None:
    assert " test patients, not seen in training; one" in run_in_words(run.folder)
    change_record(run.folder, lambda r: r["settings"].update(finetune_from="a/b.ckpt"))
    assert "in training, what b.ckpt had seen apart; one" in run_in_words(run.folder)
    change_record(run.folder, lambda r: r["settings"].update(finetune_from=None))
    change_record(run.folder, lambda r: r["settings"].update(split="slice"))
    words = run_in_words(run.folder)
    assert "patients, split by slice: training had other slices of theirs; one" in words
    assert "not seen" not in words
    change_record(run.folder, lambda r: r["settings"].update(split="moon"))
    with pytest.raises(CheckpointError, match="run-record"):
        run_in_words(run.folder)


def test_a_run_is_told_in_words_from_its_own_tables(run, tmp_path) -> None:
    kept = keep_run(run.folder, tmp_path / "results", beside=False)
    for folder in (run.folder, kept):
        words = run_in_words(folder)
        assert "after 2 epochs on tiny (192 x 192 pixels)" in words
        assert f"Dice {run.rows['dice'].mean():.2f} on {len(run.rows)} tumour" in words
        assert "Synthetic" not in words
    change_record(run.folder, lambda r: r["settings"].update(data="."))
    assert "epochs on tiny (192" in run_in_words(run.folder)
    rows = run.folder / "per_slice.csv"
    rows.write_text(rows.read_text().splitlines()[0] + "\n")
    with pytest.raises(CheckpointError, match="run-record"):
        run_in_words(run.folder)
    record = json.loads((kept / "run.json").read_text())
    record["store"]["phantoms"] = True  # whatever its folder is called
    (kept / "run.json").write_text(json.dumps(record))
    assert "Synthetic CT" in run_in_words(kept)
    (kept / "run.json").write_text("{}")
    with pytest.raises(CheckpointError, match="run-record"):
        run_in_words(kept)


@pytest.mark.parametrize("name", ["run", "runs"])
def test_a_page_without_kept_slices_says_what_to_give_by_its_parameter(name) -> None:
    words = nothing_kept("results/x", name)
    assert "kept at `results/x`" in words
    assert f"give the folder of the finished {name} as `{name}`" in words
