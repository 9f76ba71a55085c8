"""Roles, directives and the repository's address, in a book of one page."""

import io
import json
import re
import shutil
from dataclasses import replace
from html import unescape
from importlib.metadata import version
from pathlib import Path

import nbformat
import pytest
from code_directive import find_code
from matplotlib import pyplot as plt
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

import mscf
from mscf.kept.any_pixel import read_asked, write_asked
from mscf.pages import pictures
from mscf.paths import root

SETTINGS = {
    "extensions": ["myst_nb", "sphinx_book_theme", "mscf_book"],
    "html_theme": "sphinx_book_theme",
    "nb_execution_mode": "off",
    # Unsaid, myst_nb writes them into a default that later books of this process share.
    "source_suffix": {".md": "myst-nb", ".ipynb": "myst-nb"},
}
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
        self.drawings = 0  # how often a counted picture was drawn

    def write(self, text: str) -> "Page":
        (self.root / "index.md").write_text(f"# Title\n\n{text}\n")
        return self.build()

    def build(self) -> "Page":
        warnings = io.StringIO()
        with docutils_namespace():
            app = Sphinx(
                str(self.root), None, str(self.root / "html"), str(self.root / "trees"),
                "html", SETTINGS, status=None, warning=warnings,
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
    titles = re.findall(r'<span title="([^"]*)"><a class="res [^>]*>', page.html)
    assert titles[0] == titles[1] == "results/run.json: dice.mean"
    assert titles[2:] == [f"results/run.json: {k}" for k in ("dice.folds.1", "method")]


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
    titles = re.findall(r'<span title="([^"]*)"><a class="res [^>]*>', page.html)
    assert titles[0] == "results/table.csv: column dice of the row method=ours,seed="


def test_what_a_result_is_called_stays_text_in_its_title(page) -> None:
    page.results.write_text(json.dumps({'<b>"&': 1}))
    page.write('{res}`run.json:<b>"&`')
    assert page.warnings == ""
    assert 'title="results/run.json: &lt;b&gt;&quot;&amp;"' in page.html


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
        return find_code(name)[1]

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


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package in the place of ours, for the pages' sake, with two files."""
    (tmp_path / "mscf/__pycache__").mkdir(parents=True)
    (tmp_path / "mscf/__pycache__/panels.pyc").write_text("")
    (tmp_path / "mscf/visualisation").mkdir()
    (tmp_path / "mscf/visualisation/panels.py").write_text("")
    monkeypatch.setattr(mscf, "__file__", str(tmp_path / "mscf/__init__.py"))
    return tmp_path / "mscf"


@pytest.fixture
def counted(page, package, monkeypatch) -> Page:
    """A page with a picture of some histories, which counts how often it is drawn."""

    def draw(files):
        page.drawings += 1
        return plt.figure()

    monkeypatch.setattr(
        pictures, "PICTURES", {"counted": pictures.Picture(draw, ("*/history.csv",))}
    )
    add_history(page, "first")
    page.write("```{drawn} counted\n:alt: none\n```")
    assert page.warnings == ""
    assert page.drawings == 1
    return page


def add_history(page: Page, run: str) -> None:
    (page.root / "results" / run).mkdir(exist_ok=True)
    (page.root / "results" / run / "history.csv").write_text("epoch,loss\n")


def test_drawn_draws_nothing_anew_when_nothing_of_it_changes(counted, package) -> None:
    counted.results.write_text("{}")  # not of this picture
    (package / "__pycache__/panels.pyc").write_text("compiled")
    assert counted.build().drawings == 1


def test_drawn_draws_anew_when_any_file_of_the_package_changes(
    counted, package
) -> None:
    (package / "visualisation/panels.py").write_text("COLOUR = 1")
    assert counted.build().drawings == 2


@pytest.mark.parametrize("run", ["first", "second"])
def test_drawn_draws_anew_when_a_result_changes_or_comes(run, counted) -> None:
    add_history(counted, run)
    assert counted.build().drawings == 2
    assert counted.build().drawings == 2


def test_drawn_draws_anew_when_a_result_goes(counted) -> None:
    add_history(counted, "second")
    counted.build()
    (counted.root / "results/second/history.csv").unlink()
    assert counted.build().drawings == 3


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("losses", b"epoch,los\n0,1\n", "KeyError: 'loss'"),
        ("losses", b"epoch,loss\nx,1\n", "TypeError: "),
        ("losses", b"", "EmptyDataError: "),
        ("losses", b"epoch,loss\n\xff,1", "UnicodeDecodeError: "),
        ("slices", b"PK\3\4\n", "InputError: "),
    ],
)
def test_drawn_names_page_and_picture_of_a_damaged_result(
    name, content, said, page
) -> None:
    (pattern,) = pictures.PICTURES[name].files
    path = page.root / "results" / pattern.replace("*", "cenet")
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    page.write(f"```{{drawn}} {name}\n:alt: none\n```")
    start = f"index.md:3: ERROR: {{drawn}} {name} from results/{pattern}: {said}"
    assert start in page.warnings.splitlines()[0]


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


def test_any_pixel_is_built_anew_when_any_file_of_the_package_changes(
    page, package, monkeypatch
) -> None:
    monkeypatch.setattr("mscf.kept.any_pixel.read_asked", str)
    monkeypatch.setattr("mscf.visualisation.ask_page.ask_page", lambda _: "before")
    assert "before" in page.write("```{any-pixel} results/run.json\n```").text
    monkeypatch.setattr("mscf.visualisation.ask_page.ask_page", lambda _: "after")
    (package / "visualisation/panels.py").write_text("COLOUR = 1")
    assert "after" in page.build().text


def test_any_pixel_warns_of_a_file_that_is_not_there(page) -> None:
    page.write("```{any-pixel} results/none.npz\n```")
    assert "index.md:3: WARNING: {any-pixel}:" in page.warnings
    assert "none.npz: must be a slice that was asked" in page.warnings


def test_a_page_says_of_which_version_it_is(page) -> None:
    foot = page.build().html.split("bd-footer-content")[-1]
    assert re.search(rf"mscf {version('mscf')}( \([0-9a-f]+\))?, \d+ \w+ 20\d\d", foot)


CLONE = "From ADDRESS:\n\n```bash\ngit clone ADDRESS mscf\nls MY_ADDRESS\n```"
KNOWN = "https://github.com/who/what"


def write_notebook(page: Page, text: str) -> Page:
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_markdown_cell(f"# Title\n\n{text}", id="clone")]
    )
    (page.root / "index.md").unlink()
    nbformat.write(made, page.root / "index.ipynb")
    return page.build()


@pytest.mark.parametrize("write", [Page.write, write_notebook])
def test_the_word_address_is_the_repository_s_where_it_is_known(
    write, page, monkeypatch
) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "who/what")
    write(page, CLONE)
    assert f"From {KNOWN}:" in page.text
    assert f"git clone {KNOWN} mscf" in page.text
    assert "ls MY_ADDRESS" in page.text


def test_a_page_is_built_anew_when_the_repository_is_another(page, monkeypatch) -> None:
    monkeypatch.setenv("GITHUB_REPOSITORY", "who/before")
    assert "git clone https://github.com/who/before mscf" in page.write(CLONE).text
    monkeypatch.setenv("GITHUB_REPOSITORY", "who/what")
    assert f"git clone {KNOWN} mscf" in page.build().text


def test_the_word_address_stays_where_the_repository_is_unknown(
    page, monkeypatch
) -> None:
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    page.write(CLONE)
    assert "From ADDRESS:" in page.text
    assert "git clone ADDRESS mscf" in page.text


def test_the_page_with_the_commands_names_the_address_by_that_word() -> None:
    cells = nbformat.read(root() / "notebooks/reproduce.ipynb", as_version=4).cells
    assert "git clone ADDRESS mscf" in "\n".join(cell.source for cell in cells)
