"""What a training run can be asked for; the defaults are the paper's setting.

The one exception is ``split="patient"``: the paper's random split by slice lets slices
of one patient stand on both sides.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch

from mscf.data.processes import cores
from mscf.errors import SettingsError
from mscf.models import find_method
from mscf.models.size import nearest


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run; checked when made.

    Raises:
        SettingsError: one is unknown, out of range, or contradicts another.
    """

    data: Path  # a store's folder
    out: Path  # the run's folder
    method: str = "mscf"  # a key of METHODS
    epochs: int = 400  # at most; Section 3.1
    batch_size: int = 8  # slices; Section 3.1
    learning_rate: float = 2e-4  # Adam; Section 3.1
    image_size: int | None = None  # pixels a side; None: the store's
    split: str = "patient"  # or "slice", the paper's words
    fold: int = 0  # which fifth tests
    seed: int = 0  # weights, order, augmentation, split
    window: tuple[float, float] = (-40.0, 160.0)  # HU; open point 24
    slices: str = "tumour"  # or "all"; open point 25
    augment: bool = True  # CE-Net's; open point 26
    pretrained: bool = True  # ImageNet weights for the encoder
    log_odds_bias: bool = False  # start the last bias at the tumour's log-odds
    gpus: int | None = None  # None: one if there is one; 0: the CPU
    precision: str = "auto"  # float32, bf16; auto: bf16 where the machine has it
    workers: int | None = None  # loading processes; None: 0 on a CPU
    resume: bool = False  # go on from last.ckpt in `out`

    def __post_init__(self) -> None:
        for field in fields(self):
            check_kind(field.name, getattr(self, field.name))
        # Notebook parameters come as text and lists: make them what they stand for.
        object.__setattr__(self, "data", Path(self.data))
        object.__setattr__(self, "out", Path(self.out))
        object.__setattr__(self, "window", tuple(float(hu) for hu in self.window))
        find_method(self.method)
        if self.image_size is not None:
            check_image_size(self.method, self.image_size)
        for name, least in (
            ("epochs", 1),
            ("batch_size", 1),
            ("fold", 0),
            ("seed", 0),
            ("workers", 0),
            ("gpus", 0),
        ):
            value = getattr(self, name)
            if value is not None and value < least:
                raise SettingsError(name, f"must be at least {least}", value, name)
        if not 0 < self.learning_rate < 1:
            raise SettingsError(
                "learning_rate",
                "must lie between 0 and 1",
                self.learning_rate,
                "learning-rate",
            )
        if self.window[0] >= self.window[1]:
            raise SettingsError(
                "window", "must be two HU, low and high", self.window, "window"
            )
        check_choice("split", self.split, ("patient", "slice"))
        check_choice("slices", self.slices, ("tumour", "all"))
        check_choice("precision", self.precision, ("auto", "float32", "bf16"))
        check_gpus(self.gpus)

    def recorded(self) -> dict:
        """All fields as JSON values, for run.json."""
        values = asdict(self)
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in values.items()
        }

    @property
    def device(self) -> torch.device:
        """Where the network lives."""
        wanted = self.gpus if self.gpus is not None else torch.cuda.device_count()
        return torch.device("cuda" if wanted else "cpu")

    def resolved(self) -> TrainSettings:
        """The same with every ``auto`` and machine-dependent ``None`` decided."""
        on_cpu = self.device.type == "cpu"
        workers = 0 if on_cpu else min(8, cores())
        return replace(
            self,
            gpus=0 if on_cpu else 1,
            precision=fastest_precision(self.device)
            if self.precision == "auto"
            else self.precision,
            workers=workers if self.workers is None else self.workers,
        )


def is_whole(value: object) -> bool:
    """A whole number; ``True`` and ``False`` are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """A finite number."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_window(value: object) -> bool:
    """Two finite numbers."""
    return (
        isinstance(value, (tuple, list))
        and len(value) == 2
        and all(is_number(hu) for hu in value)
    )


# What a field of each annotation must be, in words and as a test.
KINDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "Path": ("a path", lambda value: isinstance(value, (str, Path))),
    "str": ("a word", lambda value: isinstance(value, str)),
    "bool": ("True or False", lambda value: isinstance(value, bool)),
    "int": ("a whole number", is_whole),
    "int | None": (
        "a whole number or None",
        lambda value: value is None or is_whole(value),
    ),
    "float": ("a finite number", is_number),
    "tuple[float, float]": ("two HU, low and high", is_window),
}


def check_kind(name: str, value: object) -> None:
    """Refuses what is of another kind than the field: papermill leaves much as text."""
    kind, fits = KINDS[TrainSettings.__dataclass_fields__[name].type]
    if not fits(value):
        raise SettingsError(name, f"must be {kind}", value, name.replace("_", "-"))


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Refuses a word that is not among the choices."""
    if value not in choices:
        raise SettingsError(name, f"must be one of {', '.join(choices)}", value, name)


def check_gpus(gpus: int | None) -> None:
    """Refuses more GPUs than this machine has, and more than one.

    Raises:
        SettingsError: names what there is.
    """
    there = torch.cuda.device_count()
    if gpus is not None and gpus > there:
        word = "GPU was" if gpus == 1 else "GPUs were"
        raise SettingsError(
            "gpus",
            f"{gpus} {word} asked for, this machine has {there}",
            gpus,
            "gpus",
            f"give -p gpus {there} (--gpus {there})",
        )
    if gpus is not None and gpus > 1:
        raise SettingsError(
            "gpus", "training uses one GPU so far", gpus, "gpus", "give 1"
        )


def check_image_size(method: str, size: int) -> None:
    """Refuses a side that this method does not take, naming the nearest good one."""
    wanted = find_method(method)
    if size < wanted.minimum_size or size % wanted.multiple:
        raise SettingsError(
            "image_size",
            f"must be a multiple of {wanted.multiple} and at least "
            f"{wanted.minimum_size} for {method}",
            size,
            "image-size",
            f"use {nearest(size, wanted.minimum_size, wanted.multiple)}",
        )


def fastest_precision(device: torch.device) -> str:
    """bf16 where matrix units take it (GPU; CPU with AMX or AVX-512), else float32.

    Measured with AVX-512's alone: a step of MSCF at 192 takes 0.6 to 0.7 of the time.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "float32"
    units = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private to torch
    has = any(getattr(torch.cpu, name, bool)() for name in units)
    return "bf16" if has else "float32"


def differing(settings: TrainSettings, recorded: dict) -> dict[str, tuple]:
    """Settings that would make a resumed run another run: name to (new, recorded).

    ``epochs`` may grow, a run may move to another folder, and neither ``resume`` nor
    ``workers`` changes any number.
    """
    free = {"data", "out", "resume", "workers", "epochs"}
    now = settings.recorded()
    return {
        f.name: (now[f.name], recorded.get(f.name))
        for f in fields(settings)
        if f.name not in free and as_json(now[f.name]) != recorded.get(f.name)
    }


def as_json(value: object) -> object:
    """A tuple comes back from JSON as a list."""
    return list(value) if isinstance(value, tuple) else value
