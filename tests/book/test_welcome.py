"""What the first page says of the channel context, from what the runs left."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mscf.kept.attentions import read_attention

RESULTS = Path(__file__).parents[2] / "results"
SHOWN = RESULTS / "phantoms-shown-192/patient/mscf/fold-0/seed-0"


def test_on_phantoms_a_few_channels_become_sums_and_most_get_nothing_but_at_64() -> (
    None
):
    maps = read_attention(SHOWN / "attention.npz").affinity  # rows give to columns
    counted = {channels: of_one.sum(axis=1) for channels, of_one in maps.items()}
    nothing = {channels: (sums < 0.5).mean() for channels, sums in counted.items()}
    assert nothing[64] < 0.5
    for channels in (128, 256):
        assert nothing[channels] > 0.5
        assert counted[channels].max() > 0.4 * channels


@pytest.mark.parametrize("data", ["phantoms-192", "excerpt-448"])
def test_the_channel_softmax_saturates_least_so_at_256_channels(data) -> None:
    files = (RESULTS / data / "patient/mscf").glob("fold-*/seed-*/context.csv")
    last = pd.DataFrame([pd.read_csv(file).iloc[-1] for file in files])
    assert len(last) >= 3
    share = {n: last[f"entropy_{n}"] / np.log(n) for n in (64, 128, 256)}
    assert max(of_runs.max() for of_runs in share.values()) < 0.01  # 1: no choice
    assert share[256].mean() > max(share[64].mean(), share[128].mean())
