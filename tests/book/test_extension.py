"""The role {res}, the directives {pycode} and {any-pixel}, in a book of one page."""

import io
import json
import re
import shutil
from dataclasses import replace
from html import unescape
from importlib.metadata import version

import mscf_book
import pytest
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from mscf.kept.any_pixel import read_asked, write_asked
from mscf.paths import root

EXTENSIONS = ["myst_parser", "sphinx_book_theme", "mscf_book"]
RESULTS = {
    "dice": {"mean": 0.61234, "folds": [0.5, 0.75]},
    "method": "mscf",
    "no": None,
}


class Page:
    """A page that can be written and built again; html and warnings of the last."""

    def __init__(self, root) -> None:
        self.root = root
        (root / "results").mkdir()
        self.results = root / "results/run.json"
        self.results.write_text(json.dumps(RESULTS))
        (root / "index.md").write_text("# Title\n")

    def write(self, text: str) -> "Page":
        (self.root / "index.md").write_text(f"# Title\n\n{text}\n")
        return self.build()

    def build(self) -> "Page":
        warnings = io.StringIO()
        with docutils_namespace():
            app = Sphinx(
                str(self.root), None, str(self.root / "html"), str(self.root / "trees"),
                "html", {"extensions": EXTENSIONS, "html_theme": "sphinx_book_theme"},
                status=None, warning=warnings,
            )  # fmt: skip
            app.build()
        self.warnings = warnings.getvalue()
        self.html = (self.root / "html/index.html").read_text()
        self.text = unescape(re.sub("<[^>]*>", "", self.html))
        return self


@pytest.fixture
def page(tmp_path) -> Page:
    return Page(tmp_path)


def test_res_writes_a_value_linked_to_its_file(page) -> None:
    page.write(
        "A {res}`run.json:dice.mean|.2f` B {res}`run.json:dice.mean|.1%` "
        "C {res}`run.json:dice.folds.1` D {res}`run.json:method` E"
    )
    assert page.warnings == ""
    assert "A 0.61 B 61.2% C 0.75 D mscf E" in page.text
    link = re.search(r'href="(_downloads/[^"]*run\.json)"', page.html)[1]
    assert (page.root / "html" / link).read_text() == json.dumps(RESULTS)
    assert page.html.count('<a class="res reference download internal"') == 4


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("none.json:dice", "No such file"),
        ("run.json:dice.median", "there is ['mean', 'folds']"),
        ("run.json:dice.folds.2", "no '2'"),
        ("run.json:dice", "must be a number or a text"),
        ("run.json:no|.2f", "must be a number or a text"),
        ("run.json:method|.2f", "Unknown format code 'f'"),
    ],
)
def test_res_warns_of_a_number_that_is_not_there(place, reason, page) -> None:
    page.write(f"{{res}}`{place}`")
    assert reason in page.warnings
    assert "index.md:3: WARNING" in page.warnings


TABLE = "method,seed,dice\nours,0,0.25\nours,,0.5\ntheirs,0,none\n"


def test_res_writes_the_cell_of_a_table(page) -> None:
    (page.root / "results/table.csv").write_text(TABLE)
    page.write(
        "{res}`table.csv:method=ours,seed=:dice|.1%` of the empty seed "
        "{res}`table.csv:seed=,method=ours:seed` and "
        "{res}`table.csv:method=theirs:dice`"
    )
    assert not page.warnings
    assert "50.0%" in page.text
    assert "none" in page.text


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("method=ours:dice", "2 rows with 'method=ours'"),
        ("method=nobody:dice", "0 rows with"),
        ("method=theirs:hd", "no column 'hd'; there is ['method', 'seed', 'dice']"),
        ("name=ours:dice", "no column 'name'"),
        ("dice", "table.csv:dice"),
        ("method=theirs:dice|.1f", "format code 'f'"),
    ],
)
def test_res_warns_of_a_cell_that_is_not_there(key, reason, page) -> None:
    (page.root / "results/table.csv").write_text(TABLE)
    page.write(f"{{res}}`table.csv:{key}`")
    assert reason in page.warnings


def test_a_page_is_built_anew_when_its_number_changes(page) -> None:
    page.write("{res}`run.json:dice.mean|.2f`")
    page.results.write_text(json.dumps({"dice": {"mean": 0.7}}))
    assert "0.70" in page.build().text


def test_pycode_shows_a_method_from_the_margin(page) -> None:
    page.write("```{pycode} mscf.models.context.SpatialContext.forward\n```")
    assert page.warnings == ""
    assert "def forward(self, x: Tensor) -> Tensor:\n    query" in page.text
    assert "    def forward" not in page.text
    assert "highlight-python" in page.html


@pytest.mark.parametrize(
    "name", ["mscf.models.context.Nothing", "mscf.nothing.at_all", "nothing.at_all"]
)
def test_pycode_warns_of_code_that_is_not_there(name, page) -> None:
    page.write(f"```{{pycode}} {name}\n```")
    assert f"{{pycode}} {name}:" in page.warnings


def test_pycode_reads_decorators_constants_and_modules(tmp_path, monkeypatch) -> None:
    (tmp_path / "shelf").mkdir()
    source = "SIZE: int = 3\nOTHER = 4\n\n\n@property\ndef book(self):\n    return 1\n"
    (tmp_path / "shelf/__init__.py").write_text(source)
    (tmp_path / "shelf/inner.py").write_text("class A:\n    class B:\n        x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)

    def code(name: str) -> str:
        return mscf_book.find_code(name)[1]

    assert code("shelf.SIZE") == "SIZE: int = 3"
    assert code("shelf.OTHER") == "OTHER = 4"
    assert code("shelf.book") == "@property\ndef book(self):\n    return 1"
    assert code("shelf.inner.A.B") == "class B:\n    x = 1"
    assert code("shelf") == source


def test_a_page_is_built_anew_when_its_code_changes(
    page, tmp_path, monkeypatch
) -> None:
    (tmp_path / "changing.py").write_text("def f():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert "return 1" in page.write("```{pycode} changing.f\n```").text
    (tmp_path / "changing.py").write_text("def f():\n    return 22\n")
    assert "return 22" in page.build().text


def test_drawn_puts_a_picture_there_and_draws_it_anew_only_with_its_code(page) -> None:
    page.write("```{drawn} block\n:name: fig-b\n:alt: a block\n\nThe block.\n```")
    assert page.warnings == ""
    (image,) = re.findall(r'<img[^>]*alt="a block"[^>]*>', page.html)
    assert "_images/block.svg" in image
    assert "The block." in page.text
    first = (page.root / "html/_images/block.svg").read_bytes()
    page.write("Again.\n\n```{drawn} block\n:alt: a block\n```")
    assert (page.root / "html/_images/block.svg").read_bytes() == first


@pytest.mark.parametrize(
    ("name", "said"), [("blok", "must be one of"), ("losses", "no results/")]
)
def test_drawn_says_what_is_not_there(name, said, page) -> None:
    page.write(f"```{{drawn}} {name}\n:alt: none\n```")
    assert f"{{drawn}} {name}" in page.warnings
    assert said in page.warnings


def test_any_pixel_shows_a_kept_slice_and_is_built_anew_with_it(page) -> None:
    kept = root() / "results/phantoms-shown-192/patient/mscf/fold-0/seed-0"
    path = page.root / "results/any_pixel.npz"
    shutil.copy(kept / "any_pixel.npz", path)
    page.write("```{any-pixel} results/any_pixel.npz\n```")
    assert page.warnings == ""
    assert page.html.count('<div class="ask"') == 1
    assert 'onclick="x"' not in page.html
    write_asked(replace(read_asked(path), case='<b onclick="x">', slice=99), path)
    assert '<b onclick="x">, slice 99, 192 × 192' in page.build().text.replace("\n", "")
    assert '<b onclick="x">' not in page.html


def test_any_pixel_warns_of_a_file_that_is_not_there(page) -> None:
    page.write("```{any-pixel} results/none.npz\n```")
    assert "index.md:3: WARNING: {any-pixel}:" in page.warnings
    assert "none.npz: must be a slice that was asked" in page.warnings


def test_a_page_says_of_which_version_it_is(page) -> None:
    foot = page.build().html.split("bd-footer-content")[-1]
    assert re.search(rf"mscf {version('mscf')}( \([0-9a-f]+\))?, \d+ \w+ 20\d\d", foot)
