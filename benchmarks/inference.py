"""Logits of one slice of 448: plain, ours, bf16, compiled; and the machine's limit.

How much of the matrix rate CE-Net reaches is told by a float32 product timed in the
same rounds. Predicted: MSCF 2.2 to 2.3 times faster than plain; CE-Net at 52 to 82 % of
the rate, at least 70 % when compiled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import mscf
from benchmarks.racing import figure, measured, race, spread
from benchmarks.step import SIZE, batch, computing, network
from mscf.models.cost import multiply_accumulates
from mscf.models.tiled_attention import product

N = 2048  # of the matrix product


def inference(form: str, size: int, slices: int = 1) -> Callable[[], object]:
    """One slice through "plain mscf", "ours cenet", "bf16 mscf", "compiled cenet"."""
    kind, method = form.split()
    model = network(method, kind == "plain").eval()
    images, _ = batch(size, slices)
    images = images.contiguous() if kind == "plain" else images
    if kind == "compiled":
        model = torch.compile(model, options={"freezing": True})

    @torch.inference_mode()
    def once() -> Tensor:
        with computing(kind):
            return model(images)

    return once


def figures(quick: bool) -> list[dict]:
    """Ratios to plain, and CE-Net's share of the matrix rate."""
    size, rounds, warm, n = (192, 1, 0, 256) if quick else (SIZE, 9, 3, N)
    kinds = (
        ("plain", "ours", "bf16") if quick else ("plain", "ours", "bf16", "compiled")
    )
    forms = {f"{k} {m}": None for m in ("mscf", "cenet") for k in kinds}
    forms = {form: inference(form, size) for form in forms}
    a = torch.randn(n, n)
    forms["matrix product"] = partial(product, a, a)
    times = race(forms, rounds, warm)
    what = f"inference, {size}, one slice"
    found = [figure(f"MSCF {what}", times, ("plain mscf", "ours mscf"), wanted=2.3)]
    found += [
        figure(f"{title} {what}", times, (f"plain {method}", f"{kind} {method}"))
        for title, method in (("MSCF", "mscf"), ("CE-Net", "cenet"))
        for kind in kinds[1:]
        if (method, kind) != ("mscf", "ours")
    ]
    cost = multiply_accumulates(mscf.build("cenet"), size, size)
    for kind in kinds:
        if kind == "bf16":
            continue
        pairs = zip(times[f"{kind} cenet"], times["matrix product"], strict=True)
        share = spread((cost / t) / (n**3 / mm) for t, mm in pairs)
        what = f"CE-Net forward, {size}, {kind}: share of the matrix rate"
        line = measured(what, share["median"], "", 0.7 if kind == "ours" else None)
        found.append({**line, "share": share})
    return found
