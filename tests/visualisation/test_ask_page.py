import base64
import io
import json
import re
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from mscf.visualisation.ask_page import (
    AskedScale,
    AskedSlice,
    ask_page,
    border,
    whole_page,
)

mpl.use("Agg")


def scale(channels: int, side: int) -> AskedScale:
    """Asked by 4 x 5 pixels; each puts all in one cell, the first in two."""
    looks = np.zeros((4, 5, side, side), np.uint8)
    looks[..., 1, 2] = 255
    looks[0, 0, 0, 0] = 51
    shares = np.tile(np.float32([20, 50, 30]), (4, 5, 1))
    shares[2, 3] = [1.25, 98.75, 0]
    highest = np.full((4, 5), side**2, np.float32)
    return AskedScale(
        channels, np.array([2 * side] * 2), -0.0251, looks, highest, shares
    )


@pytest.fixture(scope="module")
def asked() -> AskedSlice:
    labels = np.zeros((24, 40), np.uint8)
    labels[2:22, 3:30] = 1
    labels[4:9, 6:13] = 2
    hu = np.random.default_rng(0).integers(-40, 160, labels.shape).astype(np.int16)
    pixels = np.stack(np.mgrid[3:24:6, 4:40:8], axis=-1)
    names = np.array(["lesion", "</p><script>alert(1)</script>"])
    return AskedSlice(
        '</script><b onload="x">', 7, hu, labels, np.array([-40.0, 160.0]), pixels,
        names, np.array([[0, 1], [2, 3]]), (scale(64, 4), scale(256, 3)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(asked) -> BeautifulSoup:
    return BeautifulSoup(whole_page(ask_page(asked), asked.case), "html.parser")


@pytest.fixture(scope="module")
def data(page) -> dict:
    return json.loads(page.select_one("[type='application/json']").string)


def test_the_script_gets_the_rows_as_they_are(asked, data) -> None:
    for given, one in zip(data["scales"], asked.scales, strict=True):
        looks = np.frombuffer(base64.b64decode(given["looks"]), np.uint8)
        assert given["cells"] == list(one.looks.shape[2:])
        assert np.array_equal(looks.reshape(one.looks.shape), one.looks)
        assert given["highest"] == one.highest.ravel().tolist()
        assert given["shares"][2 * 5 + 3] == [1.2, 98.8, 0]
    assert data["rows"] == [3, 9, 15, 21]
    assert data["columns"] == [4, 12, 20, 28, 36]
    assert data["start"] == [0, 1]
    asks = data["labels"][1 * 5 + 1]
    assert data["tissues"][asks] == "liver"


def test_colours_are_those_of_the_other_pictures_of_attention(data) -> None:
    colours = np.frombuffer(base64.b64decode(data["colours"]), np.uint8).reshape(-1, 3)
    expected = np.array(mpl.colormaps["plasma"]([0, 0.5, 1.0]))[:, :3]
    np.testing.assert_allclose(colours[[0, 128, 255]] / 255, expected, atol=1 / 255)


def test_the_slice_is_windowed_and_not_resized(asked, page) -> None:
    source = page.select_one(".ask-picture img")["src"]
    content = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    grey = np.asarray(Image.open(io.BytesIO(content)).convert("L")).astype(float)
    np.testing.assert_allclose(grey, (asked.hu + 40) / 200 * 255, atol=2)


def test_a_border_runs_along_the_pixels_edges() -> None:
    mask = np.zeros((4, 6), bool)
    mask[0, 2:4] = True  # at the slice's own edge, too
    edges = re.findall(r"M(\d+) (\d+)([hv])1", border(mask))
    assert sorted(edges) == sorted([
        ("2", "0", "h"), ("3", "0", "h"), ("2", "1", "h"), ("3", "1", "h"),
        ("2", "0", "v"), ("4", "0", "v"),
    ])  # fmt: skip
    assert border(np.zeros((4, 6), bool)) == ""


def test_without_scripts_every_chosen_pixel_is_a_picture_told_in_words(page) -> None:
    pictures = page.select(".ask-strip img")
    assert len(pictures) == 2
    assert pictures[0]["alt"].endswith("Lesion (row 3, column 12)")
    words = page.select_one(".ask-strip .ask-name").get_text()
    assert words.replace("\xa0", " ").endswith("20.0 % and 20.0 % on tumour")


def test_the_slice_names_its_sides_and_the_caption_its_own_window(asked, page) -> None:
    sides = page.select(".ask-picture .ask-side")
    assert [side.get_text() for side in sides] == ["R", "L"]  # as mark_sides has them
    wide = replace(asked, window=np.array([-150.0, 250.5]))
    assert "HU window from -150 to 250.5; R" in ask_page(wide)


def test_names_are_text_and_never_markup(asked, page) -> None:
    assert not page.select("b, [onload]")
    alt = page.select_one(".ask-picture img")["alt"]
    assert alt == f"CT slice 7 of {asked.case}, liver and tumour outlined"
    scripts = [s for s in page.select("script") if s.get("type") != "application/json"]
    assert len(scripts) == 1
    assert "alert" not in scripts[0].string


def test_the_page_names_no_other_file_and_no_other_host(page) -> None:
    for tag in page.select("[src]"):
        assert tag["src"].startswith("data:image/png;base64,")
    assert not page.select("[href], link, iframe")
    code = [tag.string for tag in page.select("style, script:not([type])")]
    assert len(code) == 3
    for text in code:
        assert not re.search(r"https?:|url\(|@import|fetch\(|import\(", text)


def test_the_caption_tells_the_cells_and_how_far_answers_agree(asked, page) -> None:
    words = page.select_one(".ask-caption").get_text().replace("\xa0", " ")
    assert "24 × 40 pixels; 4 × 5 of them" in words
    assert "HU window from -40 to 160; R is the patient's right" in words
    assert "4 × 4 and 3 × 3 cells" in words
    assert "100 % and 100 % of all" in words
    looks = np.array(asked.scales[0].looks)
    looks[:2] = np.roll(looks[:2], 1, axis=-1)
    looks[0, 0, 3, 3] = 255
    looks[0, 0, 1, 3] = 0
    half = replace(asked.scales[0], looks=looks)
    assert half.agreeing() == 0.5  # 10 of 20; 9 agree on another, one on a third
