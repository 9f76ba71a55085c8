import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from mscf.errors import CheckpointError, InputError, SettingsError
from mscf.kept.examples import (
    choose_examples,
    examples_of_run,
    pair_of_maps,
    read_examples,
    shown_example,
)
from mscf.kept.finished_run import FinishedRun, open_run


def test_examples_are_chosen_by_the_truth_one_a_patient() -> None:
    index = pd.DataFrame(
        {"patient": ["a", "a", "b", "c", "c"], "stored_tumour_px": [1, 3, 2, 5, 4]},
        index=[7, 8, 9, 3, 4],
    )
    assert choose_examples(index, 2).tolist() == [1, 2]
    assert choose_examples(index, 9).tolist() == [1, 2, 3]


def test_maps_are_those_that_changed_and_those_in_which_tumour_stands_out() -> None:
    labels = np.ones((8, 8), np.uint8)
    labels[:4] = 2
    noise = np.random.default_rng(0).random((9, 8, 8)).astype(np.float32)
    after = noise.copy()
    after[[1, 4, 6]] = noise[[0, 2, 3]]  # changed out of recognition
    after[8, :4] += 5  # both changed and outstanding, but less than those
    kept = pair_of_maps(noise, after, labels)
    assert set(kept["channel"][:3]) == {1, 4, 6}
    assert kept["channel"][3] == 8
    assert len(set(kept["channel"])) == 6
    assert kept["apart_after"][3] == 1
    assert kept["apart_before"][3] < 0.5
    np.testing.assert_array_equal(kept["after"][3], after[8].astype(np.float16))


def test_without_tumour_at_a_scale_all_maps_are_those_that_changed() -> None:
    noise = np.random.default_rng(0).random((9, 8, 8)).astype(np.float32)
    after = noise.copy()
    after[[8, 7, 6, 5, 4, 3]] = noise[[3, 8, 7, 6, 5, 4]]
    kept = pair_of_maps(noise, after, np.ones((8, 8), np.uint8))
    assert np.isnan(kept["apart_after"]).all()
    assert set(kept["channel"]) == {3, 4, 5, 6, 7, 8}


def test_the_example_asked_for_is_shown_or_the_one_with_most_tumour() -> None:
    truth = np.zeros((3, 4, 4), bool)
    truth[1] = True
    assert shown_example({"truth": truth}, None) == 1
    assert shown_example({"truth": truth}, 2) == 2


@pytest.mark.parametrize("example", [3, 99, -1, 1.5, "first"])
def test_an_example_that_is_not_there_is_refused_with_the_range(example) -> None:
    kept = {"truth": np.zeros((3, 4, 4), bool)}
    with pytest.raises(SettingsError, match=r"^example: .* from 0 to 2 .*\[example\]$"):
        shown_example(kept, example)


@pytest.mark.parametrize("n", [0, -1])
def test_fewer_than_one_example_is_refused(n, run) -> None:
    with pytest.raises(SettingsError, match=r"^n: must be at least 1 "):
        examples_of_run(run.folder, n)


def test_a_run_is_opened_with_the_weights_that_were_tested(run) -> None:
    opened = open_run(run.folder)
    assert not opened.network().training
    kept, apart = examples_of_run(run.folder, 2)
    assert len(apart) == len(opened.test)
    image = opened.test[0][0].expand(1, 3, -1, -1)
    with torch.no_grad():
        probability = opened.network()(image).sigmoid()[0, 0].numpy()
    first = np.flatnonzero(kept["row"] == opened.test.index["row"].iloc[0])
    assert first.size == 1
    for i in first:
        np.testing.assert_allclose(kept["probability"][i] / 255, probability, atol=3e-3)


def test_a_method_without_context_blocks_is_refused(run, monkeypatch) -> None:
    monkeypatch.setattr(FinishedRun, "network", lambda _: nn.Identity())
    with pytest.raises(SettingsError, match=r"\[no-contexts\]"):
        examples_of_run(run.folder, 1)


def test_a_run_without_its_weights_is_refused(run) -> None:
    (run.folder / "best.ckpt").unlink()
    with pytest.raises(CheckpointError, match=r"best\.ckpt"):
        examples_of_run(run.folder, 1)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive"])
def test_damaged_examples_are_one_line(content, tmp_path) -> None:
    (tmp_path / "examples.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"must hold examples.*\[examples-read\]"):
        read_examples(tmp_path)


def test_a_damaged_stream_within_a_sound_archive_is_one_line(tmp_path) -> None:
    path = tmp_path / "examples.npz"
    np.savez_compressed(path, probability=np.arange(5000))
    content = bytearray(path.read_bytes())
    content[200:260] = b"\xff" * 60
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"\[examples-read\]"):
        read_examples(tmp_path)


def test_examples_that_lack_what_a_picture_needs_are_refused(tmp_path) -> None:
    with pytest.raises(InputError, match=r"No such file.*keep_run.*\[examples-read\]"):
        read_examples(tmp_path)
    np.savez(tmp_path / "examples.npz", probability=np.zeros(1))
    assert read_examples(tmp_path).keys() == {"probability"}
    with pytest.raises(InputError, match=r"found: no liver, but probability"):
        read_examples(tmp_path, needed="liver")
