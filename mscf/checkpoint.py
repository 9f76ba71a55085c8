"""Writing, reading and verifying states and weights.

One safetensors file: tensors, and in its metadata one JSON text with a SHA-256 over
both. No pickle, so that a file from elsewhere runs no code; the digest, because
safetensors itself accepts flipped bits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import Tensor, nn

from mscf.errors import CheckpointError
from mscf.replacing import replacing

FORMAT = "mscf-checkpoint"
VERSION = 1
HEADER_BYTES = 2**20  # room for the names and shapes of any network here


def write_checkpoint(path: Path, tensors: Mapping[str, Tensor], record: dict) -> None:
    """Replaces ``path`` by a file with these tensors and this JSON record, or fails.

    Raises:
        StorageError: disk full, no permission; an older ``path`` is untouched.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    text = json.dumps({"format": FORMAT, "format_version": VERSION, **record})
    size = sum(t.nbytes for t in tensors.values()) + len(text) + HEADER_BYTES
    with replacing(path, text=False, size=size) as file:
        try:  # from the tensors' own memory: the bytes as a whole would double it
            save_file(
                tensors, file.name, {"record": text, "sha256": digest(text, tensors)}
            )
        except SafetensorError as error:
            raise OSError(error) from error


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors and record of a file by ``write_checkpoint``, after all its checks.

    Raises:
        CheckpointError: not such a file, cut, changed, or of a newer version.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            path, "must be a readable file", error.strerror, "checkpoint-missing"
        ) from error
    try:
        header_end = 8 + int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8:header_end])["__metadata__"]
        text, expected = metadata["record"], metadata["sha256"]
        tensors = load(content)
        record = json.loads(text)
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            path,
            "must be a whole checkpoint of mscf",
            type(error).__name__,
            "checkpoint-format",
            "start anew, or take another copy",
        ) from error
    found = digest(text, tensors)
    if found != expected:
        raise CheckpointError(
            path,
            "its digest must agree",
            f"{found[:12]} instead of {expected[:12]}",
            "checkpoint-digest",
            "start anew, or take another copy",
        )
    if record.get("format") != FORMAT or record.get("format_version") != VERSION:
        raise CheckpointError(
            path,
            f"must be {FORMAT} version {VERSION}",
            f"{record.get('format')} version {record.get('format_version')}",
            "checkpoint-version",
            "use the mscf that wrote it",
        )
    return tensors, record


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
        CheckpointError: names or shapes differ, or a weight is not finite.
    """
    expected = model.state_dict()
    wrong = sorted(expected.keys() ^ weights.keys()) or [
        name for name, t in weights.items() if t.shape != expected[name].shape
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
            path, "weights must be finite", bad[0], "checkpoint-finite"
        )
    model.load_state_dict(dict(weights))
