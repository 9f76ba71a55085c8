"""Digests of a folder's files, in the form that ``sha256sum --check`` reads.

The one damage that no reader can see is a changed bit of an uncompressed file. A digest
written while the file was good tells it later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mscf.errors import Finding, InputError
from mscf.replacing import replacing

NAME = "SHA256SUMS"
LINE = re.compile(r"(\\?)([0-9a-f]{64}) [ *](.+)")
ESCAPES = (("\\", "\\\\"), ("\n", "\\n"), ("\r", "\\r"))  # a line is marked by one


@dataclass(frozen=True)
class Digests:
    """The SHA-256 of files by their path in ``folder``; None where none were kept."""

    folder: Path
    known: dict[str, str] | None

    @classmethod
    def read(cls, folder: Path) -> Digests:
        """Those that ``write_digests`` left in a folder.

        Raises:
            InputError: they cannot be read.
        """
        path = folder / NAME
        if not path.is_file():
            return cls(folder, None)
        try:
            lines = path.read_text("utf-8", "surrogateescape").split("\n")
        except OSError as error:
            found = error.strerror or str(error)
            raise InputError(path, "must be readable", found, "unreadable") from error
        known = {}
        for number, line in enumerate(filter(None, lines), 1):
            parts = LINE.fullmatch(line)
            if not parts:
                raise InputError(
                    path, "must be lines of a digest and a name",
                    f"another line {number}", "digests", "delete it",
                )  # fmt: skip
            mark, digest, name = parts.groups()
            known[unescaped(name) if mark else name] = digest
        return cls(folder, known)

    def compare(self, sources: Mapping[str, str]) -> tuple[Finding, ...]:
        """Looks whether files are as when their digests were kept; which have none.

        Raises:
            InputError: one is not.
        """
        if self.known is None:
            return ()
        found = []
        for file, digest in sources.items():
            kept = self.known.get(within(self.folder, file))
            if kept is None:
                must, todo = f"must stand in {NAME}", "it is not compared"
                found.append(Finding(file, must, "no digest", "digests", todo))
            elif kept != digest:
                raise InputError(
                    file, f"must be the file whose digest is in {NAME}",
                    "another digest", "digests", "copy or download it again",
                )  # fmt: skip
        return tuple(found)


def write_digests(folder: Path, sources: Mapping[str, str]) -> Path:
    """Keeps the digests of files below ``folder``; the path of what was written."""
    lines = [
        line(within(folder, file), digest) for file, digest in sorted(sources.items())
    ]
    with replacing(folder / NAME, text=False) as file:
        file.write("".join(lines).encode("utf-8", "surrogateescape"))
    return folder / NAME


def line(name: str, digest: str) -> str:
    """A file's line; a backslash in front says that its name has some."""
    safe = name
    for character, written in ESCAPES:
        safe = safe.replace(character, written)
    return f"{'' if safe == name else chr(92)}{digest}  {safe}\n"


def unescaped(name: str) -> str:
    """A name as it is, of one that is written for a line."""
    meant = {written[1]: character for character, written in ESCAPES}
    return re.sub(r"\\(.)", lambda match: meant.get(match[1], match[0]), name)


def within(folder: Path, file: str) -> str:
    """A file's path as seen from the folder."""
    return Path(file).relative_to(folder).as_posix()
