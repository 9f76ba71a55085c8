"""Arrays kept of a run in one ``.npz``: written whole, read or refused in one line."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mscf.errors import InputError
from mscf.replacing import replacing

DAMAGED = (  # what reading a damaged file raises, at whichever of its layers
    OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile, zlib.error,
)  # fmt: skip


def write_arrays(path: Path, arrays: Mapping[str, NDArray]) -> None:
    """All arrays in one compressed file, by name.

    Raises:
        StorageError: disk full or no permission; an older file is untouched.
    """
    with replacing(path, text=False) as file:
        np.savez_compressed(file, **arrays)


@contextmanager
def arrays_of(
    path: Path, must: str, check: str, todo: str
) -> Iterator[dict[str, NDArray]]:
    """The arrays of a file, by name; what does not fit in them is told of the file.

    Raises:
        InputError: there is no file, it is damaged, or the block that looks at its
            arrays raised ValueError, TypeError or KeyError.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        yield arrays
    except DAMAGED as error:
        found = getattr(error, "strerror", None) or error
        raise InputError(path, must, found, check, todo) from error


def take_scales(arrays: dict[str, NDArray], kind: str) -> dict[int, NDArray]:
    """Takes ``<kind><channels>`` out of a file's arrays, fewest channels first."""
    names = [name for name in arrays if name.startswith(kind)]
    found = {int(name.removeprefix(kind)): arrays.pop(name) for name in names}
    return dict(sorted(found.items()))
