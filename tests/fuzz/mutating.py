"""Seeded damage to files, and what must come of it."""

import csv
import io
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from mscf.errors import MscfError

SECONDS, MEGABYTES = 2, 300  # the most that one input may take
# Put in as text, as no JSON writer makes them: too deep, too long, no number of JSON.
RAW = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "deeper": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "long": "1" * 10_000_000,
    "large": "1e999",
    "nan": "NaN",
}
VALUES = [
    None, True, False, 0, -1, 2**63, 10**400, 0.5, "", "text", "=1+1", "\x00", "\ud800",
    "9" * 5000, [], [1], {}, {"a": 1}, [[]], *(f"@{name}@" for name in RAW),
]  # fmt: skip
CELLS = ["", "text", "=1+1", "-1", "0.5", "nan", "inf", "1e999", "9" * 5000, '"', '"x',
         "a,b", "\x00", "True", "1_0", " 1"]  # fmt: skip


def flip(content: bytes, rng: random.Random) -> bytes:
    """One bit."""
    at = rng.randrange(len(content) * 8)
    changed = bytearray(content)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


def cut(content: bytes, rng: random.Random) -> bytes:
    """The end missing."""
    return content[: rng.randrange(len(content))]


def overwrite(content: bytes, rng: random.Random) -> bytes:
    """One to eight bytes."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(content))] = rng.randrange(256)
    return bytes(changed)


def edit_json(content: bytes, rng: random.Random) -> bytes:
    """A key dropped, added, renamed or given a value of another kind."""
    tree = json.loads(content)
    places = list(containers(tree))
    place = rng.choice(places)
    keys = list(place) if isinstance(place, dict) else list(range(len(place)))
    value = rng.choice(VALUES)
    how = rng.choice(["drop", "add", "rename", "set", "set", "set", "whole"])
    if how == "whole" or not keys:
        tree = value
    elif how == "drop":
        del place[rng.choice(keys)]
    elif how == "set":
        place[rng.choice(keys)] = value
    elif isinstance(place, list):
        place.append(value)
    elif how == "add":
        place["unknown"] = value
    else:
        place["renamed"] = place.pop(rng.choice(keys))
    text = json.dumps(tree)
    for name, raw in RAW.items():
        text = text.replace(f'"@{name}@"', raw)
    return text.encode()


def containers(tree: object):
    """Every object and list of a JSON value."""
    if isinstance(tree, (dict, list)):
        yield tree
        for value in tree.values() if isinstance(tree, dict) else tree:
            yield from containers(value)


def edit_csv(content: bytes, rng: random.Random) -> bytes:
    """A cell changed, a row or a column repeated, dropped, moved or too long."""
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    at = rng.randrange(len(rows))
    column = rng.randrange(len(rows[0]))
    how = rng.choice(
        ["cell", "cell", "cell", "header", "repeat", "drop", "swap", "extra", "column"]
    )
    if how == "cell":
        rows[at][column] = rng.choice(CELLS)
    elif how == "header":
        rows[0][column] = rng.choice(CELLS)
    elif how == "repeat":
        rows.insert(at, list(rows[at]))
    elif how == "drop":
        del rows[at]
    elif how == "swap":
        other = rng.randrange(len(rows))
        rows[at], rows[other] = rows[other], rows[at]
    elif how == "extra":
        rows[at].append(rng.choice(CELLS))
    else:
        for row in rows:
            del row[column]
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def damaged(content: bytes, path: Path, seed: int) -> bytes:
    """The content with one damage that this seed chooses."""
    rng = random.Random(f"{path.name} {seed}")
    edit = edit_json if path.suffix == ".json" else edit_csv
    return rng.choice([flip, cut, overwrite, edit, edit, edit])(content, rng)


def fuzz(
    path: Path,
    damage: Callable[[bytes, int], bytes],
    seeds: range,
    read: Callable[[], object],
    equal: Callable[[object], bool],
) -> Counter:
    """Every seed's damage to ``path`` and what reading made of it, counted.

    Each must end as ``equal`` or as a child of ``MscfError``, within bounds. The
    inputs that do not are put beside ``path`` under their seeds; ``path`` is mended
    at the end.
    """
    content, before = path.read_bytes(), peak()
    ends, failed = Counter(), []
    for seed in seeds:
        changed = damage(content, seed)
        path.write_bytes(changed)
        start = time.process_time()
        try:
            end = "equal" if equal(read()) else "other"
        except MscfError as error:
            lines = [str(finding) for finding in error.findings]
            end = "refused" if str(error) == "\n".join(lines) else "no finding"
            end = "several lines" if any("\n" in line for line in lines) else end
        except Exception as error:  # noqa: BLE001  (this is what is looked for)
            end = f"{type(error).__name__}: {error}"[:200]
        if time.process_time() - start > SECONDS:
            end = "slow"
        if changed == content:
            end = "unchanged" if end == "equal" else end
        ends[end if end in ("equal", "refused", "unchanged") else "failed"] += 1
        if ends["failed"] > len(failed):
            kept = path.with_name(f"failed-{path.name}-seed-{seed}")
            kept.write_bytes(changed)
            failed.append(f"{kept}: {end}")
    path.write_bytes(content)
    print(f"{path.name}: {len(seeds)} tried, {dict(ends)}")
    assert not failed, "\n".join(failed[:10])
    assert peak() - before < MEGABYTES * 2**20
    return ends


def peak() -> int:
    """The most memory that this process has had, in bytes (Linux)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
