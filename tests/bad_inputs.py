"""The 40 bad inputs, each in three variants or more: a folder of one small phantom,
spoilt in one way, and what it must end as. `data/test_bad_input.py` tries them.
"""

import gzip
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from small_dicom import hu as dicom_hu
from small_dicom import position, without_preamble, write_series, write_slice
from small_folder import PAIR, Folder, nifti_bytes, put, with_fields

from mscf.data.verify import REFUSED, SOUND, WARNING

ROOT = os.name == "posix" and os.geteuid() == 0


@dataclass(frozen=True)
class Bad:
    """A row: what must come of the variants, and what of them equals the clean case."""

    number: int
    check: str
    sentence: str
    outcome: str
    variants: dict[str, Callable[[Folder], Path | None]]
    equal: bool = False
    images: bool = False


def spoilt(change: Callable[[bytes], bytes], plain: bool = False):
    """A variant that changes the bytes of the image's file."""

    def spoil(folder: Folder) -> None:
        if plain:
            folder.plain()
        folder.image.write_bytes(change(folder.image.read_bytes()))

    return spoil


def with_header(packed: bool = False, **fields):
    """A variant whose image has other values in its header."""

    def spoil(folder: Folder) -> None:
        if packed:
            content = gzip.decompress(folder.image.read_bytes())
            put(folder.image, with_fields(content, **fields))
        else:
            folder.plain()
            content = folder.image.read_bytes()
            folder.image.write_bytes(with_fields(content, **fields))

    return spoil


def image(change: Callable[[np.ndarray], np.ndarray]):
    """A variant with other voxels."""
    return lambda folder: folder.write(image=change(folder.hu.copy()))


def label(change: Callable[[np.ndarray], np.ndarray]):
    """A variant with other labels."""
    return lambda folder: folder.write(label=change(folder.labels.copy()))


def label_at(change: np.ndarray):
    """A variant whose labels lie elsewhere."""
    return lambda folder: folder.write(
        label=folder.labels, affine=folder.affine @ change
    )


def both_at(turn: np.ndarray):
    """A variant whose image and labels lie otherwise in the scanner."""
    return lambda folder: folder.write_both(affine=turn @ folder.affine)


def flipped_bit(at: Callable[[int], int]):
    """A variant with one bit of the file changed."""

    def change(content: bytes) -> bytes:
        content, place = bytearray(content), at(len(content))
        content[place] ^= 16
        return bytes(content)

    return spoilt(change)


def dims(*sides: int, n: int | None = None) -> dict:
    """The header's field of sides."""
    field = np.ones(8, np.int16)
    field[0] = len(sides) if n is None else n
    field[1 : 1 + len(sides)] = sides
    return {"dim": field}


def sizes(value: float, codes: dict) -> dict:
    """Header fields of a file that says its place by sizes of voxels alone."""
    return {"pixdim": [1, value, 5, 2.5, 0, 0, 0, 0], **codes}


def turn(degrees: float) -> np.ndarray:
    """A rotation about the axis from right to left."""
    matrix = np.eye(4)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    matrix[1:3, 1:3] = [[c, -s], [s, c]]
    return matrix


def moved(x: float) -> np.ndarray:
    """Voxels along the first axis."""
    return np.eye(4) + x * np.eye(4, k=3)


def at(value: float, dtype: type, where=(20, 20, 20)):
    """Voxels or labels of a type with one value in one place, or places."""

    def change(voxels: np.ndarray) -> np.ndarray:
        voxels = voxels.astype(dtype)
        voxels[where] = value
        return voxels

    return change


def without_label(folder: Folder) -> None:
    folder.label.unlink()


def lits_label_alone(folder: Folder) -> Path:
    place = folder.path / "lits"
    place.mkdir()
    folder.label.rename(place / "segmentation-3.nii.gz")
    return place


def twice(folder: Folder) -> None:
    folder.plain()
    put(folder.image.with_name("liver_0.nii.gz"), folder.image.read_bytes())


def other_case(folder: Folder) -> None:
    put(folder.image.with_name("LIVER_0.nii.gz"), b"")


def linked(folder: Folder) -> None:
    elsewhere = folder.path.parent / "elsewhere.nii.gz"
    folder.image.rename(elsewhere)
    folder.image.symlink_to(elsewhere)


def dangling(folder: Folder) -> None:
    folder.image.unlink()
    folder.image.symlink_to(folder.path / "nowhere.nii.gz")


def a_folder(folder: Folder) -> None:
    folder.image.unlink()
    folder.image.mkdir()


def a_pipe(folder: Folder) -> None:
    folder.image.unlink()
    os.mkfifo(folder.image)


def forbidden(folder: Folder) -> None:
    folder.image.chmod(0)


def bomb_of_zeros(folder: Folder) -> None:
    """8 MB that unpack to 8 GB."""
    head = with_fields(nifti_bytes(folder.hu, folder.affine), **dims(2048, 2048, 1000))
    packer = zlib.compressobj(9, wbits=31)
    content = packer.compress(head[:352]) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(2**24)) + packer.flush(zlib.Z_FULL_FLUSH)
    folder.image.write_bytes(content + 500 * zeros)


def colours(*names: str):
    def change(hu: np.ndarray) -> np.ndarray:
        return np.zeros(hu.shape, [(name, "u1") for name in names])

    return image(change)


def no_place(**codes: int):
    return lambda folder: folder.write_both(**codes)


def of_lits_28(folder: Folder) -> None:
    """512 x 512 pixels of one millimetre."""
    hu, labels = (np.kron(x[..., 28:34], np.ones((8, 8, 1), x.dtype))
                  for x in (folder.hu, folder.labels))  # fmt: skip
    folder.write(hu, labels, affine=np.diag([-1.0, -1.0, 1.0, 1.0]))


def label_without_place(folder: Folder) -> None:
    folder.write(label=folder.labels, sform_code=0, qform_code=0)


def qform(change: np.ndarray):
    return lambda folder: folder.write_both(qform=folder.affine @ change)


def stored_as(codes: str):
    def store(folder: Folder) -> None:
        for path, voxels in ((folder.image, folder.hu), (folder.label, folder.labels)):
            now = nib.Nifti1Image(voxels, folder.affine)
            ornt = nib.orientations.ornt_transform(
                nib.orientations.io_orientation(now.affine),
                nib.orientations.axcodes2ornt(codes),
            )
            now = now.as_reoriented(ornt)
            put(path, nifti_bytes(np.asarray(now.dataobj), now.affine))

    return store


def mirrored(axis: int):
    """Image and labels flipped under an affine that does not tell."""
    return lambda f: f.write(np.flip(f.hu, axis), np.flip(f.labels, axis))


def slices(part):
    return lambda f: f.write(f.hu[..., part], f.labels[..., part])


def away(labels: np.ndarray) -> np.ndarray:
    """A tumour of a few voxels behind the liver."""
    labels[31:33, 50:52, 20:22] = 2
    return labels


def into_air(folder: Folder) -> None:
    """Tumour in the lungs as well."""
    lungs = (folder.hu < -500) & (np.arange(48) > 40)
    folder.write(label=np.where(lungs, 2, folder.labels).astype(np.uint8))


def numbered_otherwise(folder: Folder) -> Path:
    return write_series(folder.path / "ct", dicom_hu(), order=[2, 0, 4, 1, 3])


def named_otherwise(folder: Folder) -> Path:
    ct = write_series(folder.path / "ct", dicom_hu())
    for k, path in enumerate(sorted(ct.iterdir())):
        path.rename(ct / f"{(3 * k) % 5}-{k}.dcm")
    return ct


def feet_first(folder: Folder) -> Path:
    directions = ((-1, 0, 0), (0, 1, 0), (0, 0, -1))
    return write_series(folder.path / "ct", dicom_hu(), directions=directions)


def slice_missing(folder: Folder) -> Path:
    ct = write_series(folder.path / "ct", dicom_hu())
    (ct / "002.dcm").unlink()
    return ct


def slice_twice(folder: Folder) -> Path:
    ct = write_series(folder.path / "ct", dicom_hu())
    write_slice(ct / "9.dcm", dicom_hu()[:, :, 0], position(2))
    return ct


def two_sizes(folder: Folder) -> Path:
    ct = write_series(folder.path / "ct", dicom_hu())
    write_slice(ct / "9.dcm", dicom_hu()[:-1, :, 0], position(5))
    return ct


def tilted(folder: Folder) -> Path:
    for k in range(5):
        place = position(k) + np.array([0, k * 2.5 * np.tan(np.radians(10)), 0])
        write_slice(folder.path / "ct" / f"{k}.dcm", dicom_hu()[:, :, k], place)
    return folder.path / "ct"


def uneven(folder: Folder) -> Path:
    """Steps of 2.5 mm, then of 2.9."""
    for k in range(11):
        place = position(k) + np.array([0, 0, 0.4 * max(0, k - 5)])
        write_slice(folder.path / "ct" / f"{k:02}.dcm", dicom_hu()[:, :, k % 5], place)
    return folder.path / "ct"


def one_aside(folder: Folder) -> Path:
    ct = write_series(folder.path / "ct", dicom_hu())
    place = position(2) + np.array([0, 20, 0])
    write_slice(ct / "002.dcm", dicom_hu()[:, :, 2], place)
    return ct


def in_units(code: int, unit: float, labels: bool = True):
    """Sizes and place in other units than mm, of the image and perhaps its labels."""
    affine = np.diag([unit, unit, unit, 1])

    def write(folder: Folder) -> None:
        label = folder.labels if labels else None
        place = affine @ folder.affine
        folder.write(folder.hu, label, affine=place, xyzt_units=code)

    return write


def thick_along(axis: int):
    """Voxels three times as long along an axis of the file that lies in a slice."""
    return lambda f: f.write_both(
        affine=f.affine * np.where(np.arange(4) == axis, 3, 1)
    )


def of_kind(kind: str, **how):
    """A DICOM series with this image type."""
    return lambda f: write_series(
        f.path / "ct", dicom_hu(), **{"0008_0008": f"ORIGINAL\\PRIMARY\\{kind}"}, **how
    )


def scout_among(folder: Folder) -> Path:
    ct = write_series(folder.path / "ct", dicom_hu())
    kind = {"0008_0008": "ORIGINAL\\PRIMARY\\LOCALIZER"}
    write_slice(ct / "9.dcm", dicom_hu()[:-1, :, 0], position(5), **kind)
    return ct


def left_out(*names: str):
    """A DICOM series whose files of these names lack its mark."""

    def spoil(folder: Folder) -> Path:
        ct = write_series(folder.path / "ct", dicom_hu())
        for name in names:
            without_preamble(ct / name)
        return ct

    return spoil


def strange_file(folder: Folder) -> Path:
    ct = write_series(folder.path / "ct", dicom_hu())
    (ct / "IM0006").write_bytes(bytes(200))
    return ct


def text_file(folder: Folder) -> Path:
    (folder.path / "file").write_text("no folder")
    return folder.path / "file"


def empty_folder(folder: Folder) -> Path:
    (folder.path / "empty").mkdir()
    return folder.path / "empty"


def table(text: str):
    """A variant with this ``dataset.json``."""

    def write(folder: Folder) -> None:
        (folder.path / "dataset.json").write_text(text)

    return write


def shear(degrees: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[1, 2] = np.tan(np.radians(degrees))
    return matrix


NO_SFORM = {"sform_code": 0, "qform_code": 1}
PAGE = b"<html>no such file</html>" * 40
BAD = (
    Bad(
        1,
        "folder-missing",
        "a folder that is not there, no folder, or empty",
        REFUSED,
        {
            "none": lambda f: f.path / "none",
            "a file": text_file,
            "empty": empty_folder,
        },
    ),
    Bad(
        2,
        "pair-incomplete",
        "an image or labels alone",
        REFUSED,
        {
            "image alone": without_label,
            "labels alone": lits_label_alone,
            "listed": lambda f: f.listed(
                PAIR, {**PAIR, "image": "imagesTr/liver_1.nii.gz"}
            ),
        },
    ),
    Bad(
        3,
        "dataset-json",
        "a table of cases that makes no sense or leaves its folder",
        REFUSED,
        {
            "cut": table('{"training": ['),
            "no list": table("{}"),
            "outside": lambda f: f.listed({**PAIR, "image": "../x.nii.gz"}),
            "absolute": lambda f: f.listed({**PAIR, "image": "/x.nii.gz"}),
        },
    ),
    Bad(
        4,
        "case-duplicate",
        "two files of one case",
        REFUSED,
        {
            "two endings": twice,
            "listed twice": lambda f: f.listed(PAIR, PAIR),
            "upper and lower case": other_case,
        },
    ),
    Bad(
        5,
        "path-odd",
        "an odd name or a link",
        WARNING,
        {
            "accent": lambda f: f.rename("Leber Zo\u00eb"),
            "accent in two parts": lambda f: f.rename("Leber Zoe\u0308"),
            "dash and newline": lambda f: f.rename("-rf\nx"),
            "link": linked,
        },
        equal=True,
    ),
    Bad(
        6,
        "unreadable",
        "a file that cannot be read",
        REFUSED,
        {
            "dangling link": dangling,
            "a folder": a_folder,
            "a pipe": a_pipe,
            **({} if ROOT else {"no permission": forbidden}),
        },
    ),
    Bad(
        7,
        "gz-truncated",
        "a gzip stream that ends early",
        REFUSED,
        {
            "half": spoilt(lambda b: b[: len(b) // 2]),
            "64 bytes": spoilt(lambda b: b[:-64]),
            "4 bytes": spoilt(lambda b: b[:-4]),
        },
    ),
    Bad(
        8,
        "gz-corrupt",
        "a flipped bit in a gzip stream",
        REFUSED,
        {
            "body": flipped_bit(lambda n: n // 2),
            "sum": flipped_bit(lambda n: n - 6),
            "length": flipped_bit(lambda n: n - 3),
        },
    ),
    Bad(
        9,
        "gz-mismatch",
        "a file that is not what its name says",
        REFUSED,
        {
            "plain as .gz": spoilt(gzip.decompress),
            "gzip as .nii": spoilt(lambda b: gzip.compress(b, mtime=0), plain=True),
            "zip": spoilt(lambda b: b"PK\x03\x04" + b),
        },
    ),
    Bad(
        10,
        "file-short",
        "a file with fewer voxels than it promises",
        REFUSED,
        {
            "last byte": spoilt(lambda b: b[:-1], plain=True),
            "half": spoilt(lambda b: b[: len(b) // 2], plain=True),
            "whole gzip": with_header(packed=True, **dims(64, 64, 50)),
        },
    ),
    Bad(
        11,
        "not-nifti",
        "a file that is no NIfTI",
        REFUSED,
        {
            "0 bytes": spoilt(lambda b: b""),
            "a page": spoilt(lambda b: PAGE),
            "magic": with_header(magic=b"nix"),
            "a pair's header": with_header(magic=b"ni1"),
            "header cut": spoilt(lambda b: b[:200], plain=True),
            "voxels in the header": with_header(vox_offset=0),
        },
    ),
    Bad(
        12,
        "dims-bomb",
        "sides that no memory holds, before anything is unpacked",
        REFUSED,
        {
            "plain": with_header(**dims(32767, 32767, 32767)),
            "gzip": with_header(packed=True, **dims(32767, 32767, 32767)),
            "8 MB for 8 GB": bomb_of_zeros,
        },
    ),
    Bad(
        13,
        "dims-invalid",
        "sides that are none",
        REFUSED,
        {
            "zero": with_header(**dims(64, 0, 48)),
            "negative": with_header(**dims(64, -60, 48)),
            **{f"dim {n}": with_header(**dims(64, 64, 48, n=n)) for n in (0, 2, 9)},
        },
    ),
    Bad(
        14,
        "four-d",
        "more than three axes",
        REFUSED,
        {
            "2": image(lambda v: np.stack([v] * 2, 3)),
            "5": image(lambda v: np.stack([v] * 5, 3)),
            "vectors": image(lambda v: np.stack([v] * 3, 3)[..., None, :]),
        },
    ),
    Bad(
        15,
        "voxel-type",
        "voxels that are no real numbers",
        REFUSED,
        {
            "RGB": colours("R", "G", "B"),
            "RGBA": colours("R", "G", "B", "A"),
            "complex": image(lambda v: v.astype(np.complex64)),
        },
    ),
    Bad(
        16,
        "nonfinite",
        "NaN and infinity",
        REFUSED,
        {
            "NaN": image(at(np.nan, np.float32)),
            "infinity": image(at(np.inf, np.float32)),
            "slice": image(at(np.nan, np.float32, np.s_[..., 7])),
            "label": label(at(np.nan, np.float32)),
        },
    ),
    Bad(
        17,
        "not-hu",
        "grey values that are no HU",
        REFUSED,
        {
            "uint16 + 1024": image(lambda v: (v + 1024).clip(0).astype(np.uint16)),
            "int16 + 1024": image(lambda v: (v + 1024).astype(np.int16)),
            "int16 - 1024": image(lambda v: (v - 1024).astype(np.int16)),
            "8 bit": image(
                lambda v: np.interp(v, (-160, 240), (0, 255)).astype(np.uint8)
            ),
            "0 to 1": image(
                lambda v: np.interp(v, (-160, 240), (0, 1)).astype(np.float32)
            ),
        },
    ),
    Bad(
        18,
        "constant",
        "an image that shows nothing",
        REFUSED,
        {
            "0": image(np.zeros_like),
            "-1024": image(lambda v: np.full_like(v, -1024)),
            "two values": image(lambda v: np.where(v > 0, 40, -1000).astype(np.int16)),
        },
    ),
    Bad(
        19,
        "scaling",
        "a slope that is none: 1 is taken",
        WARNING,
        {
            "0": with_header(scl_slope=0),
            "NaN": with_header(scl_slope=np.nan, scl_inter=np.nan),
            "infinity": with_header(scl_slope=np.inf),
        },
        equal=True,
    ),
    Bad(
        20,
        "header-odd",
        "big-endian numbers, extensions, axes of one",
        WARNING,
        {
            "big-endian": lambda f: f.write(f.hu.astype(">i2"), order=">"),
            "extension": lambda f: f.write(f.hu, extension=b"Jane Doe"),
            "axis of one": image(lambda v: v[..., None]),
        },
        equal=True,
    ),
    Bad(
        21,
        "shape-mismatch",
        "labels of another shape",
        REFUSED,
        {
            "a slice short": label(lambda v: v[..., :-1]),
            "exchanged": lambda f: f.write(f.hu[:50], f.labels[:50].transpose(1, 0, 2)),
            "coarser": label(lambda v: v[::2, ::2]),
        },
    ),
    Bad(
        22,
        "affine-mismatch",
        "labels that lie elsewhere",
        REFUSED,
        {
            "flipped": label_at(np.diag([1, -1, 1, 1])),
            "twice": label_at(np.diag([2, 2, 1, 1])),
            "50 mm": label_at(moved(50 / 5.6)),
        },
    ),
    Bad(
        23,
        "affine-drift",
        "labels less than half a voxel away",
        WARNING,
        {
            "0.2 voxels": label_at(moved(0.2)),
            "1e-4": label_at(np.diag([1.0001, 1, 1, 1])),
            "no place": label_without_place,
        },
        equal=True,
    ),
    Bad(
        24,
        "geometry-invalid",
        "a place or size that is none",
        REFUSED,
        {
            "0 mm": with_header(**sizes(0, NO_SFORM)),
            "negative": with_header(**sizes(-5, NO_SFORM)),
            "NaN mm": with_header(**sizes(np.nan, NO_SFORM)),
            "NaN": with_header(srow_x=[np.nan, 0, 0, 0]),
            "singular": with_header(srow_x=0),
        },
    ),
    Bad(
        25,
        "geometry-unknown",
        "a place that is not said: no millimetre is read",
        WARNING,
        {
            "codes 0": no_place(sform_code=0, qform_code=0),
            "code 77": no_place(sform_code=77, qform_code=0),
            "LiTS": of_lits_28,
        },
    ),
    Bad(
        26,
        "geometry-disagree",
        "two places that disagree: sform is taken",
        WARNING,
        {
            "flipped": qform(np.diag([1, -1, 1, 1])),
            "5 degrees": qform(turn(5)),
            "origins": qform(moved(3)),
        },
        equal=True,
    ),
    Bad(
        27,
        "oblique",
        "axes askew by 5 and 30 degrees, or sheared",
        WARNING,
        {
            "5": both_at(turn(5)),
            "30": both_at(turn(30)),
            "shear": both_at(shear(12)),
        },
        equal=True,
    ),
    Bad(
        27,
        "oblique",
        "axes askew by 45 degrees",
        REFUSED,
        {
            "44": both_at(turn(44)),
            "45": both_at(turn(45)),
            "46": both_at(turn(46)),
        },
    ),
    Bad(
        28,
        "orientation",
        "axes in another order or direction",
        SOUND,
        {
            "RAS": stored_as("RAS"),
            "mirrored": stored_as("RPS"),
            "slices first": stored_as("SLP"),
        },
        equal=True,
    ),
    Bad(
        29,
        "anatomy-suspect",
        "a body that is mirrored under its affine",
        WARNING,
        {
            "left-right": mirrored(0),
            "front-back": mirrored(1),
            "head-foot": mirrored(2),
        },
    ),
    Bad(
        30,
        "slice-count",
        "1, 2 and 2,016 slices",
        SOUND,
        {
            "1": slices(np.s_[30:31]),
            "2": slices(np.s_[30:32]),
            "2016": slices(np.repeat(np.arange(48), 42)),
        },
    ),
    Bad(
        31,
        "label-values",
        "labels beside 0, 1, 2",
        REFUSED,
        {
            "3": label(at(3, np.uint8)),
            "255": label(at(255, np.uint8)),
            "-1": label(at(-1, np.int16)),
            "0.5": label(at(0.5, np.float32)),
        },
    ),
    Bad(
        32,
        "label-float",
        "labels stored as floats: they are rounded",
        WARNING,
        {
            "float32": label(lambda v: v.astype(np.float32)),
            "float64": label(lambda v: v.astype(np.float64)),
            "scaled": lambda f: f.write(
                label=(f.labels * 127.5).astype(np.uint8), scl_slope=2 / 255
            ),
        },
        equal=True,
    ),
    Bad(
        33,
        "no-tumour",
        "a folder without any tumour",
        REFUSED,
        {
            "liver only": label(lambda v: v.clip(0, 1)),
            "nothing": label(np.zeros_like),
            "one slice": slices(np.s_[:1]),
        },
    ),
    Bad(
        34,
        "tumour-outside-liver",
        "tumour away from the liver or in air",
        WARNING,
        {
            "away": label(away),
            "alone": label(lambda v: np.where(v == 2, v, 0)),
            "in air": into_air,
        },
    ),
    Bad(
        35,
        "dicom-order",
        "a DICOM series in any order: sorted by place",
        SOUND,
        {
            "numbers": numbered_otherwise,
            "names": named_otherwise,
            "feet first": feet_first,
        },
        images=True,
    ),
    Bad(
        36,
        "dicom-gap",
        "a DICOM series with a slice missing, double, tilted",
        REFUSED,
        {
            "missing": slice_missing,
            "twice": slice_twice,
            "two sizes": two_sizes,
            "tilted": tilted,
            "uneven": uneven,
            "one aside": one_aside,
        },
        images=True,
    ),
    Bad(
        37,
        "units",
        "sizes in metres or micrometres: read as mm",
        WARNING,
        {
            "metres": in_units(1, 1e-3),
            "micrometres": in_units(3, 1e3),
            "labels in mm": in_units(1, 1e-3, labels=False),
        },
        equal=True,
    ),
    Bad(
        38,
        "not-axial",
        "slices that are coronal or sagittal, by the sizes of their voxels",
        WARNING,
        {
            "coronal": thick_along(1),
            "sagittal": thick_along(0),
            "coronal and askew": lambda f: f.write_both(
                affine=turn(5) @ f.affine @ np.diag([1, 3, 1, 1])
            ),
        },
        equal=True,
    ),
    Bad(
        39,
        "dicom-localizer",
        "scout views of a DICOM series",
        REFUSED,
        {
            "alone": of_kind("LOCALIZER"),
            "coronal": of_kind(
                "LOCALIZER", directions=((1, 0, 0), (0, 0, -1), (0, 1, 0))
            ),
            "among slices": scout_among,
        },
        images=True,
    ),
    Bad(
        40,
        "dicom-left-out",
        "files in a DICOM series that do not begin as DICOM does",
        WARNING,
        {
            "the last": left_out("004.dcm"),
            "the last two": left_out("003.dcm", "004.dcm"),
            "another": strange_file,
        },
        images=True,
    ),
)
