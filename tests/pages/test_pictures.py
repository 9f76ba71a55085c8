"""The pictures on top of pages: each drawn, each used once, with what it shows."""

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from mscf.models import METHODS
from mscf.pages.pictures import PICTURES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def drawn():
    def draw(name: str):
        picture = PICTURES[name]
        files = [f for p in picture.files for f in (ROOT / "results").glob(p)]
        return picture.draw(sorted(files))

    yield draw
    plt.close("all")


def test_each_stands_on_one_page_with_a_name_and_words_for_who_cannot_see_it() -> None:
    found = {}
    for page in (ROOT / "book").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for name, options in re.findall(r"^```{drawn} (\w+)\n((?::.*\n)+)", text, re.M):
            assert name not in found, page
            found[name] = options
            assert re.search(r"^:name: fig-", options, re.M), page
            assert len(re.search(r"^:alt: (.*)", options, re.M)[1].split()) > 8, page
    assert found.keys() == PICTURES.keys()


def test_gains_of_the_paper_stand_beside_nine_names(drawn) -> None:
    (ax,) = drawn("gains").axes
    paper = pd.read_csv(ROOT / "results/paper/table1.csv", index_col="key")["dice"]
    nine = [key for key in METHODS if key != "mscf"]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == [METHODS[key].title for key in nine]
    *trainings, claimed = ax.collections
    claims = paper["mscf"] - paper[nine]
    np.testing.assert_allclose(claimed.get_offsets()[:, 0], claims)
    assert [len(one.get_offsets()) > 9 for one in trainings] == [True, True]


@pytest.mark.parametrize("name", ["slices", "predictions"])
def test_slices_are_marked_and_told_apart(name, drawn) -> None:
    figure = drawn(name)
    assert len(figure.axes) == 3
    assert len({ax.get_title() for ax in figure.axes}) > 1
    assert {text.get_text() for text in figure.axes[0].texts} >= {"R", "L"}
    assert figure.legends


def test_every_fold_of_both_methods_has_its_line(drawn) -> None:
    (ax,) = drawn("losses").axes
    lines = [line for line in ax.lines if len(line.get_xdata())]
    assert len(lines) == 10
    assert all(list(line.get_xdata()) == list(range(1, 26)) for line in lines)
    assert {text.get_text() for text in ax.get_legend().texts} == {"CE-Net", "Ours"}


@pytest.mark.check
def test_every_method_has_its_point_and_name(drawn) -> None:
    (ax,) = drawn("methods").axes
    titles = {method.title for method in METHODS.values()}
    assert {text.get_text() for text in ax.texts} == titles
    (ours,) = [text for text in ax.texts if text.get_text() == "Ours"]
    assert ours.xy == pytest.approx((29.111179, 33.928), abs=1e-3)


@pytest.mark.parametrize(("name", "words"), [("network", "DAC, RMP"), ("block", "$X$")])
def test_the_networks_own_drawings_are_of_the_papers_size(name, words, drawn) -> None:
    (ax,) = drawn(name).axes
    texts = [text.get_text() for text in ax.texts]
    assert words in texts
    assert any("@ 112" in text for text in texts)
