"""Several predictions of the same slices side by side, as a table and in words."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from mscf.evaluation.tables import identify, summary


def comparison(rows: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Dice of several predictions on the same test slices, a row for each name.

    ``rows`` are tables of ``evaluate``. Mean over slices with its 95 % interval over
    patients, pooled over all pixels, and how many slices were missed altogether.
    """
    signed = [
        identify(table, data="", split="", fold=0, method=name, seed=0)
        for name, table in rows.items()
    ]
    table = summary(pd.concat(signed))
    table = table[table["seed"].notna()].set_index("method").loc[list(rows)]
    return pd.DataFrame(
        {
            "mean Dice": table["dice"],
            "from": table["dice_low"],
            "to": table["dice_high"],
            "pooled Dice": table["dice_pooled"],
            "slices without overlap": table["slices"] - table["overlap"],
            "of": table["slices"],
            "patients": table["patients"],
        }
    ).rename_axis(None)


def in_words(table: pd.DataFrame, network: str, rivals: tuple[str, ...]) -> str:
    """One sentence: whether the network is above its rivals, in pooled Dice."""
    own = table.loc[network, "pooled Dice"]
    patients, slices = table.loc[network, ["patients", "of"]]
    compared = []
    for rival in rivals:
        other = table.loc[rival, "pooled Dice"]
        word = "above" if own > other else "below" if own < other else "level with"
        compared.append(f"{word} *{rival}* ({other:.2f})")
    return (
        f"On {slices:.0f} slices of {patients:.0f} patients that it has not seen, "
        f"*{network}* has a pooled Dice of {own:.2f}: {', '.join(compared)}."
    )
