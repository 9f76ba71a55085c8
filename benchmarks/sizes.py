"""Time and memory of MSCF's training step against the side of a slice.

Predicted: both forms take a time that grows with the square of the area once attention
rules, plain about twice ours; memory grows so for plain alone (the map), ours with the
area. Plain is left out where its maps would not fit this machine.
"""

from __future__ import annotations

from benchmarks.racing import measured, peaks, race, spread
from benchmarks.step import step

SIDES = (192, 256, 320, 448, 640, 832)
PLAIN_TO = 640  # beyond it one map has 7.5 GiB and more


def figures(quick: bool) -> list[dict]:
    """One line a side; ``seconds`` and ``mib`` by form."""
    found = []
    sides, plain_to = ((192,), 0) if quick else (SIDES, PLAIN_TO)
    for side in sides:
        kinds = ("plain", "ours") if side <= plain_to else ("ours",)
        forms = {kind: step(f"{kind} mscf", side) for kind in kinds}
        times = race(forms, *(1, 0) if quick else (3, 1))
        line = measured(f"MSCF training step, {side}, one slice", side, "pixels a side")
        line["seconds"] = {kind: spread(values) for kind, values in times.items()}
        line["mib"] = {k: peaks("benchmarks.step", k, "mscf", side)[0] for k in kinds}
        found.append(line)
    return found
