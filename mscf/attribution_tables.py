"""The checks on attribution as tables, curves and sentences for the page."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mscf.attributions import REFERENCES, Kept
from mscf.visualisation.attribution import area

SAME = 0.5  # rank correlation from which on two maps are called alike


def titles(kept: Kept) -> dict[str, str]:
    """What the maps and orders are called."""
    names = {"gradients": "integrated gradients", "occlusion": "occlusion"}
    for name in kept["maps"]:
        if name not in names:
            height, width = kept[name].shape[1:]
            names[str(name)] = f"Grad-CAM {name[:-1]}, {height} x {width}"
    return names | REFERENCES


def correlation_table(kept: Kept) -> pd.DataFrame:
    """Mean rank correlation, a row a method, a column a part that is untrained too."""
    first, *others = kept["stages"]
    columns = [first, *(f"+ {name}" for name in others)]
    names = [titles(kept)[name] for name in kept["maps"]]
    return pd.DataFrame(kept["correlation"].mean(axis=0).T, names, columns)


def area_table(kept: Kept) -> pd.DataFrame:
    """Mean areas under the curves, a row an order, and how often each beat random."""
    areas = {way: area(kept[way]) for way in ("deletion", "insertion")}  # (n, orders)
    random = list(kept["orders"]).index("random")
    better = {
        "deletion": areas["deletion"] < areas["deletion"][:, [random]],
        "insertion": areas["insertion"] > areas["insertion"][:, [random]],
    }
    table = {}
    for way in areas:
        table[f"{way}, area"] = areas[way].mean(axis=0)
        table[f"{way}, slices better than random"] = better[way].sum(axis=0)
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
    same = names[np.abs(kept["correlation"][:, -1]).mean(axis=0) > SAME]
    better = area_table(kept).filter(like="better").min(axis=1)[names]
    always = names[better == n]
    return (
        f"In {n} slice{'s' if n > 1 else ''}: with all weights untrained the rank "
        f"correlation stays beyond {SAME:g} either way for {listed(same)}; such a map "
        f"says more of the slice than of what was learned. Deletion and insertion both "
        f"do better than random in every slice for {listed(always)}."
    )


def listed(names: pd.Index) -> str:
    """Their names, or that there is none."""
    return "; ".join(names) or "no method"
