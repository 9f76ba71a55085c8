"""Numbers on pages, read from the files of ``results/`` while the book is built."""

from __future__ import annotations

import csv
import json
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import download_reference
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

logger = logging.getLogger(__name__)


class ResultRole(SphinxRole):
    """``{res}`FILE:KEY|FORMAT``` writes one value of a file under ``results/``.

    KEY is dotted (a number counts in a list) of JSON, and ``COLUMN=VALUE,...:COLUMN``
    of a table (CSV), which names one row and what to write of it. FORMAT is Python's,
    such as ``.2f`` or ``.1%``, and may be left out. An unknown file or key is a
    warning, which ends the build. Who points at the number reads file and key.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The value as a link that downloads its file."""
        place, _, form = self.text.partition("|")
        file, _, key = place.partition(":")
        try:
            find = find_cell if file.endswith(".csv") else find_value
            value = find(Path(self.env.srcdir, "results", file), key)
            text = format(value, form)
        except (OSError, LookupError, TypeError, ValueError) as error:
            reason = error.args[-1] if isinstance(error, LookupError) else error
            logger.warning(
                "{res}`%s`: %s", self.text, reason, location=self.get_location()
            )
            return [nodes.problematic(self.rawtext, self.rawtext)], []
        link = download_reference(
            self.rawtext, text, reftarget=f"/results/{file}", refdoc=self.env.docname
        )
        link["classes"].append("res")  # to look like a number, not like a download
        # Sphinx writes no title of a link to a file; that of what is around it shows.
        start = f'<span title="{escape(tooltip(file, key))}">'
        before, after = (
            nodes.raw("", tag, format="html") for tag in (start, "</span>")
        )
        return [before, link, after], []


def tooltip(file: str, key: str) -> str:
    """Where a value stands, in words: the whole file is what its link opens."""
    row, _, column = key.rpartition(":")
    where = f"column {column} of the row {row}" if file.endswith(".csv") else key
    return f"results/{file}: {where}"


def find_cell(file: Path, key: str) -> float | str:
    """The cell of a table in the one row that ``COLUMN=VALUE,...:COLUMN`` names.

    Raises:
        LookupError: no such column, no such row, or more than one.
    """
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    conditions, _, column = key.rpartition(":")
    wanted = dict(condition.split("=", 1) for condition in conditions.split(","))
    there = list(rows[0]) if rows else []
    if unknown := {*wanted, column} - set(there):
        raise LookupError(f"no column {min(unknown)!r}; there is {there}")
    found = [row for row in rows if all(row[k] == v for k, v in wanted.items())]
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows with {conditions!r}, one is wanted")
    text = found[0][column]
    try:
        return float(text)
    except ValueError:
        return text


def find_value(file: Path, key: str) -> float | str:
    """The value under a dotted key of a JSON file.

    Raises:
        LookupError: there is no such key.
        TypeError: what stands there is no number and no text.
    """
    value = json.loads(file.read_text(encoding="utf-8"))
    for part in key.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (LookupError, TypeError, ValueError):
            there = list(value) if isinstance(value, dict) else type(value).__name__
            raise LookupError(f"no {part!r} of {key!r}; there is {there}") from None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{key!r} must be a number or a text, found {value!r}")
    return value
