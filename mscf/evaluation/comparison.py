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
    """The network's Dice and where each rival stands, as far as two decimals tell."""
    kinds = ["mean Dice", "pooled Dice"]
    own = table.loc[network, kinds].astype(float).round(2)
    patients, slices = table.loc[network, ["patients", "of"]]
    sentences = [
        f"On {slices:.0f} slices of {patients:.0f} patients that it has not seen, "
        f"*{network}* has a Dice of {own.iloc[0]:.2f} as the mean over slices and "
        f"{own.iloc[1]:.2f} pooled over pixels."
    ]
    for rival in rivals:
        other = table.loc[rival, kinds].astype(float).round(2)
        places = [place(value, than) for value, than in zip(other, own, strict=True)]
        same = places[0] == places[1]
        sentences.append(
            f"*{rival}*: {other.iloc[0]:.2f} and {other.iloc[1]:.2f}, "
            + (f"{places[0]} in both." if same else f"{places[0]} and {places[1]}.")
        )
    return " ".join(sentences)


def place(value: float, than: float) -> str:
    """On which side of the other number this one lies."""
    return "above it" if value > than else "below it" if value < than else "level"
