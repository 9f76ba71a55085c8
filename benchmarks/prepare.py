"""``mscf prepare`` beside bare gunzip of the same files, with one process and two.

The files are phantoms of 512 x 512, whole volumes are kept ("all"), in every turn in a
new folder. Predicted: at the edge with Python's gzip (0.5 to 0.85 by parts), above it
with a faster inflate.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path

from benchmarks.racing import figure, race
from mscf.data.phantom import make_phantoms
from mscf.data.store import prepare


def gunzip(files: list[Path]) -> int:
    """Bytes of all files unpacked by Python's gzip."""
    return sum(len(gzip.decompress(path.read_bytes())) for path in files)


def figures(quick: bool) -> list[dict]:
    """Ratios of seconds; the bytes are the same."""
    cases, size, rounds = (2, 128, 1) if quick else (8, 512, 3)
    with tempfile.TemporaryDirectory() as folder:
        source = make_phantoms(Path(folder, "cases"), cases, seed=0, size=size)
        files = sorted(source.rglob("*.nii.gz"))
        stores = iter(range(1000))

        def prepared(processes: int) -> None:
            target = Path(folder, f"store-{next(stores)}")
            prepare(source, target, size=448, processes=processes)

        forms = {
            "gunzip": lambda: gunzip(files),
            "prepare, 1 process": lambda: prepared(1),
            "prepare, 2 processes": lambda: prepared(2),
        }
        times = race(forms, rounds)
        unpacked = gunzip(files) / 1e6
    found = [
        figure(
            "prepare, MB a second against bare gunzip",
            times, ("gunzip", "prepare, 1 process"), 0.8,
        ),
        figure(
            "prepare, one process over two",
            times, ("prepare, 1 process", "prepare, 2 processes"), 1.8,
        ),
    ]  # fmt: skip
    return [{**line, "megabytes": unpacked} for line in found]
