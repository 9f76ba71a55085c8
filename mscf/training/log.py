"""What a run says: to the terminal while there is one, always to ``log.txt``."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from tqdm import tqdm

from mscf.errors import Finding, warn


def say(line: str) -> None:
    """Prints a line, above a bar where there is one; of several processes one speaks.

    Where nobody listens any more (``| head -1``, a closed terminal) the work goes on.
    """
    if os.environ.get("RANK", "0") != "0":
        return
    try:
        tqdm.write(line)
        sys.stdout.flush()
    except (OSError, ValueError):
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 (to the process's end)


class RunLog:
    """The log of a run; only one of several processes speaks."""

    def __init__(self, path: Path, speaks: bool = True) -> None:
        self.path, self.speaks = path, speaks

    def say(self, line: str) -> None:
        """A line for the terminal and the file."""
        if self.speaks:
            say(line)
            self._note(line)

    def warn(self, finding: Finding) -> None:
        """A repair, in the shape of an error line."""
        if self.speaks:
            with contextlib.suppress(OSError, ValueError):
                warn(finding)
            self._note(f"warning: {finding}")

    def _note(self, line: str) -> None:
        with contextlib.suppress(OSError), self.path.open("a", encoding="utf-8") as log:
            log.write(line + "\n")
