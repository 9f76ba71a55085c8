"""``prepare.py`` beside bare gunzip of the same files, with one process and two.

The files are phantoms of 512 x 512, stored at 448, in every turn in a new folder. A
second process begins by importing torch; how work scales is therefore told by the time
that some more cases take. Predicted: 0.5 to 0.85 with Python's gzip, above it with a
faster inflate.
"""

from __future__ import annotations

import gzip
import tempfile
from functools import partial
from pathlib import Path

from benchmarks.racing import figure, race
from mscf.data.phantom import make_phantoms
from mscf.data.store import prepare


def gunzip(files: list[Path]) -> int:
    """Bytes of all files unpacked by Python's gzip."""
    return sum(len(gzip.decompress(path.read_bytes())) for path in files)


def figures(quick: bool) -> list[dict]:
    """Ratios of seconds; the bytes are the same."""
    few, many, size, rounds = (2, 4, 128, 1) if quick else (8, 40, 512, 5)
    warm, pixels = (0, 192) if quick else (1, 448)
    with tempfile.TemporaryDirectory() as folder:
        sources = {
            n: make_phantoms(Path(folder, f"cases-{n}"), n, seed=n, size=size)
            for n in (few, many)
        }
        files = sorted(sources[many].rglob("*.nii.gz"))
        stores = iter(range(1000))

        def prepared(cases: int, processes: int) -> None:
            target = Path(folder, f"store-{next(stores)}")
            prepare(sources[cases], target, size=pixels, processes=processes)

        forms = {f"{n} cases, {k}": partial(prepared, n, k)
                 for k in (1, 2) for n in (few, many)}  # fmt: skip
        times = race({"gunzip": partial(gunzip, files), **forms}, rounds, warm)
        unpacked = gunzip(files) / 1e6
    for k, name in ((1, "one process"), (2, "two processes")):
        pairs = zip(
            times[f"{many} cases, {k}"], times[f"{few} cases, {k}"], strict=True
        )
        times[name] = [a - b for a, b in pairs]
    whole = "gunzip", f"{many} cases, 1"
    pair = "one process", "two processes"
    found = [
        figure("prepare, MB a second against bare gunzip", times, whole, 0.8),
        figure(f"prepare, {many - few} more cases", times, pair, 1.8),
    ]
    return [{**line, "megabytes": unpacked} for line in found]
