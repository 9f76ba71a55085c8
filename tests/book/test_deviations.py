"""The page of deviations: every open point once, each with what changing it does."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from result_role import find_cell, find_value

from mscf.evaluation.differences import against_baselines
from mscf.evaluation.runs import read_runs
from mscf.evaluation.spread import single_gains
from mscf.models import VARIANTS

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "results"
PAGE = (ROOT / "book/deviations.md").read_text(encoding="utf-8")
POINTS = dict(re.findall(r"^### (.+)\n((?:(?!#|\(point-).*\n)*)", PAGE, flags=re.M))
READINGS = [f"mscf+{name}" for name in VARIANTS if name not in ("spatial", "channel")]
LAST_POINT = 28  # of the project's list


def test_every_numbered_point_stands_on_the_page_once_under_its_label() -> None:
    numbered = re.findall(r"^### (\d+), ", PAGE, flags=re.M)
    labelled = re.findall(r"^\(point-(\d+)\)=\n### (\d+), ", PAGE, flags=re.M)
    assert sorted(map(int, numbered)) == list(range(1, LAST_POINT + 1))
    assert labelled == [(number, number) for number in numbered]


def test_the_points_that_the_code_names_are_those_of_the_page() -> None:
    named = set()
    for file in (ROOT / "mscf").rglob("*.py"):
        text = re.sub(r"[\s#]+", " ", file.read_text(encoding="utf-8"))
        for numbers in re.findall(r"open points? ([\d, toand]+)", text):
            named |= {int(number) for number in re.findall(r"\d+", numbers)}
    assert named == set(range(1, LAST_POINT + 1))


def test_the_page_has_the_points_that_are_tested_below() -> None:
    assert len(POINTS) > 20


@pytest.mark.parametrize("heading", POINTS)
def test_a_point_has_paper_here_why_and_what_else(heading) -> None:
    parts = re.split(r"^:([\w ]+): ", POINTS[heading], flags=re.M)
    assert parts[1::2] == ["Paper", "Here", "Why", "If not"]
    assert all(part.strip() for part in parts[2::2])
    assert re.search(r"\{res}`|\b[Nn]ot\s+run\b", parts[-1])


@pytest.mark.parametrize("place", sorted(set(re.findall(r"\{res}`([^`]+)`", PAGE))))
def test_every_number_is_there(place) -> None:
    place, _, form = place.partition("|")
    file, _, key = place.partition(":")
    find = find_cell if file.endswith(".csv") else find_value
    assert format(find(RESULTS / file, key), form)


@pytest.mark.parametrize("key", READINGS)
def test_every_reading_that_can_be_trained_is_named(key) -> None:
    assert re.search(rf"`(mscf\+)?{key[5:]}`|`{re.escape(key)}`|`-{key[-3:]}`", PAGE)


def gains(baselines: list[str]) -> pd.DataFrame:
    """Ours minus each, by seed, from the means that are kept."""
    rows = pd.read_csv(RESULTS / "phantoms-192/patient/summary.csv")
    rows = rows.dropna(subset="seed").assign(fold=0)
    return single_gains(rows, "mscf", baselines)


def test_of_most_readings_the_sign_changes_from_seed_to_seed() -> None:
    readings = gains(READINGS)
    assert (readings["baseline"].value_counts()[READINGS] == 3).all()
    of_each = readings.groupby("baseline")["difference"]
    assert (of_each.min() * of_each.max() < 0).mean() > 0.5


@pytest.mark.check
def test_no_reading_can_be_told_from_ours_after_holm_s_correction() -> None:
    """Over all that the page of the ablation compares, on all seeds, as there."""
    others = ["cenet", "self_attention", "mscf+spatial", "mscf+channel", *READINGS]
    runs = read_runs(RESULTS / "phantoms-192/patient", ["mscf", *others])
    tests = against_baselines(runs.shared(), "mscf", others)
    tests = tests[tests["metric"] == "dice"].set_index("baseline")
    assert runs.missing == ()
    assert (tests.loc[READINGS, "p_holm"] > 0.05).all()


def test_no_reading_moves_dice_as_far_as_more_epochs() -> None:
    kept = RESULTS / "phantoms-192/patient"
    long, ours = (
        pd.read_csv(kept / key / "fold-0/seed-0/per_slice.csv")["dice"].mean()
        for key in ("mscf+long", "mscf")
    )
    assert gains(READINGS)["difference"].abs().max() < long - ours


def test_the_trainings_of_the_excerpt_had_as_many_steps() -> None:
    files = (RESULTS / "excerpt-448").glob("*/*/*/*/run.json")
    runs = [json.loads(file.read_text("utf-8")) for file in files]
    assert {run["settings"]["batch_size"] for run in runs} == {8}
    assert {run["settings"]["accumulate"] for run in runs} == {1}
    steps = [run["epochs_done"] * -(-run["slices"]["training"] // 8) for run in runs]
    assert (min(steps), max(steps)) == (875, 975)
    assert f"{min(steps)} to {max(steps)} steps of eight slices" in PAGE
    assert "a first plan of 36 epochs" in " ".join(PAGE.split())
    provenance = (ROOT / "notebooks/provenance.ipynb").read_text("utf-8")
    assert "still said 36 epochs when its first twenty trainings" in provenance


def test_the_four_slices_that_lose_their_tumour_are_those_that_are_named() -> None:
    """Tested at 448 and not at 224, on five folds each."""
    tested = [
        {
            (row.case, row.slice)
            for file in (RESULTS / place).glob("fold-?/seed-0/per_slice.csv")
            for row in pd.read_csv(file, usecols=["case", "slice"]).itertuples()
        }
        for place in ("excerpt-448/patient/mscf",
                      "lits_excerpt-224/slice/mscf+19-epochs")
    ]  # fmt: skip
    assert tested[1] < tested[0]
    assert len(tested[0]) == find_cell(  # every slice with tumour that there is
        RESULTS / "excerpt-448/patient/summary.csv", "method=mscf,seed=:slices"
    )
    words = re.search(r"four at\s+224 \(([^)]+)\)", PAGE)[1]
    named = {
        (case, int(number))
        for numbers, case in re.findall(r"slices? ([\d and]+) in\s+`(\w+)`", words)
        for number in numbers.split(" and ")
    }
    assert named == tested[0] - tested[1]
    assert len(named) == 4


def histories() -> list[pd.DataFrame]:
    """Of every kept training, epoch by epoch."""
    tables = [pd.read_csv(file) for file in RESULTS.rglob("history.csv")]
    assert len(tables) > 50
    return tables


def test_the_rate_fell_in_trainings_on_two_and_on_four_patients_alone() -> None:
    fell = {
        file.relative_to(RESULTS).parts[2]
        for file in RESULTS.rglob("history.csv")
        if pd.read_csv(file)["learning_rate"].nunique() > 1
    }
    assert fell == {"mscf+2-patients", "mscf+4-patients"}


def test_of_all_trainings_of_two_epochs_the_last_is_the_best() -> None:
    last = [table["loss"].idxmin() for table in histories() if len(table) == 2]
    assert set(last) == {1}


def test_no_kept_training_had_imagenet_weights() -> None:
    runs = [json.loads(file.read_text("utf-8")) for file in RESULTS.rglob("run.json")]
    assert len(runs) > 50
    assert {run["pretrained"] for run in runs} <= {"not loaded", "none to load"}
