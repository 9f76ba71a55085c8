"""The contrast phase of a scan: how bright blood and organs are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Mean HU of a phase. The liver varies most; what the blood in it adds is drawn apart.
MEANS = {
    "portal": {"liver": 108, "spleen": 112, "kidney": 165, "medulla": 150,
               "aorta": 150, "veins": 155, "bowel": 90},
    "arterial": {"liver": 72, "spleen": 115, "kidney": 185, "medulla": 80,
                 "aorta": 300, "veins": 95, "bowel": 95},
    "unenhanced": {"liver": 55, "spleen": 48, "kidney": 33, "medulla": 30,
                   "aorta": 40, "veins": 40, "bowel": 42},
}  # fmt: skip
LIVER_SPREAD = {"portal": 12, "arterial": 9, "unenhanced": 7}
PORTAL_RISE = {"portal": (56, 12), "arterial": (18, 9), "unenhanced": (-9, 6)}
HEPATIC_RISE = {"portal": (50, 12), "arterial": (-3, 7), "unenhanced": (-8, 6)}


@dataclass(frozen=True)
class Phase:
    """HU of one scan; ``portal`` and ``hepatic`` are the two kinds of liver vessel."""

    name: str
    liver: float
    portal: float
    hepatic: float
    spleen: float
    kidney: float  # its cortex
    medulla: float
    aorta: float
    veins: float
    bowel: float  # wall of stomach and bowel

    @classmethod
    def draw(cls, random: np.random.Generator, shares: dict[str, float]) -> Phase:
        """A phase, chosen with the given shares."""
        name = str(random.choice(list(shares), p=list(shares.values())))
        levels = dict(MEANS[name])
        liver = levels.pop("liver")
        liver += LIVER_SPREAD[name] * np.clip(random.standard_normal(), -2, 2)
        portal = liver + random.normal(*PORTAL_RISE[name])
        hepatic = liver + random.normal(*HEPATIC_RISE[name])
        if random.random() < 0.1:  # a fatty liver is darker, its blood is not
            liver *= random.uniform(0.7, 0.86)
        levels = {k: v * random.normal(1, 0.07) for k, v in levels.items()}
        return cls(name, float(liver), float(portal), float(hepatic), **levels)
