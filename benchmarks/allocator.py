"""Training steps on a processor whose memory comes in other ways, set from outside.

A step of MSCF, float32, eight slices of 224, takes hundreds of MiB and gives them back:
by default to the system, which has to clear every page of 4 KiB anew. Each form is a
process of its own with other variables of the environment, and they take turns.
Predicted, after epochs seen to take 31 s instead of 37: 1.15 to 1.2 for both together,
about half of it from each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.racing import figure, measured, peak, race
from benchmarks.step import step

MALLOC = "glibc.malloc"
KEPT = f"{MALLOC}.mmap_max=0:{MALLOC}.trim_threshold=8589934592"
HUGE = f"{MALLOC}.hugetlb=1"
FORMS = {
    "as it is": {},
    "kept": {"GLIBC_TUNABLES": KEPT},
    "huge pages": {"GLIBC_TUNABLES": HUGE},
    "kept, huge pages": {"GLIBC_TUNABLES": f"{KEPT}:{HUGE}"},
    "torch's switch": {"THP_MEM_ALLOC_ENABLE": "1"},
}


def figures(quick: bool) -> list[dict]:
    """Every form over none, and what each held at most."""
    size, slices, rounds, warm = (192, 1, 1, 0) if quick else (224, 8, 15, 3)
    names = ("as it is", "kept, huge pages") if quick else tuple(FORMS)
    with ExitStack() as stack:
        forms = {
            name: stack.enter_context(stepping(FORMS[name], size, slices))
            for name in names
        }
        times = race(forms, rounds, warm)
        held = {name: form() / 1024 for name, form in forms.items()}
    what = f"MSCF training step, {size}, {slices} slices, memory"
    first, *others = names
    found = [figure(f"{what} {name}", times, (first, name)) for name in others]
    shares = {name: held[name] / held[first] for name in others}
    return found + [
        measured(f"{what} {name}: peak over that as it is", share, "", mib=held[name])
        for name, share in shares.items()
    ]


@contextmanager
def stepping(
    variables: dict[str, str], size: int, slices: int
) -> Iterator[Callable[[], int]]:
    """A process that makes one step a call, and says the kilobytes it held at most."""
    words = [sys.executable, "-m", "benchmarks.allocator", str(size), str(slices)]
    with subprocess.Popen(
        words, env=os.environ | variables, text=True, bufsize=1,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip

        def once() -> int:
            process.stdin.write("step\n")
            return int(process.stdout.readline())

        yield once  # its input is closed then, which ends it


def main() -> None:
    """Makes a step for every line that comes in."""
    once = step("ours mscf", *map(int, sys.argv[1:]))
    for _ in sys.stdin:
        once()
        print(peak(), flush=True)


if __name__ == "__main__":
    main()
