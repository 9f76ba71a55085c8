"""The tables of a split: the summary has all runs, only the comparison needs shared."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from kept_runs import keep, measured

from mscf.errors import InputError
from mscf.evaluation.runs import read_runs
from mscf.evaluation.statements import where_from
from mscf.kept.split_tables import write_grid_tables


@pytest.fixture
def place(tmp_path):
    return tmp_path / "results/phantoms-24/patient"


def methods_in(path) -> set[str]:
    return set(pd.read_csv(path)["method"])


def test_a_variant_of_another_fold_is_summed_up_and_hinders_no_comparison(
    place, capsys
) -> None:
    keep(place, "unet", measured(0.5))
    keep(place, "mscf", measured())
    keep(place, "mscf+gain", measured(0.6), fold=1, epochs=33)
    write_grid_tables(place)
    assert methods_in(place / "summary.csv") == {"unet", "mscf", "mscf+gain"}
    assert methods_in(place / "ranks.csv") == {"unet", "mscf"}
    assert set(pd.read_csv(place / "comparison.csv")["baseline"]) == {"unet"}
    said = capsys.readouterr().err
    assert "33: mscf+gain" in said  # the recipe is said of variants too
    assert "runs-shared" not in said


def test_of_the_ten_without_a_shared_run_there_is_a_summary_and_an_error(
    place,
) -> None:
    keep(place, "unet", measured(0.5), fold=1)
    keep(place, "mscf", measured())
    with pytest.raises(InputError, match=r"\[runs-shared\]"):
        write_grid_tables(place)
    assert methods_in(place / "summary.csv") == {"unet", "mscf"}
    assert not (place / "comparison.csv").exists()


def test_without_ours_nothing_is_compared_and_no_run_need_be_shared(place) -> None:
    keep(place, "unet", measured(0.5), fold=1)
    keep(place, "cenet", measured())
    write_grid_tables(place)
    assert methods_in(place / "summary.csv") == {"unet", "cenet"}
    assert not (place / "comparison.csv").exists()


@pytest.mark.parametrize("given", [".", "../patient", "mscf/.."])
def test_a_place_may_be_given_from_within(given, place, monkeypatch, capsys) -> None:
    keep(place, "unet", measured(0.5, patients=1))
    keep(place, "mscf", measured(patients=1))
    monkeypatch.chdir(place)
    write_grid_tables(Path(given))
    assert methods_in(place / "ranks.csv") == {"unet", "mscf"}
    assert "warning: patient: an interval" in capsys.readouterr().err


def test_a_link_with_the_name_of_the_data_is_their_place(place, tmp_path) -> None:
    keep(place, "unet", measured(0.5))
    place.parent.rename(tmp_path / "elsewhere")
    place.parent.symlink_to(tmp_path / "elsewhere")
    write_grid_tables(place)
    assert methods_in(place / "summary.csv") == {"unet"}


def test_a_place_may_be_given_by_its_last_name_alone(place, monkeypatch) -> None:
    keep(place, "unet", measured(0.5))
    monkeypatch.chdir(place.parent)
    write_grid_tables(Path("patient"))
    assert methods_in(place / "summary.csv") == {"unet"}
    assert "**phantoms-24**, split by patient" in where_from(
        read_runs(Path("patient"), ["unet"]), {}
    )


@pytest.mark.parametrize("gone", ["unet", "mscf"])
def test_an_older_comparison_does_not_stay_beside_a_new_summary(gone, place) -> None:
    older = [place / "comparison.csv", place / "ranks.csv"]
    keep(place, "unet", measured(0.5))
    keep(place, "mscf", measured())
    write_grid_tables(place)
    assert all(path.exists() for path in older)
    shutil.rmtree(place / gone)
    write_grid_tables(place)
    assert gone not in methods_in(place / "summary.csv")
    assert not any(path.exists() for path in older)


def test_nor_where_no_run_is_shared_any_more(place) -> None:
    keep(place, "unet", measured(0.5))
    keep(place, "mscf", measured())
    write_grid_tables(place)
    shutil.rmtree(place / "unet")
    keep(place, "unet", measured(0.5), fold=1)
    with pytest.raises(InputError, match=r"\[runs-shared\]"):
        write_grid_tables(place)
    assert [path.name for path in place.glob("*.csv")] == ["summary.csv"]


def test_runs_left_out_of_the_comparison_are_said_once(place, capsys) -> None:
    keep(place, "unet", measured(0.5, patients=1))
    keep(place, "mscf", measured(patients=1))
    keep(place, "mscf", measured(seed=5, patients=1), seed=1)
    write_grid_tables(place)
    said = capsys.readouterr().err
    assert "besides fold-0/seed-1" in said
    assert said.count("an interval or a test needs two patients") == 1
