"""A book of four pages in a temporary folder; the built book's site; a browser."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import pytest
from built import HTML, PAGES, WIDTHS, open_page, sized
from missing import chromium, skip_or_fail

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "book"), str(ROOT / "book/_ext")]  # run from there, too

WORDS = " word" * 25
TOC = """\
format: jb-book
root: book/welcome
chapters:
  - file: book/method
  - file: notebooks/first
  - file: notebooks/second
"""
WELCOME = """\
# Welcome

{words} {{cite}}`pang2020`, {{res}}`run.json:dice|.2f`.

```{{bibliography}}
```
"""
METHOD = """\
# Method

{words}

$$ y = x $$ (eq-1)

```{{pycode}} mscf.models.context.SpatialContext.forward
```
"""
# book/build.py itself names notebooks that this book does not have.
BUILD = """\
import sys
from pathlib import Path

from build import main

sys.exit(main(Path(__file__).parents[1], {parameters}, {alone}))
"""
BIB = "@article{pang2020, author={Pang, A}, title={T}, journal={J}, year={2020}}\n"


def notebook(*cells: str) -> nbformat.NotebookNode:
    """Code cells under a title; the first one holds the parameters."""
    made = nbformat.v4.new_notebook()
    made.metadata.kernelspec = {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    title = nbformat.v4.new_markdown_cell(f"# A notebook\n\n{WORDS}", id="title")
    made.cells = [title] + [
        nbformat.v4.new_code_cell(source, id=f"cell-{number}")
        for number, source in enumerate(cells, start=1)
    ]
    made.cells[1].metadata.tags = ["parameters"]
    return made


@pytest.fixture(name="notebook")
def _notebook():
    """The function above, for tests."""
    return notebook


class Book:
    """A small repository around a copy of this book's machinery."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.html = root / "book/_build/html"
        self.command = [sys.executable, str(root / "book/build_small.py")]
        machinery = shutil.ignore_patterns("_build", "_stage", "__pycache__", "*.md")
        shutil.copytree(ROOT / "book", root / "book", ignore=machinery)
        shutil.copy(ROOT / "_config.yml", root)
        for name, text in {
            "_toc.yml": TOC,
            "book/welcome.md": WELCOME.format(words=WORDS),
            "book/method.md": METHOD.format(words=WORDS),
            "book/references.bib": BIB,
            "results/run.json": '{"dice": 0.61234}',
            "mscf/library.py": "answer = 1\n",
        }.items():
            self.write(name, text)
        self.name_notebooks({}, set())
        self.save("first", notebook("n = 1  # a number\nout = 'runs/x'", "print(n)"))
        self.save("second", notebook("n = 2", "1 + n"))

    def write(self, name: str, text: str) -> None:
        (self.root / name).parent.mkdir(parents=True, exist_ok=True)
        (self.root / name).write_text(text)

    def save(self, name: str, content: nbformat.NotebookNode) -> None:
        (self.root / "notebooks").mkdir(exist_ok=True)
        nbformat.write(content, self.root / f"notebooks/{name}.ipynb")

    def name_notebooks(self, parameters: dict[str, dict], alone: set[str]) -> None:
        """What stands at the top of build.py for this book."""
        text = BUILD.format(parameters=parameters, alone=alone)
        self.write("book/build_small.py", text)

    def build(self) -> subprocess.CompletedProcess:
        return subprocess.run(
            self.command, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )

    def page(self, name: str) -> str:
        return (self.html / f"{name}.html").read_text()


@pytest.fixture
def book(tmp_path) -> Book:
    return Book(tmp_path)


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium())


@pytest.fixture(scope="module")
def built() -> None:
    if not (HTML / "index.html").is_file():
        skip_or_fail("NOT TESTED: the book is not built; run `make book`")


@pytest.fixture(scope="module")
def site(built):
    """The address of the built book, served from this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    handler = functools.partial(Quiet, directory=HTML)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(browser, site):
    """Opens a page of the book for one test, as a browser that has seen nothing."""
    contexts = []

    def opened(name: str, site: str = site, **options):
        contexts.append(browser.new_context(viewport=sized(WIDTHS[0]), **options))
        return open_page(contexts[-1], site, name)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def tab(browser, site):
    """Where one page is opened after the other: a tab for each would take a minute."""
    context = browser.new_context(viewport=sized(WIDTHS[0]))
    yield open_page(context, site, PAGES[0])
    context.close()
