"""What does it cost that every step looks for numbers that are not finite?

``python benchmarks/nan_watch.py`` times in turns, in one process, a training step of
the paper's network on two slices of 192 x 192 without the watch of
``mscf/training/finite.py``, and what the watch adds to it: the norms of all gradients,
the facts of the step and reading them. Predicted: one pass over 29 million gradients at
memory speed, some 10 ms, below 1 % of a step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from types import SimpleNamespace

import torch
from torch.optim import Adam

from mscf import build
from mscf.training.distributed import Ranks
from mscf.training.finite import BAD, Watch, gradient_norms
from mscf.training.loop import cross_entropy
from mscf.training.snapshot import Position


def main() -> None:
    """Prints medians, spread and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    model = build("mscf", pretrained=False).to(memory_format=torch.channels_last)
    optimizer = Adam(model.parameters(), fused=True)
    images = torch.randn(2, 3, 192, 192)
    settings = SimpleNamespace(device=torch.device("cpu"), out=None)
    state = SimpleNamespace(
        settings=settings, ranks=Ranks(), save_is_due=False, position=Position()
    )
    watch = Watch(state, None)
    step = SimpleNamespace(n_slices=2)
    steps, looks = [], []
    for round_ in range(rounds + 2):
        start = time.perf_counter()
        loss = cross_entropy(model(images), images[:, :1] * 0)
        loss.backward()
        computed = time.perf_counter()
        norms = gradient_norms(model)
        facts = watch.facts(loss.detach(), norms, stop=False)
        bad = facts[BAD:].sum().clamp(max=1)
        watch.look(step, loss.detach(), norms, facts)
        looked = time.perf_counter()
        optimizer.found_inf = bad
        optimizer.step()
        optimizer.zero_grad()
        if round_ >= 2:  # the first ones allocate
            steps.append(time.perf_counter() - looked + computed - start)
            looks.append(looked - computed)
    shares = [look / step for look, step in zip(looks, steps, strict=True)]
    for name, values in (("step", steps), ("watch", looks)):
        low, *_, high = statistics.quantiles([1000 * v for v in values], n=4)
        median = 1000 * statistics.median(values)
        print(f"{name:6}{median:9.2f} ms  (quartiles {low:.2f} to {high:.2f})")
    low, *_, high = statistics.quantiles([100 * s for s in shares], n=4)
    share = 100 * statistics.median(shares)
    print(f"watch / step {share:.2f} %  (quartiles {low:.2f} to {high:.2f})")


if __name__ == "__main__":
    main()
