"""A run's network for others: weights, ONNX, torch.export, and a card that says what.

``model.safetensors`` is what `mscf.load` reads; ``model.onnx`` runs without torch;
``model.pt2`` runs without mscf. The last two are compared with the network when they
are written, and ``MODEL_CARD.md`` says how far they are from it.
"""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

from tqdm import tqdm

from mscf.checkpoint import write_checkpoint
from mscf.data.one_at_a_time import one_at_a_time
from mscf.data.store import open_store
from mscf.errors import MscfError, SettingsError
from mscf.inference.exported_forms import tried_shapes, write_onnx, write_pt2
from mscf.inference.model_card import model_card
from mscf.inference.parity import Parity, compare
from mscf.inference.weights import Trained, open_weights
from mscf.replacing import new_folder

FOR_ONNX = ("onnx", "onnxscript", "onnxruntime")  # torch needs the first two
PLACES = ("data", "out", "finetune_from")  # settings that are paths of one machine
KEPT = ("method", "classes", "image_size", "epoch", "store", "versions", "imagenet")
RESULTS = (
    "split", "slices", "patients", "empty_rule", "dice", "dice_low", "dice_high",
)  # fmt: skip


def export(
    run: Path | str, out: Path, onnx: bool = True, pt2: bool = True
) -> list[Parity]:
    """Writes the new folder ``out``, whole or not at all; gives the comparisons.

    ``run`` is all that `mscf.load` takes.

    Raises:
        SettingsError: no such run; ``out`` is in use; a package for ONNX is missing.
        CheckpointError: weights damaged, or of another network.
        NumericalError: an exported form computes something else.
        StorageError: disk full, no permission.
    """
    if onnx:
        check_packages()
    trained = open_weights(run)
    forms = {"model.onnx": write_onnx} if onnx else {}
    forms |= {"model.pt2": write_pt2} if pt2 else {}
    record = public_record(trained, Path(run))
    found: list[Parity] = []
    place = Path(out).absolute()
    with (
        one_at_a_time(place.parent / f".{place.name}.lock", out),
        new_folder(Path(out)) as folder,
    ):
        weights = trained.network.state_dict()
        write_checkpoint(folder / "model.safetensors", weights, record)
        with tqdm(forms, disable=not forms) as progress:
            for name in progress:
                progress.set_description(f"{name}: a minute or two")
                runner = forms[name](trained, folder / name)
                shapes = tried_shapes(trained)
                found += compare(name, runner, trained.network, shapes)
        hashes = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
        card = model_card(trained, record, found, hashes)
        (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    return found


def check_packages() -> None:
    """ONNX needs packages that nothing else here does."""
    if missing := [name for name in FOR_ONNX if find_spec(name) is None]:
        raise SettingsError(
            "onnx", f"needs {', '.join(FOR_ONNX)}", f"no {', '.join(missing)}",
            "onnx-missing", "pip install 'mscf[export]', or export with --no-onnx",
        )  # fmt: skip


def public_record(trained: Trained, run: Path) -> dict:
    """The checkpoint's record without paths, with the run's data and results."""
    settings = trained.record["settings"]
    return {
        **{name: v for name, v in trained.record.items() if name in KEPT},
        "settings": {name: v for name, v in settings.items() if name not in PLACES},
        "data": trained.record.get("data") or data_of(trained.record),
        "results": trained.record.get("results") or results_of(run, trained.record),
        "exported_from": trained.record.get("exported_from", trained.digest),
    }


def data_of(record: dict) -> dict:
    """The store's name; its counts, and whether it is synthetic, if still there."""
    place = Path(record["settings"].get("data") or "not recorded")
    name = place.name or "not recorded"  # of `.` only the store knows it
    try:
        store = open_store(place)
        if store.checksum != record.get("store"):
            return {"name": name}
    except MscfError:
        return {"name": name}
    counts = store.record.get("counts", {})
    return {"name": store.name, "phantoms": store.phantoms, "counts": counts}


def results_of(run: Path, record: dict) -> dict | None:
    """What the run's own evaluation found with these very weights, if it did."""
    folder = run if run.is_dir() else run.parent
    try:
        status = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        rows = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        if status["status"] != "finished" or status["best_epoch"] != record["epoch"]:
            return None
        return {name: rows[0][name] for name in RESULTS}
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def sha256_of(path: Path) -> str:
    """Of the file's bytes, as ``sha256sum`` prints it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
