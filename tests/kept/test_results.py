import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mscf.data.store import Store, open_store
from mscf.errors import CheckpointError, InputError, SettingsError
from mscf.evaluation.tables import read_rows, write_rows
from mscf.kept import results as results_module
from mscf.kept.results import keep_run, read_beside, read_results

ROOT = Path(__file__).parents[2]


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
    assert record["dice"] == tables["mscf"]["dice"].mean()
    assert str(tmp_path) not in (folder / "run.json").read_text()
    # Pages read it beside examples alone.
    assert not [*(tmp_path / "results").rglob("lesion_attention.csv")]
    assert not (folder / "examples.npz").exists()
    of_case = read_beside(tmp_path / "results/tiny/patient", "mscf", "per_case")
    assert set(of_case["fold"]) == {0}
    assert of_case["slices"].sum() == len(tables["mscf"])
    drawn = tables["mscf"].groupby("case")[["truth_px", "predicted_px", "tp"]].sum()
    assert of_case["truth_voxels"].tolist() == drawn["truth_px"].tolist()
    assert of_case["predicted_voxels"].tolist() == drawn["predicted_px"].tolist()
    assert of_case["tp"].tolist() == drawn["tp"].tolist()
    lesions = read_beside(tmp_path / "results/tiny/patient", "mscf", "lesions")
    true = lesions[lesions["lesion"] == 1]
    for name, of in (("truth", true), ("predicted", lesions.drop(true.index))):
        counted = of.groupby("case").size().reindex(of_case["case"], fill_value=0)
        assert counted.tolist() == of_case[f"lesions_{name}"].tolist()
        voxels = of.groupby("case")["voxels"].sum()
        voxels = voxels.reindex(of_case["case"], fill_value=0)
        assert voxels.tolist() == of_case[f"{name}_voxels"].tolist()
    apart = pd.read_csv(folder / "separation.csv")
    assert sorted(apart["slice"]) == sorted(tables["mscf"]["slice"])
    assert apart["after_16"].between(0, 1).all()


def test_a_label_keeps_apart_all_that_is_written(run, tmp_path) -> None:
    results = tmp_path / "results"
    keep_run(run.folder, results)
    before = {p: p.read_bytes() for p in results.rglob("*") if p.is_file()}
    keep_run(run.folder, results, label="8-patients")
    assert all(path.read_bytes() == content for path, content in before.items())
    place = results / "tiny/patient"
    new = {p.relative_to(place).parts[0] for p in results.rglob("per_slice.csv")}
    assert {f"{m}+8-patients" for m in ("mscf", "hu_threshold")} < new
    tables = read_results(place, "mscf+8-patients")
    assert set(tables["one HU threshold"]["method"]) == {"hu_threshold+8-patients"}
    assert set(read_results(place, "mscf")["one HU threshold"]["method"]) == {
        "hu_threshold"
    }


def test_a_label_may_be_part_of_a_taken_word(run, tmp_path) -> None:
    folder = keep_run(run.folder, tmp_path / "results", beside=False, label="trained")
    assert folder.parts[-3] == "mscf+trained"


@pytest.mark.parametrize("label", ["once", "gain", "once+rows", "untrained"])
def test_a_label_is_no_variant(label, run, tmp_path) -> None:
    with pytest.raises(SettingsError, match=r"\[label\]"):
        keep_run(run.folder, tmp_path / "results", label=label)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "label", ["a/b", "../../x", "..", ".a", "a b", "a\\b", "a+b", "\u00e4", "a\n", "-/"]
)
def test_a_label_is_part_of_one_folders_name(label, run, tmp_path) -> None:
    kept = keep_run(run.folder, tmp_path / "results", beside=False)
    with pytest.raises(SettingsError, match=r"must be of letters.*\[label\]"):
        keep_run(run.folder, tmp_path / "results", label=label)
    assert (kept / "run.json").exists()
    assert [path.name for path in kept.parents[2].iterdir()] == ["mscf"]


@pytest.mark.parametrize("label", ["8-patients", "v1.2", "_a", "-a"])
def test_a_label_may_have_other_signs_than_letters(label, run, tmp_path) -> None:
    folder = keep_run(run.folder, tmp_path / "results", beside=False, label=label)
    assert folder.parts[-3] == f"mscf+{label}"


def test_fewer_examples_than_none_are_refused(run, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(Store, "phantoms", True)
    kept = keep_run(run.folder, tmp_path / "results", beside=False)
    with pytest.raises(SettingsError, match=r"at least 0 .*\[examples\]"):
        keep_run(run.folder, tmp_path / "results", examples=-1)
    assert (kept / "run.json").exists()


def test_what_an_older_network_left_does_not_stand_beside_a_new_record(
    run, tmp_path, monkeypatch
) -> None:
    folder = keep_run(run.folder, tmp_path / "results", beside=False)
    at_start = Path(str(folder).replace("/mscf/", "/mscf+untrained/"))
    at_start.mkdir(parents=True)
    older = [
        folder / "attribution.npz",
        folder / "lesion_attention.csv",
        at_start / "lesion_attention.csv",
    ]
    for path in older:
        path.write_bytes(b"of the older one")
    monkeypatch.setattr(results_module, "looked_at_again", stopped)
    with pytest.raises(KeyboardInterrupt):
        keep_run(run.folder, tmp_path / "results", beside=False)
    assert not any(path.exists() for path in older)
    assert not (folder / "run.json").exists()  # where it is, all is


def test_an_older_untrained_network_does_not_stay_beside_a_run_kept_alone(
    run, tmp_path
) -> None:
    """The threshold stays: it may be that of another method's run of fold and seed."""
    results = tmp_path / "results"
    place = results / "tiny/patient"
    keep_run(run.folder, results)
    keep_run(run.folder, results, label="long")
    for other in ("fold-0/seed-1", "fold-1/seed-0"):
        for method in ("mscf+untrained", "hu_threshold"):
            shutil.copytree(place / method / "fold-0/seed-0", place / method / other)
    shutil.copytree(place / "mscf+untrained", place / "unet+untrained")
    before = {*results.rglob("per_slice.csv")}
    keep_run(run.folder, results, beside=False)
    own = place / "mscf+untrained/fold-0/seed-0/per_slice.csv"
    assert before - {*results.rglob("per_slice.csv")} == {own}
    with pytest.raises(InputError, match=r"mscf\+untrained.*No such file"):
        read_results(place, "mscf")


def stopped(*_) -> None:
    raise KeyboardInterrupt


def test_what_was_not_kept_is_named(run, tmp_path) -> None:
    keep_run(run.folder, tmp_path / "results", beside=False)
    place = tmp_path / "results/tiny/patient"
    with pytest.raises(InputError, match=r"must have kept none\.csv"):
        read_beside(place, "mscf", "none")
    (place / "mscf/fold-0/seed-0/per_case.csv").write_bytes(b"")
    with pytest.raises(InputError, match=r"per_case\.csv: must be a table"):
        read_beside(place, "mscf", "per_case")


def test_names_that_look_like_numbers_or_none_stay_names(tmp_path) -> None:
    folder = tmp_path / "mscf/fold-0/seed-0"
    folder.mkdir(parents=True)
    (folder / "per_case.csv").write_text(
        "case,patient,tp,rvd\nNA,NA,1,\n1,01,2,0.5\n01,1,3,0.25\n'=1,'=1,4,0.75\n"
    )
    table = read_beside(tmp_path, "mscf", "per_case")
    assert table["case"].tolist() == ["NA", "1", "01", "=1"]
    assert table["patient"].tolist() == ["NA", "01", "1", "=1"]
    assert table["tp"].tolist() == [1, 2, 3, 4]
    assert table["rvd"].isna().tolist() == [True, False, False, False]


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
    attended = {path.parts[-4] for path in tmp_path.rglob("lesion_attention.csv")}
    assert attended == {"mscf", "mscf+untrained"}
    assert (folder / "attention.npz").is_file()
    with np.load(folder / "examples.npz") as kept:
        rows, n = kept["row"], len(kept["row"])
        assert np.array_equal(kept["hu"], store.images[rows])
        assert np.array_equal(kept["truth"], store.masks[rows] == 2)
        assert kept["probability"].shape == (n, 192, 192)
        assert np.array_equal(kept["liver"], store.masks[rows] == 1)
        assert kept["before0"].shape == kept["after0"].shape == (n, 6, 24, 24)
        # Before training alpha and beta are 0, and after two steps nearly: 2 X.
        assert kept["times0"] == 2
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


ROWS_OF_OTHERS = {
    "fewer": lambda rows: rows[1:],
    "none": lambda rows: rows[:0],
    "other cases": lambda rows: rows.assign(case="a", slice=range(len(rows))),
    "more": lambda rows: pd.concat([rows, rows[:1].assign(slice=99)]),
    "another's": lambda rows: rows.assign(method="cenet"),
    "another fold": lambda rows: rows.assign(fold=1),
    "another seed": lambda rows: rows.assign(seed=1),
    "another split": lambda rows: rows.assign(split="slice"),
}


@pytest.mark.parametrize("change", ROWS_OF_OTHERS.values(), ids=ROWS_OF_OTHERS)
def test_rows_that_are_not_of_the_runs_test_slices_are_not_kept(
    change, run, tmp_path
) -> None:
    """`mscf evaluate --out RUN` leaves such."""
    path = run.folder / "per_slice.csv"
    write_rows(change(read_rows(path)), path)
    with pytest.raises(CheckpointError, match=r"per_slice\.csv: .*\[runs-rows\]"):
        keep_run(run.folder, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_no_voxel_of_a_person_is_in_the_repository() -> None:
    """Examples hold voxels, so they may be of phantoms only."""
    for path in (ROOT / "results").rglob("*.npz"):
        assert path.relative_to(ROOT / "results").parts[0].startswith("phantoms")
    allowed = {".csv", ".json", ".npz"}
    files = [p for p in (ROOT / "results").rglob("*") if p.is_file()]
    assert {p.suffix for p in files} <= allowed


def test_the_dice_in_a_kept_record_is_the_mean_of_its_slices() -> None:
    """Older records have none."""
    records = {
        p: json.loads(p.read_text()) for p in (ROOT / "results").rglob("run.json")
    }
    told = {path.parent: one["dice"] for path, one in records.items() if "dice" in one}
    assert len(told) > 1
    for folder, dice in told.items():
        rows = pd.read_csv(folder / "per_slice.csv")
        assert dice == pytest.approx(rows["dice"].mean(), abs=1e-9), folder


def test_results_name_no_place_of_the_machine_that_made_them() -> None:
    for path in (ROOT / "results").rglob("run.json"):
        settings = json.loads(path.read_text())["settings"]
        assert "/" not in settings["data"] + settings["out"]
