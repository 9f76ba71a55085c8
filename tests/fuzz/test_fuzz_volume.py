"""Damaged volumes: what was there, a declared repair, or one line. Never other voxels.

A header may say another scale of grey values, and nothing tells that it is wrong; all
else is said twice, by the file or by its labels, or is refused.
"""

import gzip
import random

import numpy as np
import pytest
from mutating import fuzz
from small_folder import HEADER, Folder, put, with_fields

from mscf.data.cases import find_cases
from mscf.data.phantom import make_phantoms
from mscf.data.whole_case import WholeCase, read_case

HEADERS = pytest.mark.claim(
    "input", "a damaged header ends equal, with a warning, or in one line"
)
STREAMS = pytest.mark.claim(
    "input", "a damaged gzip stream ends in the same voxels or in one line"
)
SCALE = {"scl_slope", "scl_inter"}  # what no reader can doubt
SILENT = [  # what says nothing of voxels or their place
    "data_type", "db_name", "extents", "session_error", "regular", "dim_info",
    "intent_p1", "intent_p2", "intent_p3", "intent_code", "slice_start", "slice_end",
    "slice_code", "cal_max", "cal_min", "slice_duration", "toffset", "glmax", "glmin",
    "descrip", "aux_file", "intent_name",
]  # fmt: skip


def long(n: int) -> pytest.param:
    return pytest.param(n, marks=(pytest.mark.slow, pytest.mark.timeout(7200)))


@pytest.fixture(scope="session")
def phantom(tmp_path_factory):
    """Do not write here."""
    folder = tmp_path_factory.mktemp("fuzz") / "cases"
    return make_phantoms(folder, cases=1, seed=0, size=64, processes=1)


@pytest.fixture
def folder(phantom, tmp_path) -> Folder:
    """The middle of a phantom, so that many can be tried."""
    made = Folder(tmp_path / "cases", phantom)
    made.write(made.hu[..., 28:36], made.labels[..., 28:36])
    return made


def read(folder: Folder) -> WholeCase:
    return read_case(find_cases(folder.path)[0])


def same(case: WholeCase, clean: WholeCase) -> bool:
    return (
        np.array_equal(case.volume.voxels, clean.volume.voxels)
        and np.array_equal(case.labels, clean.labels)
        and np.allclose(case.volume.affine, clean.volume.affine, atol=1e-2)
        and case.spacing_known == clean.spacing_known
    )


def field_damaged(content: bytes, seed: int) -> bytes:
    """One field at a limit, two exchanged, or one to eight bytes of the header."""
    rng = random.Random(seed)
    header = np.frombuffer(content[:348], HEADER)[0]
    how = rng.choice(["limit", "limit", "limit", "exchange", "bytes"])
    if how == "bytes":
        changed = bytearray(content)
        for _ in range(rng.randint(1, 8)):
            changed[rng.randrange(352)] = rng.randrange(256)
        return bytes(changed)
    name = rng.choice(HEADER.names)
    field = np.array(header[name])
    if field.dtype.kind == "S":
        return with_fields(content, **{name: rng.randbytes(field.dtype.itemsize)})
    if how == "exchange" and field.size > 1:
        i, j = rng.sample(range(field.size), 2)
        field[i], field[j] = field[j], field[i]
    else:
        info = np.iinfo if field.dtype.kind in "iu" else np.finfo
        limits = [0, 1, info(field.dtype).min, info(field.dtype).max]
        limits += [-1] if field.dtype.kind != "u" else []
        limits += [np.nan, np.inf] if field.dtype.kind == "f" else []
        field.flat[rng.randrange(field.size)] = rng.choice(limits)
    return with_fields(content, **{name: field})


@HEADERS
@pytest.mark.parametrize("n", [300, long(10_000)])
def test_a_damaged_header_gives_the_same_case_a_repair_or_one_line(
    n, folder, shows
) -> None:
    clean = read(folder)
    folder.plain()
    before = np.frombuffer(folder.image.read_bytes()[:348], HEADER)[0]

    def sound(case: WholeCase) -> bool:
        now = np.frombuffer(folder.image.read_bytes()[:348], HEADER)[0]
        rescaled = any(now[name].tobytes() != before[name].tobytes() for name in SCALE)
        said = len(case.repairs) > len(clean.repairs)
        return rescaled or said or same(case, clean)

    ends = fuzz(folder.image, field_damaged, range(n), lambda: read(folder), sound)
    assert ends["refused"] > n / 10
    shows(n, f"{ends['refused']} of {n} refused")


@HEADERS
@pytest.mark.parametrize("name", SILENT)
def test_header_bytes_without_a_meaning_change_nothing(name, folder) -> None:
    clean = read(folder)
    content = gzip.decompress(folder.image.read_bytes())
    start, size = HEADER.fields[name][1], HEADER.fields[name][0].itemsize
    noise = random.Random(0).randbytes(size)
    put(folder.image, content[:start] + noise + content[start + size :])
    case = read(folder)
    assert case.repairs == clean.repairs
    assert case.volume.voxels.tobytes() == clean.volume.voxels.tobytes()
    assert np.array_equal(case.volume.affine, clean.volume.affine)


def stream_damaged(content: bytes, seed: int) -> bytes:
    """A bit, a cut, a block inserted or doubled, a second member, another trailer."""
    rng = random.Random(seed)
    at = rng.randrange(len(content))
    how = rng.choice(["bit", "bit", "bit", "cut", "insert", "double", "member", "end"])
    if how == "bit":
        changed = bytearray(content)
        changed[at] ^= 1 << rng.randrange(8)
        return bytes(changed)
    if how == "cut":
        return content[:at]
    if how == "insert":
        return content[:at] + rng.randbytes(rng.randint(1, 64)) + content[at:]
    if how == "double":
        return content[:at] + content[max(0, at - 64) :]
    if how == "member":
        return content + gzip.compress(bytes(rng.randint(1, 1000)))
    return content[:-8] + rng.randbytes(8)


@STREAMS
@pytest.mark.parametrize("n", [100, long(2_000)])
def test_a_damaged_stream_gives_the_same_voxels_or_one_line(n, folder, shows) -> None:
    clean = read(folder)
    ends = fuzz(
        folder.image,
        stream_damaged,
        range(n),
        lambda: read(folder),
        lambda case: same(case, clean),
    )
    assert ends["refused"] > n / 2
    shows(n, f"{ends['refused']} of {n} refused")
