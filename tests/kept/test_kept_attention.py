import numpy as np
import pandas as pd
import pytest
import torch
from small_contexts import Small
from torch import nn

from mscf.data.dataset import SliceDataset
from mscf.data.spreadsheet import as_csv
from mscf.data.store import Store, open_store
from mscf.errors import InputError, SettingsError
from mscf.kept.asking import COLUMNS, attention_from, channel_maps, with_most_lesions
from mscf.kept.attentions import (
    Attention,
    keep_attention,
    look,
    read_attention,
    where_it_goes,
    write_attention,
)
from mscf.kept.kept_table import read_table


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def slices(tiny_store):
    store = open_store(tiny_store)
    return SliceDataset(store, store.index["row"])


@pytest.fixture
def kept(network, slices, tmp_path, monkeypatch):
    """A file of two slices; the store passes for one of phantoms."""
    monkeypatch.setattr(Store, "phantoms", True)
    few = with_most_lesions(slices, 2)
    chosen = [{"corner": (0, 0), "middle": (96, 96)}, {"corner": (191, 191)}]
    path = tmp_path / "attention.npz"
    write_attention(network, few, chosen, path)
    return few, chosen, path


def test_what_is_kept_is_what_was_seen(network, kept) -> None:
    few, chosen, path = kept
    seen = read_attention(path)
    assert seen.of.tolist() == [0, 0, 1]
    assert seen.name.tolist() == ["corner", "middle", "corner"]
    assert list(seen.rows) == list(seen.affinity) == [16, 32]
    rows = few.index["row"].to_numpy()
    assert np.array_equal(seen.hu, few.store.images[rows])
    live = attention_from(network, few[0][0], list(chosen[0].values()))
    for channels, expected in live.items():
        times = seen.rows[channels][:2].astype(float)
        np.testing.assert_allclose(
            times, expected * expected[0].size, rtol=1e-3, atol=1e-6
        )
        np.testing.assert_allclose(times.mean(axis=(1, 2)), 1, atol=1e-3)
    maps = channel_maps(network, few[1][0])
    for channels, expected in maps.items():
        np.testing.assert_allclose(seen.affinity[channels][1], expected, atol=1e-3)
    again = look(network, few, chosen)
    assert np.array_equal(again.rows[32], seen.rows[32])


def test_one_branch_alone_can_be_looked_at(slices) -> None:
    few, chosen = with_most_lesions(slices, 1), [{"corner": (0, 0)}]
    seen = look(Small(channel=False), few, chosen, ["spatial"])
    assert (list(seen.rows), seen.affinity) == ([16, 32], {})
    seen = look(Small(spatial=False), few, chosen, ["channel"])
    assert (seen.rows, list(seen.affinity)) == ({}, [16, 32])
    with pytest.raises(SettingsError, match="must have a spatial context"):
        look(Small(spatial=False), few, chosen, ["spatial"])


def test_a_row_is_told_by_what_it_lies_on() -> None:
    labels = np.zeros((24, 40), np.uint8)
    labels[2:22, 3:37] = 1
    labels[4:9, 6:13] = labels[13:18, 21:25] = 2
    rows = np.zeros((1, 6, 10), np.float16)
    rows[0, 1, 2] = 45  # rows 4 to 7, columns 8 to 11: all tumour
    rows[0, 0, 0] = 15  # of its 16 pixels 2 are liver
    seen = Attention(
        np.array(["one"]), np.array([3]), np.zeros((1, 24, 40), np.int16),
        labels[None], np.array([0]), np.array(["me"]), np.array([[0, 0]]),
        {16: rows}, {},
    )  # fmt: skip
    (row,) = where_it_goes(seen).to_dict("records")
    assert row["tumour"] == pytest.approx(75)
    assert row["liver"] == pytest.approx(25 * 2 / 16)
    assert row["tumour"] + row["liver"] + row["rest"] == pytest.approx(100)
    assert row["tumour, even"] == pytest.approx(100 * 55 / 960)
    two = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert row["entropy"] == pytest.approx(two / np.log(60))


def test_voxels_of_a_person_are_not_kept(network, slices, tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"phantoms.*\[examples\]"):
        write_attention(network, slices, [], tmp_path / "attention.npz")
    assert not list(tmp_path.iterdir())


def test_a_run_keeps_a_table_and_of_phantoms_a_file(
    network, slices, tmp_path, monkeypatch
) -> None:
    keep_attention(network, slices, tmp_path, voxels=False)
    assert [path.name for path in tmp_path.iterdir()] == ["lesion_attention.csv"]
    assert read_table(tmp_path / "lesion_attention.csv", COLUMNS).empty
    monkeypatch.setattr(Store, "phantoms", True)
    keep_attention(network, slices, tmp_path, voxels=True)
    seen = read_attention(tmp_path / "attention.npz")
    assert len(seen.case) == 3
    assert set(seen.name) == {"lesion", "liver"}  # one lesion each, and no bone


def test_of_a_network_without_both_contexts_nothing_is_kept(slices, tmp_path) -> None:
    for network in (nn.Identity(), Small(spatial=False), Small(channel=False)):
        keep_attention(network, slices, tmp_path, voxels=True)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_attention_is_named(kept, tmp_path) -> None:
    path = kept[2]
    whole = path.read_bytes()
    with np.load(path) as file:
        arrays = dict(file)
    missing = {name: a for name, a in arrays.items() if name != "pixel"}
    shorter = arrays | {"rows16": arrays["rows16"][:2]}
    beyond = arrays | {"of": arrays["of"] + 5}
    odd = arrays | {"rows16": np.full_like(arrays["rows16"], np.nan)}
    for content in (missing, shorter, beyond, odd):
        np.savez(path, **content)
        with pytest.raises(InputError, match=r"attention\.npz: must be.*keep_run"):
            read_attention(path)
    for content in (b"", whole[:500], whole[:-200], b"case,slice\n"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="attention-file"):
            read_attention(path)
    with pytest.raises(InputError, match="No such file"):
        read_attention(tmp_path / "none.npz")


def test_a_kept_table_reads_back_and_another_is_refused(tmp_path) -> None:
    path = tmp_path / "lesion_attention.csv"
    values = dict.fromkeys(COLUMNS, 1.5) | {
        "case": "=1", "patient": "NA", "slice": 3, "channels": 64, "lesions": 2,
        "pairs": 2,
    }  # fmt: skip
    table = pd.DataFrame([values])
    path.write_text(as_csv(table))
    pd.testing.assert_frame_equal(read_table(path, COLUMNS), table)
    whole = as_csv(table)
    for text in (
        "", "case,slice\n1,2\n", whole.replace("1.5", "x"),
        whole.replace("1.5", "", 1), whole + "2,P1\n",
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(InputError, match=r"\[kept-table\]"):
            read_table(path, COLUMNS)
