"""The checks on attribution as tables, curves and sentences for the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.kept.attributions import REFERENCES, Kept
from mscf.visualisation.attribution import area

ALIKE = 0.5  # rank correlation above which two maps are called alike
BETTER = "slices better than random"
PARTS = {"contexts": "blocks", "multi_kernel": "bottleneck"}  # as the page calls them


def titles(kept: Kept) -> dict[str, str]:
    """What the maps and orders are called."""
    names = {"gradients": "integrated gradients", "occlusion": "occlusion"}
    for name in kept["maps"]:
        if name not in names:
            height, width = kept[name].shape[1:]
            names[str(name)] = f"Grad-CAM {name[:-1]}, {height} x {width}"
    return names | REFERENCES


def correlation_table(kept: Kept, signs: bool = True) -> pd.DataFrame:
    """Mean rank correlation, a row a method, a column a part that is untrained too.

    Without ``signs`` that of the maps' absolute values.
    """
    first, *others = (PARTS.get(name, name) for name in kept["stages"])
    columns = [first, *(f"+ {name}" for name in others)]
    names = [titles(kept)[name] for name in kept["maps"]]
    values = kept["correlation" if signs else "correlation_of_sizes"]
    return pd.DataFrame(values.mean(axis=0).T, names, columns)


def area_table(kept: Kept) -> pd.DataFrame:
    """A row an order: mean areas under its curves, and in how many slices they win.

    A slice is won by a smaller area of deletion, or a larger one of insertion, than
    that of its random orders.
    """
    random = list(kept["orders"]).index("random")
    table = {}
    for way, sign in (("deletion", -1), ("insertion", 1)):
        areas = area(kept[way])  # (n, orders)
        won = sign * (areas - areas[:, [random]]) > 0
        table[way, "area"] = areas.mean(axis=0)
        table[way, BETTER] = won.sum(axis=0)
    names = [titles(kept)[name] for name in kept["orders"]]
    return pd.DataFrame(table, names)


def curves(kept: Kept, way: str) -> dict[str, NDArray]:
    """The curves ``(n, shares)`` of a way by the orders' titles.

    Without those of maps before the blocks.
    """
    return {
        titles(kept)[name]: kept[way][:, i]
        for i, name in enumerate(kept["orders"])
        if not name.startswith("before")
    }


def in_words(kept: Kept) -> str:
    """What the checks say of each method's maps, as sentences."""
    n = len(kept["hu"])
    names = correlation_table(kept).index
    alike, alike_in_size = (
        names[np.abs(kept[name][:, -1]).mean(axis=0) > ALIKE]
        for name in ("correlation", "correlation_of_sizes")
    )
    won = area_table(kept).xs(BETTER, axis=1, level=1).min(axis=1)[names]
    return (
        f"In {n} slice{'s' if n > 1 else ''}, with all weights untrained: the rank "
        f"correlation, whatever its sign, is above {ALIKE:g} for {listed(alike)}; that "
        f"of the sizes alone for {listed(alike_in_size)}. Such maps, or sizes, may say "
        "more of the slice and the region than of what was learned; but this is one "
        "draw of random weights, without statistics of batch normalisation, and "
        "coarse maps of another draw can come out otherwise. Better than random "
        f"in every slice, in deletion and insertion: {listed(names[won == n])}."
    )


def listed(names: pd.Index) -> str:
    """Their names, or that there is none."""
    return "; ".join(names) or "none"
