"""Writing, reading and verifying states and weights.

One safetensors file: tensors, and in its metadata one JSON text with a SHA-256 over
both. No pickle, so that a file from elsewhere runs no code; the digest, because
safetensors itself accepts flipped bits.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from mscf.errors import CheckpointError
from mscf.replacing import replacing

FORMAT = "mscf-checkpoint"
VERSION = 2
READ = (1, 2)  # 1: without the state of a run; its weights are read
MAX_HEADER = 10 * 2**20  # bytes; ours take some 100 kB
FOREIGN = {  # what other programs' files begin with
    "a zip archive, as torch.save writes": b"PK\x03\x04",
    "a pickle": b"\x80",
    "an HDF5 file": b"\x89HDF",
}
NEVER_RUN = "such a file may run code when it is read, so it is not read here"
ANEW = (  # not in the same folder: what is left of the run there is not overwritten
    "start anew, or give the weights of best.ckpt to --finetune-from, into a new --out"
)
HEADER_BYTES = 2**20  # room for the names and shapes of any network here


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], record: dict) -> str:
    """Replaces ``path`` by a file with these tensors and this JSON record, or fails.

    Gives its digest.

    Raises:
        StorageError: disk full, no permission; an older ``path`` is untouched.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    text = json.dumps({"format": FORMAT, "format_version": VERSION, **record})
    size = sum(t.nbytes for t in tensors.values()) + len(text) + HEADER_BYTES
    sha256 = digest(text, tensors)
    with replacing(path, text=False, size=size) as file:
        os.truncate(file.name, 0)  # safetensors writes a second file, as large
        try:  # from the tensors' own memory: the bytes as a whole would double it
            save_file(tensors, file.name, {"record": text, "sha256": sha256})
        except SafetensorError as error:
            raise system_error(error) from error
    return sha256


def system_error(error: SafetensorError) -> OSError:
    """The system's error that safetensors passes on as text, with its number."""
    if found := re.search(r"os error (\d+)", str(error)):
        return OSError(int(found[1]), os.strerror(int(found[1])))
    return OSError(error)


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors and record of a file by ``write_checkpoint``, after all its checks.

    The record has the file's ``digest`` with it.

    Raises:
        CheckpointError: not such a file, cut, changed, or of a newer version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            path, "must be a readable file", error.strerror, "checkpoint-missing",
            "name the best.ckpt in it" if path.is_dir() else "",
        ) from error  # fmt: skip
    length = int.from_bytes(content[:8], "little")
    try:
        if length > MAX_HEADER:
            raise ValueError(f"a header of {length:,} bytes")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        text, expected = metadata["record"], metadata["sha256"]
        tensors = load(content)
        record = json.loads(text)
        if not isinstance(record, dict):
            raise TypeError("no object")
        found = digest(text, tensors)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        foreign = [kind for kind, begin in FOREIGN.items() if content.startswith(begin)]
        raise CheckpointError(
            path,
            "must be a whole checkpoint of mscf",
            foreign[0] if foreign else type(error).__name__,
            "checkpoint-format",
            NEVER_RUN if foreign else ANEW,
        ) from error
    if found != expected:
        raise CheckpointError(
            path,
            "its digest must agree",
            f"{found[:12]} instead of {str(expected)[:12]}",
            "checkpoint-digest",
            ANEW,
        )
    if record.get("format") != FORMAT or record.get("format_version") not in READ:
        raise CheckpointError(
            path,
            f"must be {FORMAT} version {VERSION} or older",
            f"{record.get('format')} version {record.get('format_version')}, and this "
            f"is mscf {version('mscf')}",
            "checkpoint-version",
            "use the mscf that wrote it",
        )
    return tensors, record | {"digest": found}


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the record and every tensor's name, type, shape and bytes."""
    sha256 = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return sha256.hexdigest()


def load_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """Puts weights into the model, all or none.

    Raises:
        CheckpointError: as ``check_weights``.
    """
    check_weights(model, weights, path)
    model.load_state_dict(dict(weights))


def check_weights(model: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    """They must be this model's: names, shapes, types, and all finite.

    Raises:
        CheckpointError: names the first three that are not.
    """
    expected = model.state_dict()
    wrong = sorted(expected.keys() ^ weights.keys()) or [
        name
        for name, t in weights.items()
        if (t.shape, t.dtype) != (expected[name].shape, expected[name].dtype)
    ]
    if wrong:
        raise CheckpointError(
            path,
            "must hold the tensors of this network",
            ", ".join(wrong[:3]) + (" and others" if len(wrong) > 3 else ""),
            "checkpoint-tensors",
            "choose the method that it was trained with",
        )
    bad = [name for name, t in weights.items() if not torch.isfinite(t).all()]
    if bad:
        raise CheckpointError(
            path, "weights must be finite", ", ".join(bad[:3]), "checkpoint-finite"
        )
