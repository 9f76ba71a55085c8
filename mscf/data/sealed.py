"""JSON that carries a digest of itself, so that what was changed is not believed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from mscf.replacing import write_text


def write_sealed(path: Path, record: dict) -> None:
    """A record as JSON; its ``sha256`` is over all the rest.

    Raises:
        StorageError: disk full or no permission; an older file is untouched.
    """
    sealed = {**record, "sha256": seal_of(record)}
    write_text(path, json.dumps(sealed, indent=1) + "\n")


def read_sealed(path: Path) -> dict:
    """What ``write_sealed`` wrote.

    Raises:
        OSError: it cannot be read.
        ValueError: it has been changed since, or is no JSON object.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict):
        raise ValueError("no JSON object")
    if record.pop("sha256", None) != seal_of(record):
        raise ValueError("its digest does not agree")
    return record


def seal_of(record: dict) -> str:
    """The digest of a record, independent of how it lies in the file."""
    return hashlib.sha256(json.dumps(record).encode()).hexdigest()
