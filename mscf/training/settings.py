"""What a training run can be asked for; the defaults are the paper's setting.

The one exception is ``split="patient"``: the paper's random split by slice lets slices
of one patient stand on both sides.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import torch

from mscf.data.processes import cores
from mscf.errors import SettingsError
from mscf.models import find_method
from mscf.models.size import nearest
from mscf.training.schedule import RULES


@dataclass(frozen=True)
class TrainSettings:
    """Settings of one run; checked when made.

    Raises:
        SettingsError: one is unknown, out of range, or contradicts another.
    """

    data: Path  # a store's folder
    out: Path  # the run's folder

    # What is trained, and how: one recipe for all ten methods (open point 4).
    method: str = "mscf"  # a key of METHODS
    epochs: int = 400  # at most; Section 3.1
    batch_size: int = 8  # slices a step, of all processes; Section 3.1
    learning_rate: float = 2e-4  # Adam; Section 3.1
    schedule: str = "paper"  # or "release"; open point 22
    image_size: int | None = None  # pixels a side; None: the store's
    split: str = "patient"  # or "slice", the paper's words
    fold: int = 0  # which fifth tests
    seed: int = 0  # weights, order, augmentation, split
    window: tuple[float, float] = (-40.0, 160.0)  # HU; open point 24
    slices: str = "tumour"  # or "all"; open point 25
    patients: int | None = None  # so many to train on; None: all that do not test
    augment: bool = True  # CE-Net's; open point 26
    pretrained: bool = True  # ImageNet weights for the encoder
    require_pretrained: bool = False  # end where they cannot be had
    log_odds_bias: bool = False  # start the last bias at the tumour's log-odds
    finetune_from: Path | None = None  # a checkpoint whose weights are the start

    # On what, and how fast.
    gpus: int | None = None  # None: all there are; 0: the CPU
    processes: int | None = None  # None: one a GPU, one on a CPU
    accumulate: int = 1  # forward passes that a process makes for one step
    precision: str = "auto"  # float32, bf16; auto: bf16 where the machine has it
    compile: bool = False  # torch.compile; its first step takes minutes
    cuda_graph: bool = False  # on a GPU: a step's kernels captured, sent as one
    sync_batch_norm: bool = False  # statistics over the GPUs' slices, not each GPU's
    workers: int | None = None  # loading processes a process; None: 0 on a CPU
    deterministic: bool = False  # on GPUs: equal bits each time, slower
    timeout: int = 600  # seconds that a process waits for another

    # Going on.
    resume: bool = False  # go on from last.ckpt in `out`
    allow_inexact: bool = False  # ... also where the bits cannot be the same

    def __post_init__(self) -> None:
        for field in fields(self):
            check_kind(field.name, getattr(self, field.name))
        # Notebook parameters come as text and lists: make them what they stand for.
        object.__setattr__(self, "data", Path(self.data))
        object.__setattr__(self, "out", Path(self.out))
        if self.finetune_from is not None:
            object.__setattr__(self, "finetune_from", Path(self.finetune_from))
        object.__setattr__(self, "window", tuple(float(hu) for hu in self.window))
        find_method(self.method)
        if self.image_size is not None:
            check_image_size(self.method, self.image_size)
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise SettingsError(
                    name, f"must be at least {least}", value, name.replace("_", "-")
                )
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
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        check_gpus(self.gpus)
        check_processes(self)
        check_together(self)

    @property
    def slices_a_pass(self) -> int:
        """The most slices that a process forwards at once."""
        return -(-self.batch_size // ((self.processes or 1) * self.accumulate))

    def recorded(self) -> dict:
        """All fields as JSON values, for run.json."""
        values = asdict(self)
        return {
            name: str(value) if isinstance(value, Path) else value
            for name, value in values.items()
        }

    @property
    def device(self) -> torch.device:
        """Where this process's network lives."""
        wanted = self.gpus if self.gpus is not None else torch.cuda.device_count()
        return torch.device("cuda", local_rank()) if wanted else torch.device("cpu")

    def resolved(self) -> TrainSettings:
        """The same with every ``auto`` and machine-dependent ``None`` decided."""
        on_cpu = self.device.type == "cpu"
        gpus = 0 if on_cpu else self.gpus or torch.cuda.device_count()
        processes = joined_processes() or self.processes or max(gpus, 1)
        here = int(os.environ.get("LOCAL_WORLD_SIZE", processes))  # on this machine
        share = min(8, max(1, cores() // here))
        return replace(
            self,
            gpus=0 if on_cpu else processes,
            processes=processes,
            precision=fastest_precision(self.device)
            if self.precision == "auto"
            else self.precision,
            workers=(0 if on_cpu else share) if self.workers is None else self.workers,
        )


# The least value of every number that has one.
LEAST = {
    "epochs": 1,
    "batch_size": 1,
    "fold": 0,
    "seed": 0,
    "patients": 1,
    "gpus": 0,
    "processes": 1,
    "accumulate": 1,
    "workers": 0,
    "timeout": 1,
}
CHOICES = {
    "split": ("patient", "slice"),
    "slices": ("tumour", "all"),
    "precision": ("auto", "float32", "bf16"),
    "schedule": RULES,
}


def joined_processes() -> int:
    """How many processes torchrun started, of which this is one; 0: none did."""
    return int(os.environ.get("WORLD_SIZE", "0"))


def local_rank() -> int:
    """Which of this machine's processes this is: the number of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


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
    "Path | None": (
        "a path or None",
        lambda value: value is None or isinstance(value, (str, Path)),
    ),
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
    """Refuses more GPUs than there are, under torchrun on all machines together.

    Raises:
        SettingsError: names what there is.
    """
    machines = joined_processes() // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    there = torch.cuda.device_count() * max(machines, 1)
    if gpus is not None and gpus > there:
        word = "GPU was" if gpus == 1 else "GPUs were"
        raise SettingsError(
            "gpus",
            f"{gpus} {word} asked for, this machine has {there}",
            gpus,
            "gpus",
            f"give -p gpus {there} (--gpus {there})",
        )


def check_processes(settings: TrainSettings) -> None:
    """Every process must have a GPU of its own, or none has; each needs a slice."""
    gpus = settings.gpus if settings.gpus is not None else torch.cuda.device_count()
    joined, asked = joined_processes(), settings.processes
    if joined and asked not in (None, joined):
        raise SettingsError(
            "processes", f"torchrun started {joined}", asked, "processes",
            "leave it out under torchrun",
        )  # fmt: skip
    processes = joined or asked or max(gpus, 1)
    if gpus and processes != gpus and (asked or settings.gpus):
        raise SettingsError(
            "processes", f"must be one for each of {gpus} GPUs", processes,
            "processes", "give gpus alone, or gpus 0 for the CPU",
        )  # fmt: skip
    parts = processes * settings.accumulate
    if parts > settings.batch_size:
        raise SettingsError(
            "batch_size", f"must hold a slice for each of {processes} processes and "
            f"{settings.accumulate} passes", settings.batch_size, "batch-size",
            f"use {parts} or more, or fewer processes",
        )  # fmt: skip
    if settings.sync_batch_norm and not gpus:
        raise SettingsError(
            "sync_batch_norm", "works between GPUs", "the CPU", "sync-batch-norm",
            "leave it out, or use one process",
        )  # fmt: skip
    if settings.sync_batch_norm and 2 * parts > settings.batch_size:
        raise SettingsError(
            "sync_batch_norm", "needs a slice in every process at every step, and "
            "the last batch of an epoch may be half as large", settings.batch_size,
            "sync-batch-norm", f"use a batch_size of at least {2 * parts}",
        )  # fmt: skip


def check_together(settings: TrainSettings) -> None:
    """Refuses settings of which one makes another mean nothing."""
    for name, other in (
        ("require_pretrained", "pretrained"),
        ("allow_inexact", "resume"),
    ):
        if getattr(settings, name) and not getattr(settings, other):
            raise SettingsError(
                name, f"goes with {other} only", f"{other} {getattr(settings, other)}",
                name.replace("_", "-"), "give both or neither",
            )  # fmt: skip
    if settings.cuda_graph and (found := against_a_graph(settings)):
        raise SettingsError(
            "cuda_graph", "goes with a GPU, one pass a step and neither compile nor "
            "sync_batch_norm", found, "cuda-graph", "leave it out",
        )  # fmt: skip


def against_a_graph(settings: TrainSettings) -> str | None:
    """What a step's kernels cannot be captured with; None where they can."""
    if settings.device.type == "cpu":
        return "the CPU"
    if settings.accumulate > 1:  # a pass writes its gradients over those before
        return f"accumulate {settings.accumulate}"
    together = ("compile", "sync_batch_norm")
    return next((f"{name} True" for name in together if getattr(settings, name)), None)


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
        real = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if real else "float32"  # emulated it has no fast kernels
    units = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")  # private to torch
    has = any(getattr(torch.cpu, name, bool)() for name in units)
    return "bf16" if has else "float32"


FREE = {
    "data", "out", "epochs", "workers", "timeout", "finetune_from",
    "require_pretrained", "resume", "allow_inexact",
}  # fmt: skip


LAST_BITS = {
    "gpus", "processes", "accumulate", "compile", "cuda_graph", "sync_batch_norm",
    "deterministic",
}  # fmt: skip


def differing(settings: TrainSettings, recorded: dict) -> dict[str, tuple]:
    """Settings that would make a resumed run another run: name to (new, recorded).

    ``epochs`` may grow, a run may move to another folder, the others of ``FREE``
    change no number of a run that has begun. Those of ``LAST_BITS`` change the last
    bits; whether they may is asked elsewhere (``allow_inexact``).
    """
    return {
        name: (value, recorded.get(name))
        for name, value in settings.recorded().items()
        if name not in FREE | LAST_BITS and as_json(value) != recorded.get(name)
    }


def as_json(value: object) -> object:
    """A tuple comes back from JSON as a list."""
    return list(value) if isinstance(value, tuple) else value
