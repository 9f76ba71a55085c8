"""Which label belongs to which scan, where the two lie in folders of one's own.

A label is named as its scan, or as that with a usual ending (``scan_1_seg``). Of the
layouts of MSD and LiTS the names are known (`find_masks`); of nnU-Net a scan is its
label's name with ``_0000``, the first channel.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from mscf.data.cases import Case, odd_paths, with_patients
from mscf.data.inputs import beside, find_inputs
from mscf.data.volume_files import find_masks
from mscf.errors import Finding, InputError, warn

ENDINGS = re.compile(
    r"[_. -]?(seg|segmentation|label|labels|mask|gt|tumou?r)\Z", re.IGNORECASE
)
CHANNEL = re.compile(r"_0000\Z")


def cases_of(source: Path, labels: Path | None) -> list[Case]:
    """The scans of ``source`` as cases, each with its label if ``labels`` has one.

    ``labels`` is a folder, or a file where there is one scan. Persons are those of a
    ``patients.csv`` beside the scans; without it each scan is a patient of its own.

    Raises:
        InputError: no scan, no label that belongs to one, two of one scan; a table of
            patients that does not fit.
    """
    scans = find_inputs(source)
    of_scan = labels_of(scans, labels) if labels is not None else {}
    cases = [Case(name, path, of_scan.get(name), name) for name, path in scans.items()]
    cases = [replace(case, repairs=odd_paths(case)) for case in cases]
    return with_patients(cases, beside(source, scans))


def labels_of(scans: Mapping[str, Path], labels: Path) -> dict[str, Path]:
    """The label of each scan that has one."""
    if labels.is_file() and len(scans) == 1:
        return dict.fromkeys(scans, labels)
    found: dict[str, Path] = {}
    over = []
    for name, path in find_masks(labels).items():
        scan = scan_of(name, scans)
        if scan is None:
            over.append(path)
        elif scan in found:
            raise InputError(
                path, f"must be the only label of {scan}", found[scan].name,
                "label-duplicate", "take one of the two out of the folder",
            )  # fmt: skip
        else:
            found[scan] = path
    must = "must be named as its scan, or so with _seg, _label or _mask behind"
    if not found:
        raise InputError(
            over[0], must, f"none of {', '.join(list(scans)[:3])}", "label-name",
            "rename it",
        )  # fmt: skip
    if over:
        more = f" and {len(over) - 1} more" if len(over) > 1 else ""
        warn(Finding(str(over[0]), must, f"it{more}", "label-name", "left out"))
    return found


def scan_of(name: str, scans: Iterable[str]) -> str | None:
    """The scan that a label of this name belongs to."""
    known = {CHANNEL.sub("", scan): scan for scan in scans} | {s: s for s in scans}
    return known.get(name) or known.get(ENDINGS.sub("", name))
