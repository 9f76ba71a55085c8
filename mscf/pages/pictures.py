"""The pictures on top of pages of prose, drawn from networks and kept results.

Each takes the files that its patterns find below ``results/`` and returns a figure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from mscf.evaluation.metrics import slice_metrics
from mscf.evaluation.results_table import GROUPS
from mscf.evaluation.runs import read_runs
from mscf.evaluation.spread import scatter, single_gains
from mscf.kept.examples import read_examples
from mscf.models import METHODS, on_meta
from mscf.models.cost import multiply_accumulates, parameters
from mscf.visualisation.architecture import draw_architecture, output_shapes
from mscf.visualisation.context_block import draw_context_block
from mscf.visualisation.methods import draw_gains
from mscf.visualisation.segmentations import (
    draw_errors,
    draw_labels,
    error_legend,
    label_legend,
    mark_sides,
)
from mscf.visualisation.statistics import logarithmic
from mscf.visualisation.style import INK, MAIN, PALE, SECOND, THIRD

SIDE = 448  # pixels, the paper's
SHOWN = 3  # slices in a row


@dataclass(frozen=True)
class Picture:
    """How a picture is drawn, from which files, and in which form it is kept."""

    draw: Callable[[Sequence[Path]], Figure]
    files: tuple[str, ...] = ()  # patterns below results/; none: from the networks
    form: str = "svg"


def network(_files: Sequence[Path]) -> Figure:
    """Fig. 2 of the paper."""
    figure, ax = plt.subplots(figsize=(4.9, 5.1))
    draw_architecture(ax, on_meta("mscf").eval(), SIDE)
    return figure


def block(_files: Sequence[Path]) -> Figure:
    """Fig. 3 of the paper: the block on the finest skip."""
    ours = on_meta("mscf").eval()
    channels, side, _ = output_shapes(ours, ["encoder.stage1"], SIDE)["encoder.stage1"]
    figure, ax = plt.subplots(figsize=(4.9, 4.6))
    draw_context_block(ax, ours.contexts[0], channels, side)
    return figure


def slices(files: Sequence[Path]) -> Figure:
    """Test slices of phantoms with liver and tumour outlined."""
    kept = read_examples(files[0].parent)
    figure, axes = plt.subplots(1, SHOWN, figsize=(6.6, 2.9))
    for i, ax in enumerate(axes):
        draw_labels(ax, kept["hu"][i], kept["liver"][i] + 2 * kept["truth"][i])
        ax.set_title(str(kept["case"][i]))
    mark_sides(axes[0])
    figure.legend(handles=label_legend(), loc="outside lower center", ncols=2)
    return figure


def predictions(files: Sequence[Path]) -> Figure:
    """The same slices as the network of Fig. 1 drew them."""
    kept = read_examples(files[0].parent)
    figure, axes = plt.subplots(1, SHOWN, figsize=(6.6, 2.9))
    for i, ax in enumerate(axes):
        truth, drawn = kept["truth"][i], kept["probability"][i] > 127
        dice = slice_metrics(drawn, truth)["dice"]
        draw_errors(ax, kept["hu"][i], drawn, truth).set_title(f"Dice {dice:.2f}")
    mark_sides(axes[0])
    figure.legend(handles=error_legend(), loc="outside lower center", ncols=3)
    return figure


def losses(files: Sequence[Path]) -> Figure:
    """Training losses epoch by epoch, a line a fold and a colour a method."""
    figure, ax = plt.subplots(figsize=(6.5, 3.2))
    colours = dict(zip(("cenet", "mscf"), (SECOND, MAIN), strict=True))
    for file in files:
        method = file.parents[2].name
        if method not in colours:
            continue
        history = pd.read_csv(file)
        ax.plot(history["epoch"] + 1, history["loss"], color=colours[method], alpha=0.8)
    for method, colour in colours.items():
        ax.plot([], [], color=colour, label=METHODS[method].title)
    logarithmic(ax)
    ax.set_xlabel("epoch")
    ax.set_ylabel("training loss (cross entropy)")
    ax.legend(frameon=False)
    return figure


def gains(files: Sequence[Path]) -> Figure:
    """The paper's gain over each baseline, and those of every training here."""
    (table,) = [file for file in files if file.name == "table1.csv"]
    paper = pd.read_csv(table, index_col="key")["dice"]
    nine = [key for key in METHODS if key != "mscf"]
    found = {
        name: single_gains(
            read_runs(table.parents[1] / place, list(METHODS)).rows, "mscf", nine
        )
        for name, place in COMPARED.items()
    }
    bands = {name: scatter(table).loc["all", "band"] for name, table in found.items()}
    claimed = {key: paper["mscf"] - paper[key] for key in nine}
    titles = {key: method.title for key, method in METHODS.items()}
    figure, ax = plt.subplots(figsize=(6.5, 4.6))
    draw_gains(ax, claimed, found, bands, titles)
    ax.set_xlabel("Dice, Ours minus baseline, percentage points")
    return figure


def methods(_files: Sequence[Path]) -> Figure:
    """Parameters against multiply-accumulates of the ten, a colour a group."""
    figure, ax = plt.subplots(figsize=(6.5, 3.8))
    colours = dict(zip(GROUPS, (PALE, THIRD, SECOND, MAIN), strict=True))
    for group, keys in GROUPS.items():
        for key in keys:
            one = on_meta(key).eval()
            x, y = parameters(one) / 1e6, multiply_accumulates(one, SIDE, SIDE) / 1e9
            left = key in LEFT  # and behind what stands at the same place
            size, above = (110, 2) if left else (30, 3)
            ax.scatter(x, y, color=colours[group], s=size, zorder=above)
            ax.annotate(
                METHODS[key].title, (x, y), (-8 if left else 8, 0), va="center",
                textcoords="offset points", ha="right" if left else "left", color=INK,
                fontsize=9,
            )  # fmt: skip
    for group, colour in colours.items():
        ax.scatter([], [], color=colour, label=group)
    ax.set_yscale("log")
    ax.set_yticks([20, 50, 100, 200, 500], ["20", "50", "100", "200", "500"])
    ax.minorticks_off()
    ax.set_xlim(0, 60)
    ax.set_xlabel("parameters, millions")
    ax.set_ylabel("GMAC, one slice of 448 × 448")
    ax.legend(frameon=False, loc="lower right", title="group in Table 1")
    return figure


LEFT = frozenset({"cenet", "self_attention", "unet"})  # names left of their points
COMPARED = {"phantoms": "phantoms-192/patient", "CT": "excerpt-448/patient"}
RUNS = [f"{place}/*/*/*/per_slice.csv" for place in COMPARED.values()]
EXAMPLES = "phantoms-shown-192/patient/mscf/fold-0/seed-0/examples.npz"
PICTURES: Mapping[str, Picture] = MappingProxyType(
    {
        "network": Picture(network),
        "block": Picture(block),
        "slices": Picture(slices, (EXAMPLES,), "png"),
        "predictions": Picture(predictions, (EXAMPLES,), "png"),
        "losses": Picture(losses, ("excerpt-448/patient/*/*/*/history.csv",)),
        "methods": Picture(methods),
        "gains": Picture(gains, (*RUNS, "paper/table1.csv")),
    }
)
