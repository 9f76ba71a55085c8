"""Tests that stand for a sentence of the book: what was tried, and whether it held.

A test marked ``claim(section, sentence)`` is part of a row of the page "Reliability";
tests with the same sentence make one row. ``record_property("tried", n)`` says how many
tries are in a test (without it: one), ``record_property("shown", text)`` what was
measured. ``pytest --claims=FOLDER`` writes what the page reads: a CSV a section
in it, and beside it ``FOLDER.json`` with machine and versions; `make reliability` does.
"""

import csv
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

SECTIONS = (
    "input", "downloads", "checkpoints", "resume", "stopping", "numbers", "processes",
    "machine", "notebook", "security",
)  # fmt: skip
COLUMNS = ("what was done", "tried", "held", "seconds", "measured")


def pytest_addoption(parser) -> None:
    parser.addoption(
        "--claims", type=Path, help="folder for what the claims' tests showed"
    )


def pytest_collection_modifyitems(items) -> None:
    for place, item in enumerate(items):
        for mark in item.iter_markers("claim"):
            section, sentence = mark.args
            assert section in SECTIONS, f"{item.nodeid}: no section {section!r}"
            sentence = sentence[0].upper() + sentence[1:]
            item.user_properties.append(("claim", (section, sentence, place)))


def pytest_configure(config) -> None:
    if config.option.claims and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Claims(config.option.claims))


class Claims:
    """Gathers the reports of a session, of all its workers, into rows."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows: dict[tuple[str, str], dict] = {}

    def pytest_runtest_logreport(self, report) -> None:
        if report.when != "call" and report.outcome == "passed":
            return  # setup and teardown
        found = [value for name, value in report.user_properties if name == "claim"]
        for section, sentence, place in found:
            row = self.rows.setdefault((section, sentence), new_row(section, sentence))
            said = dict(report.user_properties)
            row["place"] = min(row["place"], place)
            row["tests"][report.outcome] += 1
            row["tried"] += int(said.get("tried", 1)) * (report.outcome == "passed")
            row["seconds"] += report.duration
            row["files"].add(report.nodeid.partition("::")[0])
            if "shown" in said:
                row["shown"].add(said["shown"])

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return  # interrupted: half of the rows would look like all of them
        import torch

        from mscf.training.run_folder import commit, machine, versions

        device = "cuda" if torch.cuda.is_available() else "cpu"
        rows = sorted(self.rows.values(), key=lambda row: row["place"])
        rows = [plain(row) for row in rows]
        record = {
            "made": datetime.now(UTC).date().isoformat(),
            "commit": commit(),
            "machine": machine(torch.device(device)),
            "versions": versions(),
            "claims": {s: [r for r in rows if r["section"] == s] for s in SECTIONS},
        }
        text = json.dumps(record, indent=1) + "\n"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.with_suffix(".json").write_text(text, encoding="utf-8")
        for section, claims in record["claims"].items():
            with (self.folder / f"{section}.csv").open("w", encoding="utf-8") as file:
                table = csv.writer(file, lineterminator="\n")
                table.writerow(COLUMNS)
                table.writerows(line(row) for row in claims)


def new_row(section: str, sentence: str) -> dict:
    return {
        "section": section, "claim": sentence, "tests": Counter(), "tried": 0,
        "seconds": 0.0, "shown": set(), "files": set(), "place": float("inf"),
    }  # fmt: skip


def plain(row: dict) -> dict:
    """A row for JSON; a test that was skipped holds nothing."""
    tests = row["tests"]
    del row["place"]
    return row | {
        "tests": dict(sorted(tests.items())),
        "held": "no" if tests["failed"] else "yes" if tests["passed"] else "not run",
        "seconds": round(row["seconds"], 1),
        "shown": sorted(row["shown"]),
        "files": sorted(row["files"]),
    }


def line(row: dict) -> tuple:
    """A row for the page, with the first of what was shown."""
    shown = "; ".join(row["shown"][:4])
    if len(row["shown"]) > 4:
        shown += f"; {len(row['shown']) - 4} more in reliability.json"
    return row["claim"], row["tried"], row["held"], round(row["seconds"]), shown


@pytest.fixture
def shows(record_property):
    """Says what a test of a claim measured: ``shows(tried=50, shown="12.3 s")``."""

    def say(tried: int | None = None, shown: str = "") -> None:
        if tried is not None:
            record_property("tried", tried)
        if shown:
            record_property("shown", shown)

    return say
