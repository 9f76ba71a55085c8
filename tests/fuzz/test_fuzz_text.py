"""Damaged small text files: an equal result or one refusal, never a traceback.

A store is guarded by digests, so whatever it gives is what was prepared. A changed
digit in a run's record or in a table of numbers cannot be seen: there the result must
have the right form.
"""

import json
import random
import shutil

import numpy as np
import pandas as pd
import pytest
from mutating import damaged, edit_json, fuzz

from mscf.data.cases import find_cases
from mscf.data.splits import make_split, write_split
from mscf.data.store import open_store
from mscf.errors import MscfError
from mscf.evaluation.results_table import cost_table, results_table
from mscf.evaluation.runs import Runs, read_runs
from mscf.evaluation.statements import notes, where_from
from mscf.evaluation.tables import TYPES, identify, read_rows, write_rows
from mscf.kept.finished_run import check_same, finished_settings
from mscf.kept.results import read_context
from mscf.training.history import HISTORY, GrowingTable
from mscf.training.run_folder import read_record

TEXT = pytest.mark.claim(
    "security", "a damaged text file ends in an equal result or in one line"
)
STATE = pytest.mark.claim(
    "resume", "a damaged record, table or state ends a run the same or is refused"
)

COUNTS = [20, pytest.param(500, marks=(pytest.mark.slow, pytest.mark.timeout(3600)))]


def seeds_of(path):
    return lambda content, seed: damaged(content, path, seed)


@pytest.fixture
def store(tiny_store, tmp_path):
    shutil.copytree(tiny_store, tmp_path / "store")
    return tmp_path / "store"


@TEXT
@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("name", ["store.json", "index.csv", "images.npy"])
def test_a_damaged_store_is_what_was_prepared_or_refused(name, n, store, shows) -> None:
    clean = open_store(store)
    images, masks = np.array(clean.images), np.array(clean.masks)
    used = ("settings", "checksum", "phantoms", "persons", "sources", "counts")

    def read():
        opened = open_store(store)
        opened.verify()
        return opened

    def equal(opened) -> bool:
        return (
            all(opened.record[key] == clean.record[key] for key in used)
            and opened.index.equals(clean.index)
            and np.array_equal(opened.images, images)
            and np.array_equal(opened.masks, masks)
        )

    def damage(content: bytes, seed: int) -> bytes:
        if name != "images.npy":
            return damaged(content, store / name, seed)
        rng = random.Random(seed)  # of the array its header; verify sees the rest
        changed = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            changed[rng.randrange(128)] = rng.randrange(256)
        return bytes(changed)

    fuzz(store / name, damage, range(n), read, equal)
    shows(tried=n)


@TEXT
def test_another_word_in_the_record_of_a_store_is_refused(store) -> None:
    path = store / "store.json"
    text = path.read_text()
    assert '"phantoms": false' in text
    path.write_text(text.replace('"phantoms": false', '"phantoms": true'))
    with pytest.raises(MscfError, match=r"digest.*\[store-damaged\]"):
        open_store(store)


@TEXT
@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("name", ["dataset.json", "patients.csv"])
def test_a_damaged_list_of_cases_ends_in_cases_or_a_refusal(
    name, n, tiny_cases, tmp_path, shows
) -> None:
    folder = tmp_path / "cases"
    shutil.copytree(tiny_cases, folder)
    entries = [
        {"image": f"./imagesTr/liver_{i}.nii.gz", "label": f"labelsTr/liver_{i}.nii.gz"}
        for i in range(6)
    ]
    (folder / "dataset.json").write_text(json.dumps({"training": entries}))
    rows = [f"liver_{i},p{i},true\n" for i in range(6)]
    (folder / "patients.csv").write_text("case,patient,spacing_known\n" + "".join(rows))

    def well_formed(cases) -> bool:
        inside = all(case.image.parent.parent == folder for case in cases)
        return inside and all(case.patient for case in cases)

    path = folder / name
    fuzz(path, seeds_of(path), range(n), lambda: find_cases(folder), well_formed)
    shows(tried=n)


@pytest.fixture
def place(tmp_path):
    """Kept runs of two methods, two folds."""
    place = tmp_path / "results/data-24/patient"
    rng = np.random.default_rng(0)
    for method in ("unet", "mscf"):
        folder = place / method / "fold-0/seed-0"
        folder.mkdir(parents=True)
        rows = pd.DataFrame(
            {
                "case": [f"c{i % 3}" for i in range(6)],
                "patient": [f"p{i % 3}" for i in range(6)],
                "slice": range(6), "height": 24, "width": 24,
                "spacing_y": 1.5, "spacing_x": 1.5, "outcome": "overlap",
                "truth_px": 9, "predicted_px": rng.integers(1, 9, 6),
                "tp": 5, "fp": 1, "fn": 4, "tn": 566,
            }
        )  # fmt: skip
        for name, kind in TYPES.items():
            if kind == "float64" and name not in rows:
                rows[name] = rng.random(6)
        signed = identify(rows, "data-24", "patient", 0, method, 0)
        write_rows(signed, folder / "per_slice.csv")
        record = {
            "settings": {"method": method, "fold": 0, "seed": 0, "window": [-40, 160]},
            "store": {"checksum": "a", "size": 24},
            "slices": {"training": 9, "test": 6}, "status": "finished",
            "pretrained": "not loaded", "seconds": 36.0, "epochs_done": 2,
            "machine": {"device": "cpu"},
        }  # fmt: skip
        (folder / "run.json").write_text(json.dumps(record))
    return place


@TEXT
@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("name", ["per_slice.csv", "run.json"])
def test_damaged_kept_runs_end_in_tables_or_a_refusal(name, n, place, shows) -> None:
    path = place / "mscf/fold-0/seed-0" / name
    cost = {m: {"parameters": 1, "GMAC": 1.0} for m in ("unet", "mscf")}

    def read() -> Runs:
        runs = read_runs(place, ["unet", "mscf"])
        if name == "run.json":  # what pages make of it
            cost_table(runs, cost)
            where_from(runs, {})
            notes(runs)
        return runs

    fuzz(path, seeds_of(path), range(n), read, lambda runs: runs.methods[-1] == "mscf")
    shows(tried=n)


@TEXT
@pytest.mark.parametrize("n", COUNTS)
def test_damaged_rows_end_in_rows_or_a_refusal(n, place, shows) -> None:
    path = place / "mscf/fold-0/seed-0/per_slice.csv"
    columns = list(TYPES)
    fuzz(
        path, seeds_of(path), range(n), lambda: read_rows(path),
        lambda rows: list(rows) == columns,
    )  # fmt: skip
    assert len(results_table(read_runs(place, ["unet", "mscf"]))) == 2
    shows(tried=n)


@TEXT
@pytest.mark.parametrize("n", COUNTS)
def test_a_damaged_record_is_not_taken_for_a_finished_run(
    n, store, tmp_path, shows
) -> None:
    opened = open_store(store)
    path = tmp_path / "run.json"
    record = {
        "settings": {"data": "store", "out": "run", "method": "mscf", "epochs": 2,
                     "window": [-40.0, 160.0], "pretrained": False},
        "store": {"checksum": opened.checksum, "size": 192},
        "pretrained": "not loaded", "status": "finished", "commit": "abc",
    }  # fmt: skip
    path.write_text(json.dumps(record))

    def read():
        try:
            content = json.loads(path.read_text())
        except (ValueError, RecursionError):
            raise MscfError(path, "must be JSON", "none", "run-record") from None
        if not isinstance(content, dict):  # as read_record promises
            raise MscfError(path, "must be an object", "none", "run-record")
        settings = finished_settings(path.parent, content)
        check_same(opened, content)
        return settings

    def damage(content: bytes, seed: int) -> bytes:
        return edit_json(content, random.Random(seed))

    fuzz(path, damage, range(n), read, lambda settings: settings.fold == 0)
    shows(tried=n)


@TEXT
@pytest.mark.parametrize("n", COUNTS)
def test_damaged_context_tables_end_in_tables_or_a_refusal(n, place, shows) -> None:
    path = place / "mscf/fold-0/seed-0/context.csv"
    path.write_text("epoch,alpha_64,entropy_64\n0,0.1,2.5\n1,0.2,2.25\n")
    read = lambda: read_context(place, ["mscf"])["mscf"]  # noqa: E731
    fuzz(path, seeds_of(path), range(n), read, lambda table: "epoch" in table)
    shows(tried=n)


# Readers of a run at work


@TEXT
def test_a_record_of_a_run_that_is_too_deep_is_refused(tmp_path) -> None:
    path = tmp_path / "run.json"
    path.write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(MscfError):
        read_record(path)


@TEXT
@pytest.mark.parametrize("n", COUNTS[:1])
def test_a_damaged_record_of_a_run_is_an_object_or_refused(n, tmp_path, shows) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps({"settings": {"seed": 0}, "store": {"checksum": "a"}}))
    read = lambda: read_record(path)  # noqa: E731
    fuzz(path, seeds_of(path), range(n), read, lambda content: type(content) is dict)
    shows(tried=n)


def history(path) -> GrowingTable:
    table = GrowingTable(path, HISTORY)
    table.start()
    for epoch in range(3):
        table.append(epoch, 1 / (epoch + 1), 2e-4)
    return table


@STATE
@pytest.mark.parametrize("n", COUNTS)
@pytest.mark.parametrize("name", ["history.csv", "timing.csv"])
def test_a_damaged_history_is_cut_to_what_it_was_or_refused(
    name, n, tmp_path, shows
) -> None:
    path = tmp_path / name
    table = history(path)
    mark, whole = table.mark(), path.read_bytes()

    def cut() -> bytes:
        table.check(mark)
        table.cut(mark)
        return path.read_bytes()

    fuzz(path, seeds_of(path), range(n), cut, lambda content: content == whole)
    shows(tried=n)


@STATE
@pytest.mark.parametrize("behind", ["2,0.", "3,0.25,0.0002\n", ""])
def test_what_stands_behind_the_mark_is_cut_off(behind, tmp_path) -> None:
    path = tmp_path / "history.csv"
    table = history(path)
    mark, whole = table.mark(), path.read_text()
    path.write_text(whole + behind)
    table.check(mark)
    assert table.cut(mark) == len(behind)
    assert path.read_text() == whole


@STATE
def test_a_split_is_made_anew_and_never_read(store, tmp_path) -> None:
    """So no damage to ``split.csv`` can change who trains; a reader would be fuzzed."""
    index = open_store(store).index
    split = make_split(index, "patient", 0)
    write_split(split, tmp_path)
    (tmp_path / "split.csv").write_text("damaged")
    assert make_split(index, "patient", 0).equals(split)
