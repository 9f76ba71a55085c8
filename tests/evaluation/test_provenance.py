"""Every committed result says where it comes from."""

import json
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from mscf.data.phantom.files import write_case
from mscf.data.store import prepare
from mscf.errors import InputError
from mscf.evaluation.kept_run import of_phantoms, read_record
from mscf.evaluation.provenance import (
    OTHER,
    UNNAMED,
    by_machine,
    kept_runs,
    measurements,
    other_files,
    without_a_record,
)
from mscf.models import is_method
from mscf.pages.reproduce import read_profile

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"


def keep(results, fold=0, seed=0, **changes) -> None:
    record = {
        "settings": {"method": "mscf", "fold": fold, "seed": seed},
        "slices": {"test": 3}, "store": {"checksum": "x"}, "epochs_done": 2,
        "seconds": 1800.0, "versions": {"torch": "2.0", "numpy": "2.4"},
        "machine": {
            "device": "cpu", "cores": 2, "system": "Linux", "python": "3.11",
        },
        "commit": "abcdef0123", "started": "2026-11-20T01:00:00+00:00",
        "status": "finished", **changes,
    }  # fmt: skip
    folder = results / f"toys-192/patient/mscf/fold-{fold}/seed-{seed}"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(record))


def test_runs_that_differ_in_fold_and_seed_are_one_row(tmp_path) -> None:
    for fold, seed, day in ((0, 0, 22), (1, 0, 20), (0, 1, 23)):
        keep(tmp_path, fold, seed, started=f"2026-11-{day}T01:00:00+00:00")
    keep(tmp_path, 2, commit="fedcba9876", started="2026-11-21T01:00:00+00:00")
    first, other = kept_runs(tmp_path).to_dict("records")
    assert first["commit"] == "abcdef0"
    assert (first["folds"], first["seeds"], first["runs"]) == ("0, 1", "0, 1", 3)
    assert first["hours"] == pytest.approx(1.5)
    assert first["from"] == "2026-11-20"
    assert (other["commit"], other["runs"]) == ("fedcba9", 1)


def test_machines_and_versions_have_a_row_each(tmp_path) -> None:
    keep(tmp_path, 0)
    keep(tmp_path, 1)
    other = {
        "device": "cpu",
        "cpu": "X",
        "cores": 4,
        "system": "Linux",
        "python": "3.12",
    }
    keep(tmp_path, 2, machine=other)
    first, second = by_machine(tmp_path).to_dict("records")
    assert (first["runs"], first["hours"]) == (2, 1.0)
    assert (first["processor"], first["numpy"]) == ("not recorded", "2.4")
    assert (second["processor"], second["cores"], second["Python"]) == ("X", 4, "3.12")


def test_without_runs_both_tables_are_empty(tmp_path) -> None:
    assert kept_runs(tmp_path).empty
    assert by_machine(tmp_path).empty


def test_a_run_that_went_on_under_other_code_is_marked(tmp_path) -> None:
    keep(tmp_path, 0, resumed=[{"commit": "abcdef0123"}])
    keep(tmp_path, 1, resumed=[{"commit": "0000000000"}])
    assert list(kept_runs(tmp_path)["commit"]) == ["abcdef0", "abcdef0+"]


def test_a_run_that_does_not_say_where_it_comes_from_is_named(tmp_path) -> None:
    keep(tmp_path, versions={})
    with pytest.raises(InputError, match=r"run\.json: must say .*no 'torch'"):
        kept_runs(tmp_path)


def test_every_kept_run_and_measurement_here_names_its_machine() -> None:
    runs, files = kept_runs(RESULTS), measurements(RESULTS)
    assert runs["runs"].sum() == len(list(RESULTS.rglob("run.json")))
    assert runs[["device", "torch", "from"]].astype(bool).all(axis=None)
    assert {"benchmarks/step.json", "reliability.json"} <= set(files["file"])
    assert files[["made", "commit", "device"]].astype(bool).all(axis=None)
    assert (
        runs.loc[runs["commit"] == "not recorded", "runs"].sum() <= 5
    )  # the first ones


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=RESULTS, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


def test_every_file_here_has_a_record_or_is_named_as_without_one() -> None:
    table = other_files(RESULTS)
    assert list(table.loc[table["record"] == UNNAMED, "files"]) == []
    assert (table["n"] > 0).all()  # no row of a file that is gone
    assert table["n"].sum() == len(without_a_record(RESULTS))  # none named twice
    named = table[["files", "record", "made_by", "remark"]]
    assert named.astype(bool).all(axis=None)


def test_what_is_said_of_a_file_without_a_record_is_in_the_history() -> None:
    if git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("the history is not here")
    table = other_files(RESULTS)
    dated = table[table["commit"] != ""]
    assert len(dated) > 10
    for row in dated.to_dict("records"):
        known = git("log", "--abbrev=7", "--format=%h %as", "--", row["files"])
        assert f"{row['commit']} {row['since']}" in known.splitlines(), row["files"]


NUMBERS = {".csv", ".json"}


def test_no_voxel_of_a_person_is_kept_as_the_page_says() -> None:
    arrays = [p for p in RESULTS.rglob("*") if p.is_file() and p.suffix not in NUMBERS]
    assert {path.suffix for path in arrays} == {".npz"}
    runs = {path: read_record(path) for path in RESULTS.rglob("run.json")}
    name = {path: path.relative_to(RESULTS).parts[0] for path in runs}
    synthetic = {
        path.parent for path, run in runs.items() if of_phantoms(run, name[path])
    }
    assert {path.parent for path in arrays} <= synthetic
    stores = [
        {run["store"]["checksum"] for path, run in runs.items() if chosen(path.parent)}
        for chosen in (synthetic.__contains__, lambda one: one not in synthetic)
    ]
    assert stores[0].isdisjoint(stores[1])
    page = (ROOT / "notebooks/provenance.ipynb").read_text(encoding="utf-8")
    assert "Voxels and masks are kept of phantoms alone" in page


@pytest.mark.check
@pytest.mark.parametrize("data", ["phantoms-192", "phantoms-shown-192"])
def test_the_slices_that_are_kept_are_those_of_the_phantoms_made_again(
    data, tmp_path
) -> None:
    """To some HU, as another processor may round otherwise."""
    kept = np.load(RESULTS / data / "patient/mscf/fold-0/seed-0/examples.npz")
    for kind in ("imagesTr", "labelsTr"):
        (tmp_path / "cases" / kind).mkdir(parents=True)
    number = int(str(kept["case"][0]).removeprefix("liver_"))
    write_case(tmp_path / "cases", number, seed=0, size=256, lesions="large")
    store = prepare(tmp_path / "cases", tmp_path / "store", size=192, processes=1)
    off = np.abs(store.images.astype(int) - kept["hu"][0]).max(axis=(1, 2))
    assert off.min() <= 2
    assert ((store.masks[off.argmin()] == 2) == kept["truth"][0]).mean() > 0.999


PROFILES = ("smoke", "phantoms", "shown", "excerpt", "excerpt-448", "lits", "claims")
BY_ITSELF = {("lits_excerpt-224", "mscf"): 80}  # epochs; the page on it has its command
COMMANDS = {
    "runs/long": "phantoms-192/patient/mscf+long",
    "runs/excerpt": "lits_excerpt-224/patient/mscf",
}  # on the page "First results"
LOST = {"": 5, "f705ea670d8404fbae2430b9824eb2e1aa1b79d3": 12}  # and of how many runs


def test_todays_profiles_have_every_training_that_is_kept() -> None:
    """But the labelled ones, whose pages name their commands."""
    wanted = {}
    for name in PROFILES:
        words = yaml.safe_load((ROOT / f"grid/{name}.yaml").read_text())
        data = f"{words['name']}-{words['size']}"
        profile = read_profile(ROOT, name)
        wanted |= {(data, *run): profile.epochs for run in profile.wanted}
    other = {}
    for path in RESULTS.glob("*/*/*/fold-*/seed-*/run.json"):
        data, split, method, *one = path.relative_to(RESULTS).parts[:-1]
        fold, seed = (int(name.partition("-")[2]) for name in one)
        epochs = json.loads(path.read_text())["settings"]["epochs"]
        if (
            is_method(method)
            and wanted.get((data, split, method, fold, seed)) != epochs
        ):
            other[data, method] = epochs
    assert other == BY_ITSELF


def test_the_commands_of_first_results_are_those_of_their_runs() -> None:
    page = json.loads((ROOT / "notebooks/results.ipynb").read_text("utf-8"))
    (cell,) = (c for c in page["cells"] if c["id"] == "departs")
    text = "".join(cell["source"]).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.startswith("mscf train")]
    assert len(lines) == len(COMMANDS)
    for line, (out, place) in zip(lines, COMMANDS.items(), strict=True):
        path = RESULTS / place / "fold-0/seed-0/run.json"
        settings = json.loads(path.read_text())["settings"]
        words = line.split()
        given = dict(pairwise(words))
        assert given["--out"] == out
        assert given["--data"] == f"data/{place.split('/')[0]}"
        assert given["--epochs"] == str(settings["epochs"])
        assert ("--no-pretrained" in words) == (not settings["pretrained"])
        assert ("--log-odds-bias" in words) == settings["log_odds_bias"]


def test_the_code_of_every_training_is_in_the_history_but_what_the_page_names() -> None:
    if git("rev-parse", "--is-shallow-repository") != "false":
        pytest.skip("the history is not here")
    history = {*git("rev-list", "HEAD").split()}
    records = (json.loads(p.read_text()) for p in RESULTS.glob("**/seed-*/run.json"))
    commits = Counter(record.get("commit", "") for record in records)
    assert {c: n for c, n in commits.items() if c[:40] not in history} == LOST


def test_a_file_that_nothing_names_is_a_row_of_its_own(tmp_path) -> None:
    keep(tmp_path)
    (tmp_path / "toys-192/patient/mscf/fold-0/seed-0/per_slice.csv").touch()
    (tmp_path / "race.json").write_text('{"made": "2026-11-20"}')
    (tmp_path / "power.json").write_text('{"seed": 0}')
    (tmp_path / "a.csv").touch()
    columns = ",".join(name for name in OTHER if name != "n")
    rows = "*.csv,none of its own,typed,,,with this table", "gone/*,none,x,,,"
    (tmp_path / "provenance.csv").write_text("\n".join([columns, *rows, ""]))
    table = other_files(tmp_path)
    assert table[["files", "n"]].to_numpy().tolist() == [
        ["*.csv", 2], ["gone/*", 0], ["power.json", 1],
    ]  # fmt: skip
    assert table["record"].iloc[-1] == UNNAMED


def test_without_a_table_every_file_is_unnamed(tmp_path) -> None:
    (tmp_path / "a.csv").touch()
    table = other_files(tmp_path)
    assert list(table) == OTHER
    assert table[["files", "record"]].to_numpy().tolist() == [["a.csv", UNNAMED]]


def test_a_table_with_other_columns_is_refused(tmp_path) -> None:
    (tmp_path / "provenance.csv").write_text("file,why\n")
    with pytest.raises(InputError, match=r"must have the columns files, record"):
        other_files(tmp_path)


def test_a_run_that_lies_by_itself_is_a_measurement(tmp_path) -> None:
    record = {"started": "2026-11-20T01:00:00+00:00", "commit": "abcdef0123"}
    (tmp_path / "plain.json").write_text(json.dumps(record))
    (row,) = measurements(tmp_path).to_dict("records")
    assert (row["file"], row["made"]) == ("plain.json", "2026-11-20")
    assert (row["commit"], row["processor"]) == ("abcdef0", "not recorded")


def test_a_damaged_file_is_named(tmp_path) -> None:
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match=r"broken\.json: must be JSON"):
        measurements(tmp_path)
