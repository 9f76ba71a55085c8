"""What must hold before a run goes on in its folder; nothing is changed here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mscf.data.store import Store
from mscf.errors import CheckpointError
from mscf.training.run_folder import exactly, read_record
from mscf.training.settings import TrainSettings, differing

LATER = {"cpu", "numpy"}  # not in checkpoints of before: taken to be as here


def check_nothing_is_lost(out: Path, best: Path) -> None:
    """Without ``last.ckpt`` only a run killed before its first one starts anew.

    Raises:
        CheckpointError: epochs of it are done, or what is there has no record that
            could tell; its weights in ``best`` stay.
    """
    path = out / "run.json"  # says so only after last.ckpt is there
    of_a_run = [name for name in (best.name, "per_slice.csv") if (out / name).exists()]
    if of_a_run and not path.exists():
        raise CheckpointError(
            out, "must be a new folder", f"{of_a_run[0]} of another run", "run-exists",
            "choose another --out",
        )  # fmt: skip
    done = read_record(path).get("epochs_done") if path.exists() else 0
    if done:
        raise CheckpointError(
            out, "must be a new folder",
            f"a run of {done} epochs, its last.ckpt is gone", "run-exists",
            f"choose another --out; --finetune-from {best} takes its weights along",
        )  # fmt: skip


def check_same(settings: TrainSettings, store: Store, record: Mapping) -> None:
    """The run of this ``run.json`` must be of these settings and this data.

    Raises:
        CheckpointError: it is of others; names the first. Or fewer epochs are asked for
            than are done.
    """
    other = differing(settings, record.get("settings", {}))
    if record.get("store", {}).get("checksum") != store.checksum:
        other["data"] = (store.folder, "a store of other content")
    if other:
        name, (new, old) = next(iter(other.items()))
        raise CheckpointError(
            settings.out,
            f"must be resumed with the same settings ({', '.join(other)})",
            f"{name} {new} instead of {old}",
            "run-settings",
            "give the same, choose another --out, or take its weights alone with "
            "--finetune-from",
        )
    if settings.epochs < (done := record.get("epochs_done", 0)):
        raise CheckpointError(
            settings.out, "must be resumed with as many epochs as are done or more",
            f"epochs {settings.epochs} and {done}", "run-settings",
            "give more, or choose another --out",
        )  # fmt: skip


def check_header(path: Path, header: Mapping, expected: Mapping) -> None:
    """The checkpoint must be that run's, too.

    Raises:
        CheckpointError: it is another run's, or weights alone.
    """
    for name in ("method", "classes", "image_size", "store", "split"):
        if header.get(name) != expected[name]:
            raise CheckpointError(
                path, f"must be of {name} {expected[name]}", header.get(name),
                "checkpoint-run", "take its weights alone with --finetune-from",
            )  # fmt: skip
    if not isinstance(header.get("state"), dict):
        raise CheckpointError(
            path, "must hold the state of a run", "weights alone",
            "checkpoint-state", "take them along with --finetune-from",
        )  # fmt: skip


def check_exact(settings: TrainSettings, there: Mapping, ended: bool) -> list[str]:
    """What makes the rest of the run differ in its last bits, where that is allowed.

    ``there`` is how it was, settings included: a checkpoint may be of before one of
    them was found to move bits. Of a run that has ``ended`` nothing is left to differ.

    Raises:
        CheckpointError: it was not allowed.
    """
    here = exactly(settings)
    there = {name: here[name] for name in LATER & {*here}} | {**there}
    inexact = [
        f"{name} {value} instead of {there[name]}"
        for name, value in here.items()
        if there[name] != value
    ]
    if ended:
        return []
    if inexact and not settings.allow_inexact:
        raise CheckpointError(
            settings.out, "must be resumed where its bits come out the same",
            ", ".join(inexact), "run-exact",
            "choose another --out, or give --allow-inexact and the run's record keeps "
            "it",
        )  # fmt: skip
    return inexact
