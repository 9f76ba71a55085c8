"""What arithmetic alone can say about the paper's numbers, without any CT.

Each function answers one question about Table 1 as printed, percent and pixels, from
``results/paper/table1.csv``, or about a count in the paper's text. P, R, S, D and J are
a row's mean precision, recall, specificity, Dice and Jaccard. `own_rows` are our own
runs, to put two of these questions to them as well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linprog

from mscf.errors import InputError
from mscf.evaluation.metrics import f1_of
from mscf.evaluation.power import LITS
from mscf.evaluation.runs import read_runs
from mscf.evaluation.statistics import draw_patients, interval, redrawn_means
from mscf.models import METHODS
from mscf.training.schedule import PATIENCE, Schedule

COLUMNS = ["dice", "hd", "jaccard", "precision", "recall", "specificity", "f1"]
SIDE = 448  # pixels of a slice
SLICES, TEST_SLICES = 7_190, 1_438
CASES = LITS  # of the 131 volumes those with tumour; assumed
ALIKE = 0.3  # correlation of the Dice of two slices of a patient; assumed
HALF = 0.005  # a printed number is known to this
DIAGONAL = math.hypot(SIDE, SIDE)


def read_table1(path: Path) -> pd.DataFrame:
    """Table 1 as printed: a row a method under its key, the seven columns.

    Raises:
        InputError: no such table.
    """
    try:
        return pd.read_csv(path, index_col="key")[COLUMNS].astype(float)
    except (OSError, ValueError, LookupError) as error:
        raise InputError(
            path, "must be Table 1 with a key and seven columns", error, "table1"
        ) from error


# Table 1 against itself


def f1_from_means(table: pd.DataFrame) -> pd.DataFrame:
    """2PR / (P + R) of the printed means, its band by their rounding, and the print.

    ``fits`` says whether some P, R and F1 that round to the printed ones agree.
    """
    p, r = table["precision"], table["recall"]
    low, high = f1_of(p - HALF, r - HALF), f1_of(p + HALF, r + HALF)
    made = pd.DataFrame({"computed": f1_of(p, r), "low": low, "high": high}, p.index)
    printed = table["f1"]
    fits = (printed + HALF >= made["low"]) & (printed - HALF <= made["high"])
    return made.assign(printed=printed, fits=fits)


def dice_bounds(table: pd.DataFrame) -> pd.DataFrame:
    """J and 2J / (1 + J), between which a mean of slices' Dice must lie (Jensen).

    At the upper end all slices are equal, or counts were pooled.
    """
    j = table["jaccard"] / 100
    upper = 100 * 2 * j / (1 + j)
    made = {"lower": table["jaccard"], "dice": table["dice"], "upper": upper}
    return pd.DataFrame(made).assign(shortfall=upper - table["dice"])


def slice_spread(row: pd.Series) -> dict[str, float]:
    """What slices can lie behind the means of P, R, D and J of one row.

    A linear programme over distributions of (P, R) on a grid: is there one with these
    four means to 0.01, and then the smallest and largest standard deviation of slice
    Dice and the largest share of slices with Dice 0, all in percent. NaN: none is.
    """
    grid = np.linspace(0, 1, 50)
    p, r = (axis.ravel() for axis in np.meshgrid(grid, grid))
    possible = (p > 0) == (r > 0)  # no overlap: both are 0
    p, r = p[possible], r[possible]
    dice = f1_of(p, r)
    means = np.array([p, r, dice, dice / (2 - dice)])  # (4, cells)
    printed = row[["precision", "recall", "dice", "jaccard"]].to_numpy(float) / 100

    def extreme(cost: NDArray[np.float64]) -> float:
        found = linprog(
            cost,
            A_ub=np.vstack([means, -means]),
            b_ub=np.concatenate([printed + 1e-4, 1e-4 - printed]),
            A_eq=np.ones((1, p.size)),
            b_eq=[1],
        )
        return found.fun if found.status == 0 else math.nan

    def deviation(mean_square: float) -> float:
        # Below 0 where all slices are alike, as the means are known to 0.01 alone.
        return 100 * math.sqrt(max(mean_square - printed[2] ** 2, 0.0))

    return {
        "lowest": deviation(extreme(dice**2)),
        "highest": deviation(-extreme(-(dice**2))),
        "at 0": -100 * extreme(-(dice == 0).astype(float)),
    }


def false_pixels(table: pd.DataFrame) -> pd.Series:
    """Pixels of a slice that are wrongly called tumour, from 1 - S."""
    return (1 - table["specificity"] / 100) * SIDE**2


def one_fact(table: pd.DataFrame) -> tuple[float, float]:
    """How alike the seven columns are over the ten rows.

    The smallest rank correlation of two columns, and the share of the variance of all
    (each scaled to 1) in the first principal component. NaN where a column has one
    value throughout.
    """
    better = table.assign(hd=-table["hd"])
    if (better.nunique() < 2).any():
        return math.nan, math.nan
    variances = np.linalg.eigvalsh(better.corr())
    return float(better.corr("spearman").min(axis=None)), float(variances[-1] / 7)


# What the table says about the data and the protocol


def missed_slices(table: pd.DataFrame) -> pd.DataFrame:
    """How many slices more than Ours each method would have to miss altogether.

    ``hd``: to explain its gap in Hausdorff distance, if a missed slice counts with the
    diagonal in place of Ours' mean. ``recall``: to explain its gap in recall.
    """
    gap = table.drop(index="mscf") - table.loc["mscf"]
    each = (DIAGONAL - table.loc["mscf", "hd"]) / TEST_SLICES
    by_recall = -TEST_SLICES * gap["recall"] / 100
    return pd.DataFrame({"hd": gap["hd"] / each, "recall": by_recall})


def disc_with_margin(radius: float) -> float:
    """Precision when a disc of pixels is drawn one pixel too wide; recall is 1."""
    y, x = np.mgrid[-99:100, -99:100]
    within = np.hypot(y, x)
    return float((within <= radius).sum() / (within <= radius + 1).sum())


def tumour_share(table: pd.DataFrame, exchanged: bool = False) -> pd.DataFrame:
    """The share of tumour pixels that P, R and S of a row imply, in percent.

    From P = R q / (R q + (1 - S)(1 - q)), with the ends that the rounding of S leaves.
    ``exchanged`` reads the columns of P and R the other way round.
    """
    names = ["precision", "recall"][:: -1 if exchanged else 1]
    p, r = (table[name] / 100 for name in names)

    def share(specificity: pd.Series) -> pd.Series:
        false = p * (1 - specificity / 100)
        return 100 * false / (r * (1 - p) + false)

    s = table["specificity"]
    return pd.DataFrame(
        {"share": share(s), "low": share(s + HALF), "high": share(s - HALF)}
    )


def own_rows(place: Path) -> pd.DataFrame:
    """P, R and S of our own runs of the ten, percent, over all folds and seeds there.

    ``place`` is ``results/<data>/<split>``; the means are those of its ``summary.csv``.
    ``tumour`` is the true mean share of tumour pixels, percent, of the slices that a
    row is made from, each slice once; ``patients`` is how many persons they are of.
    """
    table = pd.read_csv(place / "summary.csv")
    table = table[table["seed"].isna()].set_index("method").loc[list(METHODS)]
    rates = 100 * table[["precision", "recall", "specificity"]]
    rows = read_runs(place, list(METHODS)).rows
    once = rows.drop_duplicates(["method", "case", "slice"])  # of several seeds
    share = 100 * once["truth_px"] / (once["height"] * once["width"])
    tumour = share.groupby(once["method"]).mean()
    return rates.assign(tumour=tumour, patients=table["patients"])


def recall_over_precision(place: Path, methods: Sequence[str]) -> pd.DataFrame:
    """R / P of the kept runs of each method and seed, with how far patients carry it.

    The means are over all slices of its folds. ``low`` and ``high`` are the 95 %
    interval of the ratio over redrawn patients with all their slices, ``patients`` and
    ``slices`` how many it is of. ``place`` is ``results/<data>-<size>/<split>``.
    """
    rows = read_runs(place, methods).rows
    found = {}
    for which, of in rows.groupby(["method", "seed"], sort=False):
        rates, patients = of[["recall", "precision"]].to_numpy(), of["patient"]
        redrawn = redrawn_means(rates, patients, draw_patients(patients.nunique()))
        low, high = interval(redrawn[:, 0] / redrawn[:, 1])
        recall, precision = rates.mean(axis=0)
        ratio = {"R / P": recall / precision, "low": low, "high": high}
        found[which] = ratio | {"patients": patients.nunique(), "slices": len(of)}
    table = pd.DataFrame(found).T.astype({"patients": int, "slices": int})
    return table.rename_axis(["method", "seed"])


def standard_error(deviation: float, design_effect: float = 1) -> float:
    """Of a mean over the test slices whose values have this standard deviation.

    Slices of a patient are alike: m of them with correlation c have a design effect of
    1 + (m - 1) c, as if there were so many times fewer.
    """
    return deviation * math.sqrt(design_effect / TEST_SLICES)


def error_over_patients(deviation: float, slices: int, patients: float) -> float:
    """Standard error of a mean over slices, equally many of each patient, ``ALIKE``.

    More slices of the same patients tell little more.
    """
    design_effect = 1 + (slices / patients - 1) * ALIKE
    return deviation * math.sqrt(design_effect / slices)


# Size and cost


def block_parameters(
    channels: int, reduction: int = 8, bias: bool = True, scalars: int = 2,
    norms: bool = False, value_kernel: int = 1,
) -> int:  # fmt: skip
    """Parameters of one context block: Q and K to C / reduction, F from C to C."""
    inner = channels // reduction
    outputs = 2 * inner + channels
    weights = 2 * channels * inner + channels**2 * value_kernel**2
    return weights + bias * outputs + norms * 2 * outputs + scalars


def readings_of_037(cenet: int, resnet: int) -> dict[str, float]:
    """Added parameters in percent of the base, under this reading and its neighbours.

    ``cenet`` and ``resnet`` are the parameters of the two bases.
    """
    scales = (64, 128, 256)

    def added(*channels: int, **options: int) -> int:
        return sum(block_parameters(c, **options) for c in channels or scales)

    concatenated = 29_224_693  # CE-Net whose decoder takes the skip beside its own
    return {
        "as printed, over CE-Net": 100 * added() / cenet,
        "without biases": 100 * added(bias=False) / cenet,
        "without alpha and beta": 100 * added(scalars=0) / cenet,
        "skips concatenated": 100 * added() / concatenated,
        "over the larger network": 100 * added() / (cenet + added()),
        "batch norm after Q, K, F": 100 * added(norms=True) / cenet,
        "the stem's 64 channels too": 100 * added(64, *scales) / cenet,
        "Q and K to C/16": 100 * added(reduction=16) / cenet,
        "Q and K to C/4": 100 * added(reduction=4) / cenet,
        "Q and K to C": 100 * added(reduction=1) / cenet,
        "the 256 channels alone": 100 * added(256) / cenet,
        "a fourth scale, 512": 100 * added(*scales, 512) / cenet,
        "F with 3 × 3": 100 * added(value_kernel=3) / cenet,
        "over ResNet-34": 100 * added() / resnet,
    }


def shared_convolutions(side: int = SIDE) -> int:
    """Multiply-accumulates that CE-Net's own code spends on computing anew.

    Three dilated 3 × 3 convolutions of 512 channels at a 32nd of the side.
    """
    return 3 * 512 * 512 * 9 * (side // 32) ** 2


def attention_map_bytes(stride: int, side: int = SIDE) -> int:
    """One map of N x N float32 numbers, N positions at this stride."""
    return 4 * ((side // stride) ** 2) ** 2


def epochs_to_the_lowest_rate() -> tuple[int, float, int]:
    """Halvings until the rate ends training, the rate then, and the epoch from 0.

    As fast as it can be: ten epochs without gain, one with a gain, again and again.
    """
    state, epoch, halvings = Schedule(rate=2e-4).after(1.0), 0, 0
    while state.end is None:
        gain = state.since_best == PATIENCE
        loss = state.best * 0.99 if gain else state.best
        halved = state.after(loss)
        halvings += halved.rate < state.rate
        state, epoch = halved, epoch + 1
    return halvings, state.rate, epoch


# Sentences against the table


def points(table: pd.DataFrame, pairs: Mapping[str, tuple[str, str]]) -> pd.DataFrame:
    """Of each named pair of keys the first minus the second, all seven columns."""
    rows = {
        name: table.loc[one] - table.loc[other] for name, (one, other) in pairs.items()
    }
    return pd.DataFrame(rows).T
