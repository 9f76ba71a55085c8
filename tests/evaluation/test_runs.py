"""Runs read together: what is refused, and what is said."""

import json
import shutil

import pandas as pd
import pytest
from kept_runs import keep, measured

from mscf.errors import InputError
from mscf.evaluation.runs import read_runs

TEN = ["unet", "cenet", "mscf"]


@pytest.fixture
def place(tmp_path):
    return tmp_path / "results/phantoms-24/patient"


def said(runs) -> dict[str, str]:
    return {statement.check: str(statement) for statement in runs.statements}


def test_all_runs_are_read_and_who_is_missing_is_named(place) -> None:
    keep(place, "mscf", measured(0.9))
    keep(place, "unet", measured(0.5, seed=1))
    keep(place, "hu_threshold", measured(0.3), trained=False)
    (place / "cenet/fold-0/seed-0").mkdir(parents=True)  # a grid at work makes it
    runs = read_runs(place, TEN, beside=["hu_threshold", "mscf+untrained"])
    assert runs.methods == ["unet", "mscf"]
    assert runs.missing == ("cenet",)
    assert set(runs.beside["method"]) == {"hu_threshold"}
    assert (runs.size, runs.patients, len(runs.rows)) == (24, 8, 80)
    assert set(runs.records) == {("unet", 0, 0), ("mscf", 0, 0)}
    assert set(said(runs)) == {"few-patients"}


def test_patients_are_too_few_by_the_weight_of_their_slices(place) -> None:
    """22 with equally many slices are enough; 22 of whom one has most are not."""
    rows = measured(patients=22, slices=2)
    keep(place, "mscf", rows)
    assert not said(read_runs(place, ["mscf"]))
    of_one = rows[rows["patient"] == "p0"]
    more = [of_one.assign(slice=of_one["slice"] + 100 * n) for n in range(1, 9)]
    keep(place, "unet", pd.concat([rows, *more]))
    few = said(read_runs(place, ["unet"]))["few-patients"]
    assert "found: 22 that weigh as 8.82" in few


def test_no_run_at_all_is_refused(place) -> None:
    with pytest.raises(InputError, match=r"unet, cenet, mscf.*\[runs-none\]"):
        read_runs(place, TEN)


@pytest.mark.parametrize(
    "gone", ["per_slice.csv", "rows", "run.json", "record", "line", "status"]
)
def test_a_half_written_run_is_refused(gone, place) -> None:
    folder = keep(place, "mscf", measured())
    table, run = folder / "per_slice.csv", folder / "run.json"
    text = table.read_text()
    if gone == "per_slice.csv":
        table.unlink()
    elif gone == "rows":  # whole lines, but not all of them
        table.write_text("".join(text.splitlines(keepends=True)[:-3]))
    elif gone == "line":
        table.write_text(text[:-20])
    elif gone == "run.json":
        run.unlink()
    elif gone == "record":
        run.write_text(run.read_text()[:-30])
    else:
        run.write_text(run.read_text().replace("finished", "training"))
    with pytest.raises(InputError, match=r"\[(run-half|rows-cut)\]"):
        read_runs(place, TEN)


def test_a_folder_that_was_renamed_is_refused(place) -> None:
    """Two methods swapped in the table would be noticed."""
    keep(place, "mscf", measured())
    keep(place, "unet", measured(0.5))
    (place / "mscf").rename(place / "other")
    (place / "unet").rename(place / "mscf")
    (place / "other").rename(place / "unet")
    with pytest.raises(InputError, match=r"unet/.*mscf/fold-0/seed-0.*\[run-place\]"):
        read_runs(place, TEN)


def test_a_record_of_another_run_beside_the_rows_is_refused(place) -> None:
    one, other = keep(place, "mscf", measured()), keep(place, "unet", measured(0.5))
    shutil.copy(other / "run.json", one / "run.json")
    with pytest.raises(InputError, match=r"unet/fold-0/seed-0.*\[run-place\]"):
        read_runs(place, TEN)


def test_a_seed_that_is_there_twice_is_refused(place) -> None:
    folder = keep(place, "mscf", measured())
    shutil.copytree(folder, folder.with_name("seed-00"))
    with pytest.raises(InputError, match=r"\[runs-duplicate\]"):
        read_runs(place, TEN)


def test_a_seed_copied_under_another_number_is_refused(place) -> None:
    folder = keep(place, "mscf", measured())
    shutil.copytree(folder, folder.with_name("seed-1"))
    with pytest.raises(InputError, match=r"seed-1.*\[run-place\]"):
        read_runs(place, TEN)
    shutil.rmtree(folder.with_name("seed-1"))
    keep(place, "mscf", measured(), seed=1)  # renumbered inside as well
    with pytest.raises(
        InputError, match=r"the same masks as seed-0.*\[runs-duplicate\]"
    ):
        read_runs(place, TEN)


def test_slices_that_not_all_methods_have_are_refused(place) -> None:
    keep(place, "mscf", measured())
    rows = measured(0.5)
    rows.loc[3, "slice"] = 99
    keep(place, "unet", rows)
    with pytest.raises(InputError, match=r"1 that it lacks.*c3 99.*\[runs-slices\]"):
        read_runs(place, ["mscf", "unet"])


def test_a_slice_that_one_method_lacks_is_refused(place) -> None:
    keep(place, "mscf", measured())
    keep(place, "unet", measured(0.5).drop(index=5))
    with pytest.raises(InputError, match=r"p5 c5 5.*\[runs-slices\]"):
        read_runs(place, TEN)


def test_another_truth_is_refused(place) -> None:
    keep(place, "mscf", measured())
    rows = measured(0.5)
    rows.loc[3, ["truth_px", "fn"]] += 1
    keep(place, "unet", rows)
    with pytest.raises(InputError, match=r"37.*36.*tumour pixels.*\[runs-data\]"):
        read_runs(place, ["mscf", "unet"])


@pytest.mark.parametrize(
    ("settings", "change", "check"),
    [
        ({"size": 32}, {}, "runs-size"),
        ({}, {"data": "lits-24"}, "runs-data"),
        ({}, {"split": "slice"}, "runs-data"),
    ],
)
def test_other_data_or_sizes_do_not_share_a_table(
    settings, change, check, place
) -> None:
    keep(place, "mscf", measured())
    folder = keep(place, "unet", measured(0.5, **settings))
    rows = pd.read_csv(folder / "per_slice.csv").assign(**change)
    rows.to_csv(folder / "per_slice.csv", index=False)
    with pytest.raises(InputError, match=rf"patient/unet/.*\[{check}\]"):
        read_runs(place, TEN)


def test_a_number_in_the_name_of_the_data_is_no_size(tmp_path) -> None:
    keep(tmp_path / "hospital-2024/patient", "cenet", measured())
    assert read_runs(tmp_path / "hospital-2024/patient", ["cenet"]).size == 24


def test_runs_of_two_stores_do_not_share_a_table(place) -> None:
    keep(place, "mscf", measured())
    folder = keep(place, "unet", measured(0.5))
    other = json.loads((folder / "run.json").read_text()) | {"store": {"checksum": "b"}}
    (folder / "run.json").write_text(json.dumps(other))
    with pytest.raises(InputError, match=r"mscf/0/0.*\[runs-data\]"):
        read_runs(place, TEN)


def test_only_empty_masks_are_said(place) -> None:
    keep(place, "mscf", measured())
    keep(place, "unet", measured(empty=True))
    keep(place, "unet", measured(empty=True), seed=1)  # equal, and no copy
    empty = [s for s in read_runs(place, TEN).statements if s.check == "only-empty"]
    assert [s.file for s in empty] == ["unet/fold-0/seed-0", "unet/fold-0/seed-1"]
    assert empty[0].found == "all 40 masks empty"


def test_one_patient_in_all_is_said(place) -> None:
    keep(place, "mscf", measured(patients=1))
    assert "two patients (found: 1)" in said(read_runs(place, TEN))["one-patient"]


def test_runs_that_only_some_methods_have_are_said_and_not_mixed_in(place) -> None:
    keep(place, "mscf", measured())
    keep(place, "mscf", measured(seed=5), seed=1)
    keep(place, "unet", measured(0.5))
    keep(place, "hu_threshold", measured(0.3), trained=False)
    runs = read_runs(place, TEN, beside=["hu_threshold"])
    assert set(runs.shared()["seed"]) == {0}
    assert len(runs.shared()) == 80
    assert "besides fold-0/seed-1" in said(runs)["runs-shared"]


def test_methods_with_the_same_runs_beyond_the_shared_are_said_together(place) -> None:
    for method, shift in (("mscf", 0.5), ("cenet", 0.4)):
        keep(place, method, measured(shift))
        keep(place, method, measured(shift, seed=5), seed=1)
    keep(place, "unet", measured(0.3))
    told = [s for s in read_runs(place, TEN).statements if s.check == "runs-shared"]
    assert [s.file for s in told] == [f"{place.name}/cenet, mscf"]


def test_methods_without_a_common_run_are_refused(place) -> None:
    keep(place, "mscf", measured())
    keep(place, "unet", measured(0.5), seed=1)
    with pytest.raises(InputError, match=r"\[runs-shared\]"):
        read_runs(place, TEN)


def test_another_recipe_is_said(place) -> None:
    keep(place, "mscf", measured(), epochs=33)
    keep(place, "unet", measured(0.5))
    assert "33: mscf" in said(read_runs(place, TEN))["recipe"]


@pytest.mark.parametrize(
    ("had", "said_so"), [("none to load", False), ("loaded", True)]
)
def test_a_start_from_other_weights_is_said_and_two_random_ones_are_not(
    had, said_so, place
) -> None:
    keep(place, "mscf", measured())
    folder = keep(place, "unet", measured(0.5))
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace("not loaded", had))
    assert ("recipe" in said(read_runs(place, TEN))) == said_so


def test_a_run_kept_under_a_longer_name_stands_beside(place) -> None:
    keep(place, "mscf", measured())
    folder = keep(place, "mscf+long", measured(0.9, seed=3), epochs=33)
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace("mscf+long", "mscf"))
    runs = read_runs(place, TEN, beside=["mscf+long"])
    assert set(runs.beside["method"]) == {"mscf+long"}
    assert set(said(runs)) == {"few-patients"}  # its recipe is its own
