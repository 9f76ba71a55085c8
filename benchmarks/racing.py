"""Two forms of one thing raced in turns, and what came out written down.

Times on a shared machine drift by half; neighbours in time drift together. So every
figure is a ratio of forms that took turns in one process, a median with its range.
Memory is the growth of the peak of a fresh process.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from mscf.models.tiled_attention import product
from mscf.replacing import write_text
from mscf.training.run_folder import commit, machine, now, versions

RESULTS = Path(__file__).parents[1] / "results" / "benchmarks"


def race(
    forms: dict[str, Callable[[], object]], rounds: int, warm: int = 1
) -> dict[str, list[float]]:
    """Seconds of every form, in turns; the first ``warm`` rounds do not count."""
    times: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(warm + rounds):
        for name, form in forms.items():
            took = seconds(form)
            if turn >= warm:
                times[name].append(took)
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return times


def those_that_run(forms: dict[str, Callable]) -> tuple[dict[str, Callable], dict]:
    """The forms that this machine takes, and why it refuses the others."""
    taken, refused = {}, {}
    for name, form in forms.items():
        try:
            form()
            taken[name] = form
        except Exception as error:  # noqa: BLE001 (torch refuses in many ways)
            refused[name] = str(error).strip().partition("\n")[0][:200]
    return taken, refused


def seconds(form: Callable[[], object]) -> float:
    """Wall seconds of one call, to the end of what it started on a GPU."""
    start = time.perf_counter()
    form()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start


def figure(
    what: str,
    times: dict[str, list[float]],
    over: tuple[str, str],
    wanted: float | None = None,
    at_most: bool = False,
) -> dict:
    """One line of the table of speeds: ``over[0]`` divided by ``over[1]``, by rounds.

    ``wanted`` is the ratio to reach, or with ``at_most`` not to pass.
    """
    ratios = [a / b for a, b in zip(times[over[0]], times[over[1]], strict=True)]
    return {
        "what": what,
        "of": " over ".join(over),
        "ratio": spread(ratios),
        "wanted": wanted,
        "at_most": at_most,
        "seconds": {name: spread(values) for name, values in times.items()},
    }


def measured(
    what: str, value: float, unit: str, wanted: float | None = None, **others: object
) -> dict:
    """One line that is a number by itself: a memory, a size, a difference."""
    return {"what": what, "value": value, "unit": unit, "wanted": wanted, **others}


def spread(values: Iterable[float]) -> dict[str, float]:
    """Median and range, four digits."""
    values = list(values)
    of = {"median": statistics.median, "low": min, "high": max}
    return {name: float(f"{f(values):.4g}") for name, f in of.items()}


def peaks(module: str, *words: object) -> tuple[float, float]:
    """MiB by which the peak of ``python -m module words`` grew, and the whole peak.

    It prints both as kilobytes.
    """
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, words)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    grown, whole = map(int, done.stdout.split()[-2:])
    return grown / 1024, whole / 1024


def peak() -> int:
    """Kilobytes that this process has held at most."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage's peak begins with that of who started us
        lines = status.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if "VmHWM" in line)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


@contextmanager
def on_threads(n: int) -> Iterator[None]:
    """Inside, torch computes on so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def write(
    topic: str, figures: list[dict], quick: bool, rate: float, folder: Path = RESULTS
) -> Path:
    """``results/benchmarks/<topic>.json``, with what computed it, ``rate`` among it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    record = {
        "topic": topic,
        "quick": quick,
        "made": now()[:10],
        "commit": commit(),
        "machine": {**machine(device), "matrix_rate": rate},
        "versions": versions(),
        "figures": figures,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{topic}.json"
    write_text(path, json.dumps(record, indent=1) + "\n")
    return path


def matrix_rate(n: int) -> float:
    """GFLOP/s of a float32 product of two n x n matrices, the best of five."""
    a, b = torch.randn(n, n), torch.randn(n, n)
    product(a, b)
    least = min(seconds(lambda: product(a, b)) for _ in range(5))
    return round(2 * n**3 / least / 1e9, 1)
