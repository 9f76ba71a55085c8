"""The audit's numbers that pages name, in one record: ``results/paper/audit.json``.

What a page says of the paper's arithmetic it reads from there. The file is written by
``data_scripts/audit.py``, and a test computes it again.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from mscf import METHODS
from mscf.evaluation.copying import expected_neighbours
from mscf.evaluation.results_table import average_gain
from mscf.models import on_meta
from mscf.models.cost import multiply_accumulates, parameters
from mscf.pages import audit
from mscf.visualisation.architecture import SCALES

NINE = [key for key in METHODS if key != "mscf"]


def facts(table: pd.DataFrame) -> dict[str, Any]:
    """From Table 1 as printed, and from counts of the two networks.

    Percent, percentage points, pixels; multiply-accumulates in 10^9.
    """
    return as_record(
        {
            "table": of_the_table(table),
            "spread": of_the_spread(table),
            "protocol": of_the_protocol(table),
            "parameters": of_parameters(),
            "work": {str(side): of_work(side) for side in (448, 224)},
        }
    )


def of_the_table(table: pd.DataFrame) -> dict[str, Any]:
    """Table 1 against itself."""
    ours = audit.f1_from_means(table).loc["mscf"]
    mended = table.copy()
    mended.loc["mscf", "f1"] = ours["computed"]
    dice, hd = table["dice"], table["hd"]
    exchanged = audit.tumour_share(table, exchanged=True)["share"]
    return {
        "f1_expected": ours["computed"],
        "f1_slip": ours["computed"] - ours["printed"],
        "f1_gain_mended": average_gain(mended, "mscf", NINE, ["f1"]).iloc[0, 0],
        "f1_over_dice": ends(table["f1"] - dice),
        "dice_below_pooled": ends(audit.dice_bounds(table)["shortfall"]),
        "specificity_over_recall": (table["specificity"] - table["recall"]).min(),
        "smallest_rank_correlation": audit.one_fact(table)[0],
        "share_exchanged": ends(exchanged),
        "ours_over_cenet": dice["mscf"] - dice["cenet"],
        "ours_over_self_attention": dice["mscf"] - dice["self_attention"],
        "self_attention_under_cenet": dice["cenet"] - dice["self_attention"],
        "csnet_over_attention_unet": dice["csnet"] - dice["attention_unet"],
        "hd_danet_over_ours": hd["danet"] - hd["mscf"],
    }


def of_the_spread(table: pd.DataFrame) -> dict[str, Any]:
    """The deviation of slice Dice in any row, and what follows from it.

    As if there were four times fewer slices, since those of a patient are alike. Of
    Ours minus CE-Net by slices and patients: five folds are the same patients.
    """
    rows = {key: audit.slice_spread(row) for key, row in table.iterrows()}
    lowest = min(row["lowest"] for row in rows.values())
    highest = max(row["highest"] for row in rows.values())
    gap = table["dice"]["mscf"] - table["dice"]["danet"]
    errors = [
        math.hypot(*(audit.standard_error(rows[k][end], 4) for k in ("mscf", "danet")))
        for end in ("highest", "lowest")
    ]
    tested = {  # slices and patients
        "tested": (audit.TEST_SLICES, audit.CASES),
        "five_folds": (audit.SLICES, audit.CASES),
        "one_fold": (audit.TEST_SLICES, audit.CASES / 5),
    }
    both = [
        math.hypot(*(rows[k][end] for k in ("mscf", "cenet")))
        for end in ("lowest", "highest")
    ]
    over_cenet = {
        name: [audit.error_over_patients(deviation, *n) for deviation in both]
        for name, n in tested.items()
    }
    return {
        "deviation": [lowest, highest],
        "error": [audit.standard_error(end, 4) for end in (lowest, highest)],
        "gap_to_danet_in_errors": [gap / error for error in errors],
        "error_over_cenet": over_cenet,
        "reach_over_cenet": {
            name: [1.96 * error for error in of] for name, of in over_cenet.items()
        },
    }


def of_the_protocol(table: pd.DataFrame) -> dict[str, Any]:
    """The split, a missed slice, and the passes over the data."""
    training = audit.SLICES - audit.TEST_SLICES
    beside = expected_neighbours(audit.SLICES, audit.CASES)
    return {
        "tested_beside_training": 100 * beside,
        "diagonal": audit.DIAGONAL,
        "hd_of_a_missed_slice": (
            (audit.DIAGONAL - table["hd"]["mscf"]) / audit.TEST_SLICES
        ),
        "pixels": audit.SIDE**2,
        "training_slices": training,
        "test_slices": audit.TEST_SLICES,
        "slices_in_400_epochs": 400 * training,
        "steps_in_400_epochs": 400 * training // 8,
    }


def of_parameters() -> dict[str, Any]:
    """CE-Net's, the blocks', and the readings of the printed percentage."""
    cenet = parameters(on_meta("cenet"))
    blocks = {str(c): audit.block_parameters(c) for c, _ in SCALES}
    added = sum(blocks.values())
    readings = audit.readings_of_037(cenet, 21_797_672)  # ResNet-34, classifier too
    return {
        "cenet": cenet,
        "blocks": blocks,
        "added": added,
        "ours": parameters(on_meta("mscf")),
        "added_percent": 100 * added / cenet,
        "readings": ends(pd.Series(readings)),
    }


def of_work(side: int) -> dict[str, float]:
    """Of one slice ``(3, side, side)``; what only CE-Net's own code does is apart."""
    cenet = multiply_accumulates(on_meta("cenet"), side, side)
    ours = multiply_accumulates(on_meta("mscf"), side, side)
    published = cenet + audit.shared_convolutions(side)
    positions = {c: (side // stride) ** 2 for c, stride in SCALES}
    maps = {c: n**2 * (c // 8 + c) for c, n in positions.items()}
    added = ours - cenet
    return {
        "cenet": cenet / 1e9,
        "as_published": published / 1e9,
        "shared": (published - cenet) / 1e9,
        "projections": sum(n * c * (c + c // 4) for c, n in positions.items()) / 1e9,
        "maps": sum(maps.values()) / 1e9,
        "channel": sum(2 * c**2 * n for c, n in positions.items()) / 1e9,
        "ours": ours / 1e9,
        "added_percent": 100 * added / cenet,
        "added_percent_of_published": 100 * added / published,
        "finest_map_percent_of_added": 100 * maps[64] / added,
        "positions": positions[64],
        "finest_map_mib": audit.attention_map_bytes(4, side) / 2**20,
    }


def ends(values: pd.Series) -> list[float]:
    """The smallest and the largest."""
    return [values.min(), values.max()]


def as_record(value: Any) -> Any:
    """For JSON: numpy's numbers as Python's, to six digits where not whole."""
    if isinstance(value, dict):
        return {key: as_record(one) for key, one in value.items()}
    if isinstance(value, list):
        return [as_record(one) for one in value]
    return value if isinstance(value, int) else float(f"{value:.6g}")
