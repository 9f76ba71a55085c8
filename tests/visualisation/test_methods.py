import base64

import numpy as np
import pandas as pd
import pytest

from mscf.visualisation.downloads import download_link
from mscf.visualisation.methods import draw_differences, draw_distributions, draw_ranks

TITLES = {"unet": "U-Net", "mscf": "Ours"}


def test_distributions_have_a_row_a_method_with_its_mean(ax) -> None:
    rows = pd.DataFrame(
        {"method": ["unet"] * 3 + ["mscf"] * 3, "dice": [0.1, 0.2, 0.6, 0.7, 0.8, 0.9]}
    )
    draw_distributions(ax, rows, "dice", TITLES, "mscf")
    assert [t.get_text() for t in ax.get_yticklabels()] == ["U-Net", "Ours"]
    means = ax.collections[-1].get_offsets()
    np.testing.assert_allclose(means, [[0.3, 0], [0.8, 1]])


def test_differences_show_every_patient_and_the_interval(ax) -> None:
    points = pd.DataFrame({"baseline": "unet", "difference": [0.1, 0.2, 0.6]})
    table = pd.DataFrame(
        {"baseline": ["unet"], "difference": [0.3], "low": [0.1], "high": [0.5]}
    )
    draw_differences(ax, points, table, TITLES)
    patients, line, mean = ax.collections
    assert sorted(patients.get_offsets()[:, 0]) == pytest.approx([0.1, 0.2, 0.6])
    assert line.get_segments()[0][:, 0].tolist() == [0.1, 0.5]
    assert mean.get_offsets()[0][0] == 0.3
    assert ax.xaxis.get_major_formatter()(0.25) == "25"
    draw_differences(ax, points, table, TITLES)  # lies the same each time
    assert np.array_equal(ax.collections[3].get_offsets(), patients.get_offsets())


def test_without_baselines_the_picture_says_so(ax) -> None:
    table = pd.DataFrame(columns=["baseline", "difference", "low", "high"])
    draw_differences(ax, table, table, TITLES)
    assert ax.texts[0].get_text() == "Ours or a baseline is not there yet"


def test_ranks_have_their_interval_where_there_is_one(ax) -> None:
    ranks = pd.DataFrame({
        "metric": ["dice", "hd", "dice", "hd"], "method": ["unet"] * 2 + ["mscf"] * 2,
        "rank": [2, 1.5, 1, 1.5], "low": [1.0, 1.5, 1, 1.5], "high": [2.0, 1.5, 1, 1.5],
    })  # fmt: skip
    draw_ranks(ax, ranks, TITLES, {"dice": "Dice", "hd": "HD"})
    assert [t.get_text() for t in ax.texts] == ["2\n(1 to 2)", "1.5", "1", "1.5"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["Dice", "HD"]


def test_a_download_holds_the_whole_file() -> None:
    link = download_link("table.csv", "a,b\n1,é\n")
    content = link.split("base64,")[1].split('"')[0]
    assert base64.b64decode(content).decode() == "a,b\n1,é\n"
    assert 'download="table.csv"' in link
