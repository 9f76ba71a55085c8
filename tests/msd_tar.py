"""Small archives in the layout of MSD's Task03_Liver, sound or hostile."""

import gzip
import io
import json
import random
import tarfile
from pathlib import Path

import numpy as np
from nibabel import Nifti1Image

TOP = "Task03_Liver"


def volume(seed: int, shape=(32, 32, 4), values=(-200, 200)) -> bytes:
    """A sound ``.nii.gz``."""
    voxels = np.random.default_rng(seed).integers(*values, shape).astype(np.int16)
    return gzip.compress(Nifti1Image(voxels, np.eye(4)).to_bytes(), 1, mtime=0)


def noise(seed: int, *_: object) -> bytes:
    """Bytes in place of a volume that nobody reads."""
    return random.Random(seed).randbytes(12_000)


def table(cases: int, tests: int = 0) -> bytes:
    """``dataset.json`` as MSD writes it."""
    pairs = [
        {
            "image": f"./imagesTr/liver_{n}.nii.gz",
            "label": f"./labelsTr/liver_{n}.nii.gz",
        }
        for n in range(cases)
    ]
    test = [f"./imagesTs/liver_{cases + n}.nii.gz" for n in range(tests)]
    return json.dumps(
        {"name": "Liver", "licence": "CC-BY-SA 4.0", "numTraining": cases,
         "numTest": tests, "training": pairs, "test": test}
    ).encode()  # fmt: skip


def layout(
    cases: int, tests: int = 0, seed: int = 0, make=volume
) -> list[tuple[str, bytes]]:
    """Names and contents: folder by folder, in it as a file system lists them."""
    rng = random.Random(seed)
    files = []
    for folder, first, n in (
        ("imagesTs", cases, tests), ("labelsTr", 0, cases), ("imagesTr", 0, cases)
    ):  # fmt: skip
        numbers = list(range(first, first + n))
        rng.shuffle(numbers)
        for k in numbers:
            values = (0, 3) if folder == "labelsTr" else (-200, 200)
            shape = (64, 64, 14 + k % 5)  # so long that headers are not near each other
            files.append((f"{folder}/liver_{k}.nii.gz", make(k, shape, values)))
    files.insert(len(files) // 2, ("dataset.json", table(cases, tests)))
    return files


def add(tar: tarfile.TarFile, name: str, content: bytes = b"", **attributes) -> None:
    """A member with whatever attributes."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    tar.addfile(info, io.BytesIO(content))


def write_tar(
    path: Path,
    files: list[tuple[str, bytes]],
    mac: bool = False,
    form: int = tarfile.USTAR_FORMAT,
) -> Path:
    """The files below ``Task03_Liver``; ``mac``: each behind its ``._`` twin."""
    with tarfile.open(path, "w", format=form) as tar:
        for folder in ("", "/imagesTs", "/labelsTr", "/imagesTr"):
            add(tar, TOP + folder, type=tarfile.DIRTYPE)
        for name, content in files:
            folder, _, last = f"{TOP}/{name}".rpartition("/")
            headers = {"SCHILY.xattr.com.apple": "x" * 40} if mac else {}
            if mac:
                add(tar, f"{folder}/._{last}", b"\x00\x05\x16\x07" + bytes(210))
            add(tar, f"{folder}/{last}", content, pax_headers=headers)
    return path
