"""The page of what counts as reproduced: what it says of its own order, from git."""

import json
import subprocess
from datetime import datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = " ".join((ROOT / "book/reproduced.md").read_text(encoding="utf-8").split())
SHORT, RESULTS, POWER, LONG = "4c762a9", "fe7cfc9", "308c5b9", "4800aaf"


def git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture(scope="module")
def day() -> dict[str, datetime]:
    """When each of the four commits was made."""
    made = {one: git("log", "-1", "--format=%cI", one) for one in
            (SHORT, RESULTS, POWER, LONG)}  # fmt: skip
    if not all(made.values()):
        pytest.skip("the history is not here")
    return {one: datetime.fromisoformat(when) for one, when in made.items()}


def first_twenty() -> list[dict]:
    folder = ROOT / "results/excerpt-448/patient"
    runs = [json.loads(file.read_text("utf-8")) for file in folder.rglob("run.json")]
    return sorted(runs, key=lambda run: run["started"])[:20]


def test_the_longer_text_came_after_the_first_twenty_results(day) -> None:
    added = git("show", "--name-only", "--format=", RESULTS).splitlines()
    assert sum(name.endswith("run.json") for name in added) == len(first_twenty())
    assert day[SHORT] < day[RESULTS] < day[POWER] <= day[LONG]
    hour = timedelta(hours=1)
    assert abs(day[LONG] - day[RESULTS] - hour) < timedelta(minutes=5)
    assert abs(day[LONG] - day[SHORT] - hour) < timedelta(minutes=20)
    ended = max(datetime.fromisoformat(run["updated"]) for run in first_twenty())
    assert ended < day[RESULTS]
    assert "**but an hour after the first twenty results were there**" in PAGE


def test_the_short_form_stood_before_the_first_training(day) -> None:
    started = datetime.fromisoformat(first_twenty()[0]["started"])
    assert started - day[SHORT] == pytest.approx(
        timedelta(minutes=6), abs=timedelta(seconds=40)
    )
    assert "six minutes before the first of these trainings began" in PAGE


def test_the_message_that_is_not_so_is_named(day) -> None:
    said = "set down before the first run at 448"
    assert said in git("log", "-1", "--format=%s", LONG)
    assert f'commit {LONG} says "{said}"' in PAGE
