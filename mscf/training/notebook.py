"""What ``notebooks/train.ipynb`` stands on: its parameters and its demo.

The demo is a training of minutes on two cores. Where it departs from the paper's
setting (``DEMO``) its page says so; on a prepared store nothing departs.
"""

from __future__ import annotations

import ast
from pathlib import Path

from mscf.data.phantom import make_phantoms
from mscf.data.phantom.files import VERSION
from mscf.data.store import Store, prepare
from mscf.errors import SettingsError
from mscf.training.settings import TrainSettings, check_kind

PHANTOMS = "phantoms"  # the word that stands for the demo's own data
DEMO_CASES = 16  # of large dark tumours; 13 patients, three were scanned twice
DEMO_SIZE = 192  # pixels; the smallest that the networks take
# Instead of 400 epochs with augmentation from a neutral bias: what shows in minutes.
DEMO = {"epochs": 3, "learning_rate": 1e-3, "augment": False, "log_odds_bias": True}
DEPENDS = ("epochs", "learning_rate")  # None takes the demo's, or else the paper's


def notebook_settings(
    base: Path,
    *,
    data: str,
    out: str,
    **others: object,
) -> TrainSettings:
    """The notebook's parameters as settings; relative paths start at ``base``.

    ``others`` are fields of `TrainSettings` under their own names; of `DEPENDS`, None
    takes what suits the data.

    Raises:
        SettingsError: one is unknown, of the wrong kind, or out of range.
    """
    known = TrainSettings.__dataclass_fields__
    if unknown := [name for name in others if name not in known]:
        raise SettingsError(
            unknown[0], "must be a parameter of the notebook", others[unknown[0]],
            "parameters",
        )  # fmt: skip
    for name, path in (("data", data), ("out", out)):
        check_kind(name, path)
    given = {k: v for k, v in others.items() if v is not None or k not in DEPENDS}
    if isinstance(given.get("window"), str):
        given["window"] = as_window(given["window"])
    folder = base / data
    if data == PHANTOMS:
        size = given.get("image_size")
        given["image_size"] = DEMO_SIZE if size is None else size
        folder = demo_folder(base) / f"store-{given['image_size']}"
        given = DEMO | given
    return TrainSettings(data=folder, out=base / out, **given)


def as_window(text: str) -> tuple:
    """Two numbers from text such as ``(-40, 160)``, which papermill leaves as text."""
    try:
        low, high = ast.literal_eval(text)
        return float(low), float(high)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise SettingsError(
            "window", "must be two HU, low and high", text, "window"
        ) from error


def demo_folder(base: Path) -> Path:
    """Where the phantoms of the notebooks lie: made once, used by all of them."""
    return base / f"runs/phantoms-{VERSION}"


def demo_store(base: Path, size: int = DEMO_SIZE) -> Store:
    """The phantoms of the notebooks as a store of ``size``, made where missing.

    Their volumes are ``demo_folder(base) / "cases"``. Two notebooks may ask at the same
    time: the second waits.
    """
    folder = demo_folder(base)
    cases = make_phantoms(folder / "cases", DEMO_CASES, seed=0, lesions="large")
    return prepare(cases, folder / f"store-{size}", size=size)
