"""A folder of cases looked through, before hours are spent on it.

Every case is read as ``prepare`` reads it, and each ends as sound, with warnings (what
was repaired, what is doubtful) or refused. Nothing is changed.
"""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pandas as pd
from nibabel.orientations import ornt2axcodes
from tqdm import tqdm

from mscf.data.cases import Case, find_cases, half_pair
from mscf.data.dicom import read_series
from mscf.data.digests import Digests
from mscf.data.inputs import find_scans
from mscf.data.processes import how_many, in_order
from mscf.data.scan import Scan
from mscf.data.spreadsheet import as_csv
from mscf.data.volume import TUMOUR, Volume, read_volume
from mscf.data.whole_case import read_case
from mscf.errors import (
    Finding,
    InputError,
    SeveralInputsError,
    printable,
    raise_all,
    warn,
)
from mscf.replacing import write_text

SOUND, WARNING, REFUSED = "sound", "warning", "refused"
COLUMNS = (
    "case", "file", "check", "outcome", "found", "action", "seconds", "peak_mb",
)  # fmt: skip


@dataclass(frozen=True)
class Checked:
    """What came of one case; of the folder itself, where ``name`` is empty."""

    name: str
    file: str
    warnings: tuple[Finding, ...] = ()
    error: InputError | None = None
    facts: str = ""  # of a case that was read: shape, axes, size of a voxel
    tumour: bool = False
    sources: dict[str, str] = field(default_factory=dict)  # SHA-256 by path
    seconds: float = 0.0
    peak_mb: float = 0.0  # what it took in memory

    @property
    def outcome(self) -> str:
        """Refused, with warnings, or sound."""
        return REFUSED if self.error else WARNING if self.warnings else SOUND

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that was found."""
        return self.warnings + (self.error.findings if self.error else ())


def verify(
    source: Path,
    table: Path,
    images: bool = False,
    persons: bool = False,
    strict: bool = False,
    processes: int | None = None,
) -> list[Checked]:
    """Looks at every case in ``source``; says warnings as they come.

    ``table`` becomes the CSV of what was found, also of a part when it is interrupted.
    With ``images`` only they are looked at, those that ``predict`` takes. With
    ``persons`` cases that look like one patient are told, which takes longer the more
    there are, by their square. With ``strict`` a warning of a case is a refusal. One
    volume is in memory for each process.

    Raises:
        SettingsError: no such number of processes.
        StorageError: ``table`` cannot be written; seen before anything is read.
        MemoryLimitError: not enough for ``processes``.
    """
    processes = how_many(processes)
    write_table(table, [])
    results = []
    try:
        for checked in look_through(source, images, persons, strict, processes):
            for warning in checked.warnings:
                warn(warning)
            results.append(checked)
    finally:
        write_table(table, results)
    return results


def refusals(results: Iterable[Checked]) -> list[InputError]:
    """The errors of all that was refused, each of one file."""
    errors = [checked.error for checked in results if checked.error]
    return [
        one
        for error in errors
        for one in (error.errors if isinstance(error, SeveralInputsError) else [error])
    ]


def look_through(
    source: Path, images: bool, persons: bool, strict: bool, processes: int
) -> Iterator[Checked]:
    """What came of each case, in their order, and of the folder as a whole."""
    try:
        cases = find_scans(source) if images else find_cases(source, labels=False)
        digests = Digests.read(source if source.is_dir() else source.parent)
    except InputError as error:
        yield Checked("", str(source), error=error)
        return
    work = partial(check_case, images=images, strict=strict, digests=digests)
    found = in_order(work, cases, min(processes, len(cases)))
    sound, tumour = [], False
    progress = tqdm(found, "verify", len(cases), unit="case", disable=None)
    for case, checked in zip(cases, progress, strict=True):
        tumour |= checked.tumour
        if checked.outcome != REFUSED:
            sound.append(case)
        yield checked
    if not images and sound == cases and not tumour:
        must = "must have a tumour in some case"
        error = InputError(source, must, 0, "no-tumour", "label 2 is the tumour")
        yield Checked("", str(source), error=error)
    if persons:
        yield from same_persons(sound, source, strict)


def check_case(case: Case, images: bool, strict: bool, digests: Digests) -> Checked:
    """Reads one case; a refusal is a result like any other."""
    blank = Checked(case.name, str(case.image))
    began = time.perf_counter()
    with peak_memory() as megabytes:
        try:
            checked = read_images(case, blank) if images else read_both(case, blank)
            warnings = checked.warnings + digests.compare(checked.sources)
            if strict:
                raise_all(InputError(**vars(warning)) for warning in warnings)
            checked = replace(checked, warnings=warnings)
        except InputError as error:
            checked = replace(blank, error=error)
    cost = {"seconds": time.perf_counter() - began, "peak_mb": megabytes[0]}
    return replace(checked, **cost)


def read_both(case: Case, blank: Checked) -> Checked:
    """Image and labels."""
    if case.label is None:
        raise half_pair(case.image, "its labels")
    whole = read_case(case)
    return replace(
        blank,
        warnings=whole.repairs,
        facts=facts_of(whole.volume, whole.spacing_known),
        tumour=bool((whole.labels == TUMOUR).any()),
        sources=dict(
            zip(map(str, (case.image, case.label)), whole.sources, strict=True)
        ),
    )


def read_images(case: Case, blank: Checked) -> Checked:
    """An image alone, or a DICOM series."""
    if case.image.is_dir():  # a DICOM series
        with tempfile.TemporaryDirectory() as room:
            scan = read_series(case.image, Path(room))
            with scan.slices:
                facts = facts_of(scan, case.spacing_known and scan.spacing_known)
                found = case.repairs + scan.repairs
                return replace(blank, facts=facts, warnings=found)
    volume = read_volume(case.image)
    return replace(
        blank,
        warnings=case.repairs + volume.repairs,
        facts=facts_of(volume, case.spacing_known and volume.spacing_known),
        sources={str(case.image): volume.sha256},
    )


def facts_of(image: Volume | Scan, spacing_known: bool) -> str:
    """Shape, axes of the file and size of a voxel in words."""
    voxels = " x ".join(map(str, image.shape))
    codes = "".join(ornt2axcodes(image.orientation))
    mm = " x ".join(f"{side:.2f}" for side in image.spacing)
    return f"{voxels} voxels, {codes}, {mm if spacing_known else 'unknown'} mm"


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """The most MB that Python and NumPy held for the block, known at its end."""
    peak = [0.0]
    tracemalloc.start()
    try:
        yield peak
    finally:
        peak[0] = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()


def same_persons(cases: list[Case], source: Path, strict: bool) -> Iterator[Checked]:
    """The pairs of cases that look like one person and are not told to be.

    A warning each, with ``strict`` a refusal.
    """
    from mscf.data.persons import CHANCE, LEAST, look_alikes  # slow to import

    if len(cases) < LEAST:
        must = f"must have {LEAST} cases to tell a likeness from chance"
        found = Finding(str(source), must, str(len(cases)), "same-person", "not looked")
        yield Checked("", str(source), warnings=(found,))
        return
    for pair in look_alikes(cases).itertuples():
        if pair.called and not pair.told:
            image = next(str(case.image) for case in cases if case.name == pair.case)
            found = Finding(
                image, "must be of another person than the other cases",
                f"looks like {pair.other}: {pair.score:.2f}, by chance"
                f" {pair.by_chance:.2g} pairs, called below {CHANCE:g}",
                "same-person", "look at both, and tell it in patients.csv",
            )  # fmt: skip
            if strict:
                yield Checked(pair.case, image, error=InputError(**vars(found)))
            else:
                yield Checked(pair.case, image, warnings=(found,))


def write_table(path: Path, results: Iterable[Checked]) -> None:
    """``COLUMNS``: a row for each finding, and one for a case without any."""
    rows = pd.DataFrame([r for c in results for r in rows_of(c)], columns=COLUMNS)
    write_text(path, as_csv(rows))


def rows_of(checked: Checked) -> list[tuple]:
    """The rows of one case."""
    head = checked.name, checked.file
    cost = round(checked.seconds, 2), round(checked.peak_mb, 1)
    if not checked.findings:
        return [(*head, "", SOUND, checked.facts, "", *cost)]
    return [
        (checked.name, f.file, f.check, outcome, f"{f.must}: {f.found}", f.todo, *cost)
        for found, outcome in (
            (checked.warnings, WARNING),
            (checked.error.findings if checked.error else (), REFUSED),
        )
        for f in found
    ]


def in_words(results: Iterable[Checked]) -> str:
    """A line a case: outcome, time, memory, and what was found or what it is."""
    cases = [checked for checked in results if checked.name]
    wide = max((len(printable(checked.name)) for checked in cases), default=0)
    lines = []
    for c in cases:
        cost = f"{c.seconds:7.2f} s{c.peak_mb:7.0f} MB" if c.seconds else " " * 19
        said = ", ".join(dict.fromkeys(f.check for f in c.findings)) or c.facts
        lines.append(f"{printable(c.name):{wide}}  {c.outcome:8}{cost}  {said}")
    return "\n".join(lines)


def summary(results: Iterable[Checked]) -> str:
    """How many cases ended how; a case counts by the worst that was found."""
    worst: dict[str, str] = {}
    order = (SOUND, WARNING, REFUSED)
    for checked in results:
        if checked.name:
            before = worst.get(checked.name, SOUND)
            worst[checked.name] = max(before, checked.outcome, key=order.index)
    ends = list(worst.values())
    return (
        f"{len(ends):,} cases: {ends.count(SOUND):,} sound,"
        f" {ends.count(WARNING):,} with warnings, {ends.count(REFUSED):,} refused"
    )
