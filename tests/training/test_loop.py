import errno
import fcntl
import json
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from small_run import SmallNetwork, settings_for
from torch import nn
from torch.optim import Adam

from mscf.checkpoint import read_checkpoint
from mscf.data.splits import make_split
from mscf.data.store import open_store
from mscf.errors import (
    CheckpointError,
    DistributedError,
    DownloadError,
    NumericalError,
    SettingsError,
    Stopped,
    StorageError,
)
from mscf.evaluation.evaluate import evaluate
from mscf.evaluation.tables import read_rows, write_rows
from mscf.training import loop, result, run_folder, start
from mscf.training.loop import cross_entropy, train
from mscf.training.schedule import Schedule
from mscf.training.start import (
    split_slices,
    start_at_log_odds,
    starting_network,
    take_weights,
)
from mscf.training.state import RunState


def test_a_run_on_some_patients_tests_the_same_slices(tiny_store, tmp_path) -> None:
    some = settings_for(tiny_store, tmp_path / "some", patients=2)
    store = open_store(tiny_store)
    training, test = split_slices(some, store)
    of_all, same = split_slices(replace(some, patients=None), store)
    assert training.index["patient"].nunique() == 2 < of_all.index["patient"].nunique()
    assert test.index.equals(same.index)


def test_settings_of_the_slices_reach_those_that_train_and_those_that_test(
    tiny_store, tmp_path
) -> None:
    settings = settings_for(
        tiny_store, tmp_path, window=(-100.0, 200.0), augment=False, seed=3
    )
    store = open_store(tiny_store)
    training, test = split_slices(settings, store)
    assert (training.window, training.augment, training.seed) == ((-100, 200), False, 3)
    assert (test.window, test.augment) == ((-100, 200), False)
    training, test = split_slices(replace(settings, augment=True), store)
    assert (training.augment, test.augment) == (True, False)
    split = make_split(store.index, "patient", 3)
    assert test.index["row"].tolist() == split.index[split["fold"] == 0].tolist()


def test_all_slices_of_a_store_with_liver_train_too_if_asked(
    tiny_store, tmp_path
) -> None:
    store = open_store(tiny_store)
    store.record["settings"]["slices"] = "liver"
    store.index.loc[::3, ["tumour_px", "stored_tumour_px"]] = 0  # one a case: liver
    settings = settings_for(tiny_store, tmp_path)
    training, test = split_slices(settings, store)
    more, same = split_slices(replace(settings, slices="all"), store)
    assert (len(training), len(more)) == (8, 12)  # of four patients
    assert test.index.equals(same.index)


def pointwise(*_, **__) -> nn.Module:
    """A threshold of the HU, which every step moves."""
    network = nn.Sequential(nn.Conv2d(3, 1, 1))
    nn.init.constant_(network[0].weight, 0.2)
    nn.init.constant_(network[0].bias, 0.5)
    network.heads = lambda: [network[0]]
    return network


def test_the_optimiser_is_plain_adam(small, tiny_store, tmp_path, monkeypatch) -> None:
    made, adam = [], loop.Adam

    def kept(*given, **named) -> Adam:
        made.append(adam(*given, **named))
        return made[-1]

    monkeypatch.setattr(loop, "Adam", kept)
    train(settings_for(tiny_store, tmp_path, epochs=1))
    (one,) = made
    names = ("lr", "betas", "eps", "weight_decay", "amsgrad")
    assert type(one) is Adam
    assert [one.defaults[k] for k in names] == [2e-4, (0.9, 0.999), 1e-8, 0, False]


def test_parts_have_the_gradient_of_the_whole_batch(
    tiny_store, tmp_path, monkeypatch
) -> None:
    """By its norm: Adam's steps would look alike at any scale."""
    monkeypatch.setattr(start, "build", pointwise)
    seen, norms_of = {1: [], 2: []}, loop.gradient_norms
    for parts, norms in seen.items():

        def look(model, norms=norms):
            norms.append(norms_of(model))
            return norms[-1]

        monkeypatch.setattr(loop, "gradient_norms", look)
        train(settings_for(
            tiny_store, tmp_path / str(parts), epochs=1, batch_size=5,
            accumulate=parts, augment=False, precision="float32",
        ))  # fmt: skip
    whole, of_parts = map(torch.stack, seen.values())
    assert len(whole) > 1
    torch.testing.assert_close(of_parts, whole, rtol=0.02, atol=0)


def test_the_best_weights_are_evaluated_in_the_runs_window(
    tiny_store, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(start, "build", pointwise)
    losses, after, seen = iter([2.0, 1.0, 3.0]), Schedule.after, []
    monkeypatch.setattr(Schedule, "after", lambda old, _: after(old, next(losses)))

    def look(model, slices, *options) -> pd.DataFrame:
        seen.append(slices.window)
        return evaluate(model, slices, *options)

    monkeypatch.setattr(result, "evaluate", look)
    settings = settings_for(
        tiny_store, tmp_path, learning_rate=0.02, window=(-100.0, 200.0),
        precision="float32",
    )  # fmt: skip
    run = train(settings)
    assert run.record["best_epoch"] == 1
    _, test = split_slices(settings, open_store(tiny_store))
    assert seen == [test.window] == [(-100, 200)]
    tables = []
    for name in ("best", "last"):
        network = pointwise()
        take_weights(network, tmp_path / f"{name}.ckpt")
        tables.append(evaluate(network, test)[["case", "slice", "tp", "fp", "fn"]])
    written = run.rows[tables[0].columns]
    pd.testing.assert_frame_equal(written, tables[0], check_dtype=False)
    assert not (written == tables[1]).all(axis=None)  # else either would pass


def test_a_run_leaves_history_record_weights_and_rows(
    small, tiny_store, tmp_path
) -> None:
    run = train(settings_for(tiny_store, tmp_path / "run"))
    assert list(run.history["epoch"]) == [0, 1, 2]
    assert run.history["loss"].iloc[-1] < run.history["loss"].iloc[0]
    assert run.record["status"] == "finished"
    assert run.record["settings"]["learning_rate"] == 2e-4
    assert run.record["pretrained"] == "none to load"
    rows = pd.read_csv(run.folder / "per_slice.csv")
    split = pd.read_csv(run.folder / "split.csv")
    assert len(rows) == 3 * len(split.loc[split["fold"] == 0, "patient"].unique())
    assert set(rows["method"]) == {"mscf"}
    left = {p.name for p in run.folder.iterdir()}
    assert {"last.ckpt", "best.ckpt", "timing.csv", "summary.json"} <= left
    assert not list(run.folder.glob(".*.part"))
    context = pd.read_csv(run.folder / "context.csv")
    assert list(context["epoch"]) == [0, 1, 2]
    assert context["alpha_64"].abs().is_monotonic_increasing
    assert context["entropy_64"].between(0, 4.16).all()


def test_names_that_look_like_numbers_or_none_stay_names(
    whole, tiny_store, tmp_path, monkeypatch
) -> None:
    rows = read_rows(whole / "per_slice.csv").iloc[:3]
    names = {"case": ["NA", "c1", "c2"], "patient": ["NA", "01", "1"]}
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    write_rows(rows.assign(**names), tmp_path / "per_slice.csv")
    monkeypatch.setattr(loop, "train_here", lambda *_: None)
    left = train(settings_for(tiny_store, tmp_path)).rows
    assert {name: left[name].tolist() for name in names} == names


def test_on_the_processor_no_memory_is_pinned_for_a_gpu_that_is_there(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    class Made(Exception):
        pass

    def make(*words, **named) -> None:
        raise Made(make_loader(*words, **named).pin_memory)

    make_loader = loop.make_loader
    monkeypatch.setattr(loop, "make_loader", make)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(Made, match="False"):
        train(settings_for(tiny_store, tmp_path))
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["loading"]["pinned"] is False


@pytest.mark.claim("resume", "a stopped run ends with the same bytes when it goes on")
def test_a_resumed_run_ends_with_the_same_bytes(small, tiny_store, tmp_path) -> None:
    whole = train(settings_for(tiny_store, tmp_path / "whole", epochs=4))
    train(settings_for(tiny_store, tmp_path / "cut", epochs=2))
    # A killed run may have left half a file, and a row unknown to its checkpoint.
    for name in (".last.ckpt.x1.part", ".tmpX2tBk6"):
        (tmp_path / "cut" / name).write_bytes(b"half")
    with (tmp_path / "cut/history.csv").open("a") as file:
        file.write("2,0.1")
    resumed = train(settings_for(tiny_store, tmp_path / "cut", epochs=4, resume=True))
    for name in ("history.csv", "context.csv", "per_slice.csv"):
        ours = (whole.folder / name).read_bytes()
        assert (resumed.folder / name).read_bytes() == ours
    from mscf.checkpoint import read_checkpoint

    for name in ("last.ckpt", "best.ckpt"):
        expected, _ = read_checkpoint(whole.folder / name)
        got, _ = read_checkpoint(resumed.folder / name)
        assert got.keys() == expected.keys()
        assert all(torch.equal(got[n], t) for n, t in expected.items())
    assert resumed.record["resumed"][0]["epoch"] == 2
    left = {p.name for p in resumed.folder.iterdir()}
    assert left == {p.name for p in whole.folder.iterdir()}


@pytest.mark.claim("machine", "A run is never overwritten by another")
def test_a_finished_run_is_not_overwritten(small, tiny_store, tmp_path) -> None:
    train(settings_for(tiny_store, tmp_path, epochs=1))
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix != ".lock"}
    with pytest.raises(CheckpointError, match=r"--resume.*\[run-exists\]"):
        train(settings_for(tiny_store, tmp_path, epochs=1, seed=1))
    assert before == {name: (tmp_path / name).read_bytes() for name in before}


@pytest.mark.claim("machine", "A run is never overwritten by another")
@pytest.mark.parametrize("resume", [False, True])
def test_a_run_whose_last_state_was_removed_is_not_begun_anew(
    resume, small, whole, tiny_store, tmp_path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "last.ckpt").unlink()
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.suffix != ".lock"}
    with pytest.raises(CheckpointError, match="run of 3 epochs") as refused:
        train(settings_for(tiny_store, out, resume=resume))
    assert refused.value.finding.check == "run-exists"
    assert f"another --out; --finetune-from {out / 'best.ckpt'}" in str(refused.value)
    after = {p.name: p.read_bytes() for p in out.iterdir() if p.suffix != ".lock"}
    assert after == before


@pytest.mark.claim("machine", "A run is never overwritten by another")
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("left", ["best.ckpt", "per_slice.csv"])
def test_what_is_left_of_a_run_without_its_record_is_not_overwritten(
    left, resume, small, whole, tiny_store, tmp_path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(whole / left, out)
    with pytest.raises(CheckpointError, match=f"new folder.*{left}") as refused:
        train(settings_for(tiny_store, out, resume=resume))
    assert refused.value.finding.check == "run-exists"
    assert (out / left).read_bytes() == (whole / left).read_bytes()
    assert {p.name for p in out.iterdir()} <= {left, "run.lock"}


def test_fewer_epochs_than_are_done_are_refused(
    small, whole, tiny_store, tmp_path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    before = (out / "run.json").read_bytes()
    with pytest.raises(CheckpointError, match=r"as many .*epochs 2 and 3.*\[run-set"):
        train(settings_for(tiny_store, out, resume=True, epochs=2))
    assert (out / "run.json").read_bytes() == before


def test_a_number_of_epochs_that_is_none_is_one_line(
    small, whole, tiny_store, tmp_path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    record = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(record | {"epochs_done": "three"}))
    with pytest.raises(CheckpointError, match=r"epochs_done .*\[run-record\]"):
        train(settings_for(tiny_store, out, resume=True))


def test_a_run_that_goes_on_has_its_split_again_and_one_that_begins_says_so(
    small, whole, tiny_store, tmp_path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "split.csv").unlink()
    train(settings_for(tiny_store, out, resume=True))
    assert (out / "split.csv").read_bytes() == (whole / "split.csv").read_bytes()
    train(settings_for(tiny_store, tmp_path / "typo", resume=True, epochs=1))
    assert "a new one begins" in (tmp_path / "typo/log.txt").read_text()


def test_weights_say_whether_they_began_with_those_of_imagenet(whole) -> None:
    record = json.loads((whole / "run.json").read_text())
    for name in ("best.ckpt", "last.ckpt"):
        _, header = read_checkpoint(whole / name)
        assert header["imagenet"] == record["pretrained"]


def test_a_run_killed_before_its_first_state_may_start_from_its_own_best_weights(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    def killed(_state) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunState, "_write_last", killed)
        with pytest.raises(Stopped):
            train(settings_for(tiny_store, tmp_path, epochs=1))
    best = tmp_path / "best.ckpt"
    train(settings_for(tiny_store, tmp_path, epochs=1, finetune_from=best))
    log = (tmp_path / "log.txt").read_text()
    assert "[run-anew]" in log
    assert "others are skipped (found: none) [finetune]" in log


def test_a_refused_setting_leaves_no_folder(tiny_store, tmp_path) -> None:
    with pytest.raises(SettingsError, match="fold"):
        train(settings_for(tiny_store, tmp_path / "run", fold=7))
    assert not (tmp_path / "run").exists()


@pytest.mark.claim("machine", "A run is never overwritten by another")
def test_resuming_with_other_settings_names_them(small, tiny_store, tmp_path) -> None:
    train(settings_for(tiny_store, tmp_path, epochs=1))
    with pytest.raises(CheckpointError, match=r"learning_rate 0.001 instead of 0.0002"):
        train(settings_for(tiny_store, tmp_path, learning_rate=1e-3, resume=True))


@pytest.mark.claim("machine", "Two runs never share a folder")
def test_two_runs_never_share_a_folder(small, tiny_store, tmp_path) -> None:
    from mscf.training.run_folder import claimed

    with (
        claimed(tmp_path),
        pytest.raises(CheckpointError, match=r"process \d+ on .*\[run-lock\]"),
    ):
        train(settings_for(tiny_store, tmp_path))


def test_where_there_are_no_locks_it_says_so_and_trains(
    small, tiny_store, tmp_path, monkeypatch, capsys
) -> None:
    def no_lock(*_) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_lock)
    run = train(settings_for(tiny_store, tmp_path, epochs=1))
    assert run.record["status"] == "finished"
    assert "[lock]" in capsys.readouterr().err


def test_a_lock_that_fails_for_another_reason_is_no_file_system_without(
    tmp_path, monkeypatch
) -> None:
    def broken(*_) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", broken)
    with (
        pytest.raises(StorageError, match="must be locked"),
        run_folder.claimed(tmp_path),
    ):
        pass


def test_processes_that_begin_with_other_weights_do_not_train(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    """One of them could not be given what the others were, by a download or a file."""
    asked = []

    def agree(ranks, what, value) -> None:
        asked.append(value)
        if what == "weights at the start":
            raise DistributedError("rank 1", f"must have the {what} of rank 0", "", "x")

    monkeypatch.setattr(loop.Ranks, "agree", agree)
    for seed in (0, 1):
        with pytest.raises(DistributedError, match="weights at the start"):
            train(settings_for(tiny_store, tmp_path / str(seed), seed=seed))
    assert asked[1] != asked[3]  # other weights, another digest


def test_of_three_outputs_three_losses_are_added() -> None:
    outputs = torch.randn(3, 2, 1, 4, 4)
    targets = (torch.rand(2, 1, 4, 4) < 0.3).float()
    expected = sum(F.binary_cross_entropy_with_logits(x, targets) for x in outputs)
    torch.testing.assert_close(cross_entropy(tuple(outputs), targets), expected)
    assert cross_entropy(outputs[0], targets) < expected


@pytest.mark.claim("numbers", "a number that is not finite ends the run, and is named")
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_good(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    train(settings_for(tiny_store, tmp_path, epochs=1))
    before = {p.name: p.read_bytes() for p in tmp_path.glob("*.ckpt")}
    monkeypatch.setattr(loop, "cross_entropy", lambda x, y: x.mean() * torch.nan)
    with pytest.raises(NumericalError, match="epoch 1"):
        train(settings_for(tiny_store, tmp_path, epochs=2, resume=True))
    assert {p.name: p.read_bytes() for p in tmp_path.glob("*.ckpt")} == before


def test_image_size_other_than_the_stores_is_an_error(tiny_store, tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"must be the store's, 192"):
        train(settings_for(tiny_store, tmp_path, image_size=448))


def test_batch_larger_than_the_data_is_an_error(tiny_store, tmp_path) -> None:
    with pytest.raises(SettingsError, match="at most 1"):
        train(settings_for(tiny_store, tmp_path, batch_size=100))


@pytest.mark.parametrize("kind", ["float32", "bf16"])
def test_every_step_of_an_epoch_sees_the_weights_of_the_step_before(
    kind, tiny_store, tmp_path, monkeypatch
) -> None:
    seen = []

    def look(layer, images, outputs) -> None:
        with torch.autocast("cpu", enabled=False):
            expected = F.conv2d(images[0], layer.weight, layer.bias)
        torch.testing.assert_close(outputs.float(), expected, rtol=0.02, atol=0.02)
        seen.append(layer.weight.detach().clone())

    def build(*args, **kwargs) -> nn.Module:
        network = nn.Sequential(nn.Conv2d(3, 1, 1))
        network.heads = lambda: [network[0]]
        network[0].register_forward_hook(look)
        return network

    monkeypatch.setattr(start, "build", build)
    settings = settings_for(
        tiny_store, tmp_path, precision=kind, batch_size=2, learning_rate=0.1, epochs=1
    )
    train(settings)
    assert len(seen) > 5
    assert not torch.equal(seen[2], seen[1])
    assert not torch.equal(seen[3], seen[2])


def test_log_odds_bias_makes_the_untrained_network_expect_the_tumours_share(
    tiny_store,
) -> None:
    from mscf.data.dataset import SliceDataset
    from mscf.data.store import open_store

    store = open_store(tiny_store)
    slices = SliceDataset(store, range(len(store)))
    network = SmallNetwork()
    nn.init.zeros_(network[-1].weight)
    start_at_log_odds(network, slices)
    probability = torch.sigmoid(network(torch.zeros(1, 3, 192, 192))).mean()
    assert probability.item() == pytest.approx((store.masks[:] == 2).mean(), rel=1e-5)


@pytest.mark.parametrize("log_odds_bias", [False, True])
def test_the_starting_network_is_the_one_that_takes_the_first_step(
    log_odds_bias, small, tiny_store, tmp_path, monkeypatch
) -> None:
    seen = {}

    def look(training, state, _stop) -> None:
        weights = state.model.state_dict()
        seen.update({n: t.clone() for n, t in weights.items()}, of=training)
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "fit", look)
    settings = settings_for(
        tiny_store, tmp_path, batch_size=1, log_odds_bias=log_odds_bias, seed=3
    )
    with pytest.raises(Stopped):
        train(settings)
    again = starting_network(settings, seen.pop("of")).state_dict()
    assert again.keys() == seen.keys()
    assert all(torch.equal(again[name], tensor) for name, tensor in seen.items())
    assert (again["8.bias"].item() < -2) == log_odds_bias  # the tumour is rare


def test_all_slices_of_a_store_of_tumour_slices_are_an_error(
    tiny_store, tmp_path
) -> None:
    with pytest.raises(SettingsError, match=r"--slices liver or all \[slices\]"):
        train(settings_for(tiny_store, tmp_path / "run", slices="all"))
    assert not (tmp_path / "run").exists()


@pytest.mark.claim(
    "numbers", "a slice that is not as it was prepared is refused before the first step"
)
def test_a_store_that_has_changed_is_not_trained_on(
    small, tiny_store, tmp_path
) -> None:
    store = tmp_path / "store"
    shutil.copytree(tiny_store, store)
    images = np.load(store / "images.npy", mmap_mode="r+")
    images[4, 0, 0] += 1
    images.flush()
    with pytest.raises(CheckpointError, match=r"\[store-changed\]"):
        train(settings_for(store, tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_rows_are_signed_with_the_folders_name_also_where_it_is_a_dot(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tiny_store)
    run = train(settings_for(".", tmp_path / "run", epochs=1))
    assert set(run.rows["data"]) == {"tiny"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package in a repository of its own, as the one that trains."""
    folder = tmp_path / "code/mscf"
    (folder / "training").mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    monkeypatch.setattr(run_folder, "__file__", f"{folder}/training/run_folder.py")
    for words in (["init"], ["add", "."], ["commit", "-m", "first"]):
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@example.org", *words],
            cwd=folder.parent, check=True, capture_output=True,
        )  # fmt: skip
    return folder


def test_the_commit_is_named_and_marked_where_the_package_was_changed(package) -> None:
    commit = run_folder.commit()
    assert len(commit) == 40
    (package.parent / "README.md").write_text("beside the package")
    (package / "notes.txt").write_text("not tracked")
    assert run_folder.commit() == commit
    (package / "__init__.py").write_text("changed")
    assert run_folder.commit() == f"{commit}-dirty"


def test_there_is_no_commit_outside_a_repository_or_without_git(
    package, monkeypatch
) -> None:
    installed = package.parent / ".venv/mscf/training/run_folder.py"
    installed.parent.mkdir(parents=True)
    with monkeypatch.context() as patch:
        patch.setattr(run_folder, "__file__", str(installed))  # not tracked there
        assert run_folder.commit() == ""
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "")
        assert run_folder.commit() == ""
    shutil.rmtree(package.parent / ".git")
    assert run_folder.commit() == ""


def test_a_run_and_its_summary_name_the_commit(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("mscf.training.run_folder.commit", lambda: "abc")
    run = train(settings_for(tiny_store, tmp_path, epochs=1))
    monkeypatch.setattr("mscf.training.run_folder.commit", lambda: "def-dirty")
    resumed = train(settings_for(tiny_store, tmp_path, epochs=2, resume=True))
    assert run.record["commit"] == resumed.record["commit"] == "abc"
    assert resumed.record["resumed"][0]["commit"] == "def-dirty"
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert {row["commit"] for row in summary} == {"abc"}


def test_the_record_is_json_without_user_or_path_of_the_machine(
    small, tiny_store, tmp_path
) -> None:
    run = train(settings_for(tiny_store, tmp_path / "run", epochs=1))
    record = json.loads((run.folder / "run.json").read_text())
    assert record["machine"]["device"] == "cpu"
    assert record["versions"]["torch"] == torch.__version__
    assert "host" not in str(record).lower()


def test_a_run_starts_from_the_weights_of_another_and_says_what_was_skipped(
    small, tiny_store, tmp_path, capsys
) -> None:
    first = train(settings_for(tiny_store, tmp_path / "first", epochs=1))
    best, _ = read_checkpoint(first.folder / "best.ckpt")
    settings = settings_for(
        tiny_store, tmp_path / "second", finetune_from=first.folder / "best.ckpt",
        learning_rate=1e-9, epochs=1, seed=3,
    )  # fmt: skip
    second = train(settings)
    got, _ = read_checkpoint(second.folder / "best.ckpt")
    for name, weight in best.items():
        if name.endswith(("weight", "bias", "alpha", "beta")):
            torch.testing.assert_close(got[name], weight, rtol=0, atol=1e-7)
    assert "are the start, others are skipped (found: none)" in capsys.readouterr().err
    log = (second.folder / "log.txt").read_text()
    assert "[finetune]" in log


@pytest.mark.parametrize(
    ("changes", "said"),
    [({}, False), ({"method": "cenet"}, False), ({"fold": 1}, True),
     ({"seed": 1}, True), ({"split": "slice"}, True)],
)  # fmt: skip
def test_weights_that_may_know_the_test_slices_are_said_to(
    small, tiny_store, tmp_path, changes, said
) -> None:
    train(settings_for(tiny_store, tmp_path / "first", epochs=1))
    start_from = tmp_path / "first/best.ckpt"
    settings = settings_for(
        tiny_store, tmp_path / "second", epochs=1, finetune_from=start_from, **changes
    )
    train(settings)
    log = (tmp_path / "second/log.txt").read_text()
    assert ("[finetune-tested]" in log) == said


def test_a_run_that_must_start_from_imagenet_ends_where_it_cannot(
    small, tiny_store, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(start, "has_imagenet", lambda model: False)
    settings = settings_for(
        tiny_store, tmp_path, pretrained=True, require_pretrained=True
    )
    with pytest.raises(DownloadError, match=r"ImageNet weights.*\[pretrained\]"):
        train(settings)
