"""Damaged checkpoints: all flipped bits refused, and nothing half in the model."""

import json
import random

import mutating
import pytest
import torch
from mutating import fuzz
from torch import nn

from mscf.checkpoint import digest, load_weights, read_checkpoint, write_checkpoint
from mscf.errors import MscfError

LONG = pytest.mark.slow, pytest.mark.timeout(3600)
RECORD = {"method": "mscf", "image_size": 192, "epoch": 3, "settings": {"seed": 0}}


class Reading:
    """A checkpoint, a network to read it into, and whether that was left as it is."""

    def __init__(self, folder) -> None:
        torch.manual_seed(0)
        self.path = folder / "best.ckpt"
        self.network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        self.written = {n: t.clone() for n, t in self.network.state_dict().items()}
        write_checkpoint(self.path, self.written, RECORD)
        _, self.record = read_checkpoint(self.path)

    def read(self) -> dict:
        network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        before = {n: t.clone() for n, t in network.state_dict().items()}
        try:
            tensors, record = read_checkpoint(self.path)
            load_weights(network, tensors, self.path)
        except MscfError:
            assert same(network.state_dict(), before), "half of it is in the model"
            raise
        self.network = network
        return record

    def equal(self, record: dict) -> bool:
        weights = same(self.network.state_dict(), self.written)
        return record == self.record and weights


def same(one: dict, two: dict) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[n], two[n]) for n in one)


@pytest.fixture
def reading(tmp_path) -> Reading:
    return Reading(tmp_path)


def seeded(damage):
    return lambda content, seed: damage(content, random.Random(seed))


@pytest.mark.claim("checkpoints", "A flipped bit is refused")
@pytest.mark.parametrize("n", [50, pytest.param(1500, marks=LONG)])
def test_every_flipped_bit_is_refused(n, reading, shows) -> None:
    damage = seeded(mutating.flip)
    ends = fuzz(reading.path, damage, range(n), reading.read, reading.equal)
    assert ends["refused"] == n
    shows(tried=n)


@pytest.mark.claim("checkpoints", "A flipped bit is refused")
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_all_bits_of_a_checkpoint_one_after_another_are_refused(reading, shows) -> None:
    def damage(content: bytes, at: int) -> bytes:
        changed = bytearray(content)
        changed[at // 8] ^= 1 << at % 8
        return bytes(changed)

    bits = range(reading.path.stat().st_size * 8)
    ends = fuzz(reading.path, damage, bits, reading.read, reading.equal)
    assert ends["refused"] == len(bits)
    shows(tried=len(bits))


@pytest.mark.claim("checkpoints", "A file that was cut off is refused")
@pytest.mark.parametrize("n", [17, pytest.param(500, marks=LONG)])
def test_every_cut_is_refused(n, reading, shows) -> None:
    damage = seeded(mutating.cut)
    ends = fuzz(reading.path, damage, range(n), reading.read, reading.equal)
    assert ends["refused"] == n
    shows(tried=n)


def edit(content: bytes, seed: int, redigest: bool = False) -> bytes:
    """The header's JSON or the record in it edited."""
    rng = random.Random(seed)
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    if rng.random() < 0.5 or redigest:
        metadata = header["__metadata__"]
        edited = mutating.edit_json(metadata["record"].encode(), rng).decode()
        metadata["record"] = edited
        if redigest:
            from safetensors.torch import load

            metadata["sha256"] = digest(edited, load(content))
        text = json.dumps(header).encode()
    else:
        text = mutating.edit_json(content[8:end], rng)
    return len(text).to_bytes(8, "little") + text + content[end:]


@pytest.mark.claim("checkpoints", "An edit of the header is refused or changes nothing")
@pytest.mark.parametrize("n", [33, pytest.param(1000, marks=LONG)])
def test_every_edit_of_the_header_is_refused_or_changes_nothing(
    n, reading, shows
) -> None:
    ends = fuzz(reading.path, edit, range(n), reading.read, reading.equal)
    shows(tried=n, shown=f"{ends['refused']} of {n} refused")


@pytest.mark.claim(
    "checkpoints", "a record made up under a good digest ends in one line or well"
)
def test_a_record_that_says_other_things_under_a_good_digest_ends_well(
    reading, shows
) -> None:
    """It is a whole checkpoint, of another run: what it says is the reader's to check.

    Such a file is made on purpose and not by a damage.
    """
    damage = lambda content, seed: edit(content, seed, redigest=True)  # noqa: E731
    fuzz(reading.path, damage, range(60), reading.read, lambda _: True)
    shows(tried=60)


@pytest.mark.claim(
    "checkpoints", "tensors of another network are refused, and none is loaded"
)
def test_tensors_of_another_type_are_refused(reading) -> None:
    other = {n: t.to(torch.int64) for n, t in reading.written.items()}
    write_checkpoint(reading.path, other, RECORD)
    with pytest.raises(MscfError):
        reading.read()
