"""Tests that stand for a sentence of the book: what was tried, and whether it held.

A test marked ``claim(section, sentence)`` is part of a row of the page "Reliability";
tests with the same sentence make one row. ``record_property("tried", n)`` says how many
tries are in a test (without it: one), ``record_property("shown", text)`` what was
measured. ``pytest --claims FILE`` writes the rows; `make reliability` does so.
"""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

SECTIONS = ("checkpoints", "resume", "stopping", "numbers", "processes", "machine",
            "notebook", "security")  # fmt: skip


def pytest_addoption(parser) -> None:
    parser.addoption("--claims", type=Path, help="write what the claims' tests showed")


def pytest_collection_modifyitems(items) -> None:
    for item in items:
        for mark in item.iter_markers("claim"):
            section, sentence = mark.args
            assert section in SECTIONS, f"{item.nodeid}: no section {section!r}"
            item.user_properties.append(("claim", (section, sentence)))


def pytest_configure(config) -> None:
    if config.option.claims and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Claims(config.option.claims))


class Claims:
    """Gathers the reports of a session, of all its workers, into rows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[tuple[str, str], dict] = {}

    def pytest_runtest_logreport(self, report) -> None:
        if report.when != "call" and report.outcome == "passed":
            return  # setup and teardown
        found = [value for name, value in report.user_properties if name == "claim"]
        for section, sentence in found:
            row = self.rows.setdefault((section, sentence), new_row(section, sentence))
            said = dict(report.user_properties)
            row["tests"][report.outcome] += 1
            row["tried"] += int(said.get("tried", 1)) * (report.outcome == "passed")
            row["seconds"] += report.duration
            row["files"].add(report.nodeid.partition("::")[0])
            if "shown" in said:
                row["shown"].add(said["shown"])

    def pytest_sessionfinish(self) -> None:
        import torch

        from mscf.training.run_folder import commit, machine, versions

        device = "cuda" if torch.cuda.is_available() else "cpu"
        order = sorted(self.rows.values(), key=lambda r: SECTIONS.index(r["section"]))
        record = {
            "made": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": machine(torch.device(device)),
            "versions": versions(),
            "claims": [plain(row) for row in order],
        }
        self.path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def new_row(section: str, sentence: str) -> dict:
    return {
        "section": section, "claim": sentence, "tests": Counter(), "tried": 0,
        "seconds": 0.0, "shown": set(), "files": set(),
    }  # fmt: skip


def plain(row: dict) -> dict:
    """A row for JSON; ``held`` only where no test failed and one at least passed."""
    tests = row["tests"]
    return row | {
        "tests": dict(sorted(tests.items())),
        "held": tests["passed"] > 0 and tests["failed"] == 0,
        "seconds": round(row["seconds"], 1),
        "shown": sorted(row["shown"]),
        "files": sorted(row["files"]),
    }


@pytest.fixture
def shows(record_property):
    """Says what a test of a claim measured: ``shows(tried=50, shown="12.3 s")``."""

    def say(tried: int | None = None, shown: str = "") -> None:
        if tried is not None:
            record_property("tried", tried)
        if shown:
            record_property("shown", shown)

    return say
