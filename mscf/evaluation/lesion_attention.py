"""Does attention go from lesion to lesion? Against other places of the same liver.

Attention may be local, and a lesion may draw it from everywhere (it is dark): both
would show as attention between lesions. So each pair of lesions is compared twice, with
one of the two moved to every place of healthy liver where its shape fits at a like
distance from the other. A lesion that gets more than its copies is not merely near; one
that asks it more than healthy liver does from there, not merely conspicuous. What
remains is that dark may look at dark: no place of the same grey value is asked.

Arrays in, numbers out: who made the attention does not matter. K lesions, H rows, W
columns, in pixels of the slice.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import label
from scipy.signal import correlate

from mscf.data.volume import LIVER, TUMOUR
from mscf.evaluation.masks import Mask
from mscf.evaluation.results_table import p_as_text
from mscf.evaluation.statistics import (
    LEVEL,
    can_decide,
    draw_patients,
    holm,
    interval,
    redrawn_means,
    signed_rank_p,
)

BAND = 0.25  # by how much of itself a distance may differ and still be alike
FEWEST, MOST = 19, 400  # places a comparison needs (p of 1/20), and takes at most
SMALLEST = 4  # pixels of a lesion; what resizing left of smaller ones is no shape
CHANCE = 0.5  # the share of places that one place among them is above
RANKS = ("above_liver_asked", "above_liver_asking")
PAIR = ("lesion_to_lesion", "liver_asked", "liver_asking", *RANKS)


def lesions_of(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The lesions of one slice, ``(K, H, W)``: components by faces, largest first."""
    components, n = label(labels == TUMOUR)
    sizes = np.bincount(components.ravel(), minlength=n + 1)[1:]
    order = [i for i in np.argsort(-sizes, kind="stable") if sizes[i] >= SMALLEST]
    return components[None] == np.array(order, int)[:, None, None] + 1


def pair_rows(
    labels: NDArray[np.uint8],
    lesions: NDArray[np.bool_],
    gives: NDArray[np.floating],
    gets: NDArray[np.floating],
) -> list[dict[str, float]]:
    """A row for each ordered pair of lesions that there are other places enough for.

    ``gives[k]`` ``(H, W)`` is what each pixel gets from lesion k, a mean over its
    pixels that sums to 1; ``gets[k]`` what each pixel of the liver gives to all of
    lesion k. ``lesion_to_lesion`` is in multiples of the even share, ``liver_asked``
    the mean of the same with the asked lesion moved, ``liver_asking`` with the asking
    one; ``above_*`` the share of those places that the pair is above, ties by half.
    """
    healthy = labels == LIVER
    fitting = [list_places(lesion, healthy) for lesion in lesions]
    centres = [np.argwhere(lesion).mean(axis=0) for lesion in lesions]
    rows = []
    for i, j in np.argwhere(~np.eye(len(lesions), dtype=bool)):
        asked = at_distance(fitting[j], centres[j], centres[i])
        asking = at_distance(fitting[i], centres[i], centres[j])
        if min(len(asked), len(asking)) < FEWEST:
            continue
        even = lesions[j].sum() / lesions[j].size
        real = gives[i][lesions[j]].sum() / even
        moved_asked = moved_sums(gives[i], lesions[j], asked) / even
        moved_asking = moved_sums(gets[j], lesions[i], asking) / (
            lesions[i].sum() * even
        )
        rows.append({
            "lesion_to_lesion": real,
            "liver_asked": moved_asked.mean(),
            "liver_asking": moved_asking.mean(),
            "above_liver_asked": share_below(moved_asked, real),
            "above_liver_asking": share_below(moved_asking, real),
        })  # fmt: skip
    return rows


def list_places(region: Mask, allowed: Mask) -> NDArray[np.int64]:
    """Every move (rows, columns) ``(n, 2)`` that keeps a region in ``allowed``."""
    inside = np.argwhere(region)
    first, last = inside.min(axis=0), inside.max(axis=0) + 1
    shape = region[first[0] : last[0], first[1] : last[1]]
    common = correlate(
        allowed.astype(float), shape.astype(float), mode="valid", method="fft"
    )
    return np.argwhere(np.rint(common) == len(inside)) - first


def at_distance(
    moves: NDArray[np.int64], centre: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.int64]:
    """The moves after which ``centre`` is about as far from ``other`` as before.

    Of very many every second, third, ... is taken.
    """
    distance = np.hypot(*(centre - other))
    moved = np.hypot(*(centre + moves - other).T)
    alike = moves[np.abs(moved - distance) <= BAND * distance]
    return alike[:: max(1, -(-len(alike) // MOST))]


def moved_sums(
    values: NDArray[np.floating], region: Mask, moves: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The sum of a map ``(H, W)`` over the region after each move, ``(n,)``."""
    rows, columns = (moves[:, None] + np.argwhere(region)).transpose(2, 0, 1)
    return values[rows, columns].sum(axis=1, dtype=float)


def share_below(values: NDArray[np.float64], value: float) -> float:
    """The share of values below one, those that equal it to rounding by half."""
    equal = np.isclose(values, value, rtol=1e-6, atol=0)
    return float(((values < value) & ~equal).mean() + equal.mean() / 2)


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a scale of the table of slices: means, intervals over patients, p.

    ``rows`` has ``patient``, ``channels``, ``pairs`` and the columns of `pair_rows`,
    means over the pairs of a slice. A p is that of the signed ranks of the patients'
    mean shares minus one half, Holm's for all of the table.
    """
    table = pd.DataFrame(list(scale_summaries(rows)))
    names = [f"{rank}_p" for rank in RANKS]
    if len(table):
        table[names] = holm(table[names].to_numpy().ravel()).reshape(-1, len(names))
    return table


def scale_summaries(rows: pd.DataFrame) -> Iterator[dict[str, float]]:
    """The summary of each scale, p uncorrected."""
    for channels, of_scale in rows.groupby("channels"):
        shares = of_scale[list(RANKS)]
        patients = of_scale["patient"]
        n = patients.nunique()
        drawn = redrawn_means(shares, patients, draw_patients(n))
        drawn = drawn if n > 1 else np.full_like(drawn, np.nan)  # no interval of one
        summary = {
            "channels": channels,
            "patients": n,
            "slices": len(of_scale),
            "pairs": int(of_scale["pairs"].sum()),
            **of_scale[["lesion_to_lesion", "liver_asked", "liver_asking"]].mean(),
        }
        for rank, redrawn in zip(RANKS, drawn.T, strict=True):
            of_patient = shares[rank].groupby(patients).mean()
            low, high = interval(redrawn)
            summary[rank] = shares[rank].mean()
            summary |= {f"{rank}_low": low, f"{rank}_high": high}
            summary[f"{rank}_p"] = signed_rank_p(of_patient - CHANCE)
        yield summary


def shown(summary: pd.DataFrame) -> pd.DataFrame:
    """The summary as a reader wants it: shares in percent with their intervals."""
    table = summary[["channels", "patients", "slices", "pairs"]].copy()
    for name, title in {
        "lesion_to_lesion": "lesion to lesion",
        "liver_asked": "lesion to liver",
        "liver_asking": "liver to lesion",
    }.items():
        table[title] = summary[name].map("{:.2g}".format)
    for rank, title in zip(RANKS, ("places asked", "places asking"), strict=True):
        ends = (100 * summary[[rank, f"{rank}_low", f"{rank}_high"]]).to_numpy()
        table[f"above {title}, %"] = [
            f"{mean:.0f} ({low:.0f} to {high:.0f})" for mean, low, high in ends
        ]
        table[f"p, {title}"] = summary[f"{rank}_p"].map(p_as_text)
    return table.set_index("channels")


def in_words(summary: pd.DataFrame) -> str:
    """What each scale's numbers allow to say, as a Markdown list."""
    lines = []
    patients = summary["patients"].max() if len(summary) else 0
    if patients and not can_decide(patients, len(RANKS) * len(summary)):
        lines.append(
            f"- With {patients} patients no p can stay below {LEVEL}: nothing of this"
            " is decided."
        )
    for row in summary.itertuples():
        asked = verdict(row.above_liver_asked, row.above_liver_asked_p)
        asking = verdict(row.above_liver_asking, row.above_liver_asking_p)
        lines.append(
            f"- **{row.channels} channels**: from a lesion another one gets"
            f" {row.lesion_to_lesion:.2g} times the even share. That is {asked} other"
            f" places get from it ({row.liver_asked:.2g}), and {asking} other places"
            f" give to that one ({row.liver_asking:.2g})."
        )
    return "\n".join(lines) or "No slice has lesions and liver enough for a comparison."


def verdict(share: float, p: float) -> str:
    """More, less or neither, by a share of places and its p; NaN decides nothing."""
    if not p < LEVEL:
        return "not measurably more or less than"
    return f"{'more' if share > CHANCE else 'less'} than"
