"""The 40 bad inputs end as they must: refused, taken with a warning, or recorded.

What is taken with a warning gives the voxels and labels of the folder not spoilt.
"""

import math
from pathlib import Path

import numpy as np
import pytest
from bad_inputs import BAD
from small_folder import Folder

from mscf.data.cases import find_cases
from mscf.data.phantom import make_phantoms
from mscf.data.verify import REFUSED, SOUND, WARNING, verify
from mscf.data.whole_case import read_case

ORDER = SOUND, WARNING, REFUSED
WORDS = {REFUSED: "refused", WARNING: "taken with a warning", SOUND: "recorded"}


@pytest.fixture(scope="session")
def clean(tmp_path_factory) -> Path:
    """Phantoms, the first of them stored as LPS; do not write here."""
    return make_phantoms(
        tmp_path_factory.mktemp("clean") / "cases",
        cases=1,
        seed=0,
        size=64,
        processes=1,
    )


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(
            bad,
            id=f"{bad.number}-{bad.check}-{bad.outcome}",
            marks=pytest.mark.claim("input", f"{bad.number}. {bad.sentence}"),
        )
        for bad in BAD
    ],
)
def test_a_bad_input_ends_as_it_must(bad, clean, tmp_path, shows, capfd) -> None:
    costs = []
    for name, spoil in bad.variants.items():
        folder = Folder(tmp_path / name, clean)
        source = spoil(folder) or folder.path
        results = verify(source, tmp_path / "table.csv", bad.images, processes=1)
        ends = {checked.outcome for checked in results}
        assert max(ends, key=ORDER.index) == bad.outcome, (name, results)
        checks = [f.check for checked in results for f in checked.findings]
        if bad.outcome == SOUND:
            assert not checks, name
        else:
            assert bad.check in checks, (name, checks)
        for checked in results:
            for finding in checked.findings:
                assert "\n" not in str(finding)
                assert finding.found
        if bad.equal:
            was, now = (read_case(find_cases(p)[0]) for p in (clean, source))
            assert np.array_equal(now.volume.voxels, was.volume.voxels), name
            assert np.array_equal(now.labels, was.labels), name
        costs.append(max(((c.seconds, c.peak_mb) for c in results), default=(0, 0)))
    assert max(megabytes for _, megabytes in costs) < 200
    assert "Traceback" not in capfd.readouterr().err
    seconds, megabytes = (max(column) for column in zip(*costs, strict=True))
    cost = f"at most {math.ceil(1000 * seconds)} ms and {megabytes:.1f} MB"
    cost = cost if seconds else "before a volume is read"
    shows(len(costs), f"{WORDS[bad.outcome]} [{bad.check}]; {cost}")
