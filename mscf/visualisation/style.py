"""Colours and settings that all pictures share.

Colours are from Okabe and Ito's set, told apart by readers with any colour vision, and
light enough to stand out on CT. Figures bring their own white ground, so they look the
same on a dark page.
"""

from __future__ import annotations

import matplotlib.pyplot as plt

TRUTH = "#F0E442"  # yellow
FALSE_POSITIVE = "#D55E00"  # vermilion
MISS = "#56B4E9"  # sky blue
LIVER = "#009E73"  # green
INK = "#333333"
MAIN = "#0072B2"  # blue, the one curve or bar that matters
SECOND = "#D55E00"
THIRD = "#009E73"
PALE = "#999999"  # what stands behind

LIVER_WINDOW = (-40.0, 160.0)  # HU, as the networks see it


def use_style() -> None:
    """Sets matplotlib's defaults for the pictures of the book."""
    plt.rcParams.update(
        {
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "legend.frameon": False,
        }
    )
