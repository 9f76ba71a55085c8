"""`make book` on a book of four pages: what is done, what is kept, what is refused."""

import json
import signal
import subprocess
import time

import nbformat
import psutil
import pytest

pytestmark = pytest.mark.check  # each build takes seconds


def statuses(book) -> dict[str, str]:
    report = json.loads((book.root / "book/_stage/report.json").read_text())
    return {e["notebook"].split("/")[1]: e["status"] for e in report}


def list_pages(book, *pages: str) -> None:
    """The contents: the welcome page, and these behind it."""
    lines = "".join(f"  - file: {page}\n" for page in pages)
    book.write("_toc.yml", f"format: jb-book\nroot: book/welcome\nchapters:\n{lines}")


def test_a_build_executes_what_changed_and_keeps_the_rest(book, monkeypatch) -> None:
    """One book from build to build; its buttons and what leaves it, too."""
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    done = book.build()
    assert done.returncode == 0, done.stderr
    assert statuses(book) == {"first.ipynb": "executed", "second.ipynb": "executed"}
    assert "runs/book/first" in book.page("notebooks/first")
    assert "0.61" in book.page("book/welcome")
    sources = (book.root / "notebooks/first.ipynb").read_text()
    assert "stdout" not in sources
    assert "stdout" in (book.root / "book/_stage/notebooks/first.ipynb").read_text()
    assert "https://" not in book.page("notebooks/first").split("<body")[1]

    source = nbformat.read(book.root / "notebooks/first.ipynb", as_version=4)
    source.cells[0].source = source.cells[0].source.replace("A notebook", "Renamed")
    book.save("first", source)
    assert book.build().returncode == 0
    assert statuses(book) == {"first.ipynb": "kept", "second.ipynb": "kept"}
    assert "Renamed" in book.page("notebooks/first")

    book.write("mscf/library.py", "answer = 2\n")
    monkeypatch.setenv("GITHUB_REPOSITORY", "fork/mscf")
    assert book.build().returncode == 0
    assert statuses(book) == {"first.ipynb": "executed", "second.ipynb": "executed"}
    every_button_points_to_the_repository_that_builds(book)

    list_pages(book, "book/method", "notebooks/first")
    assert book.build().returncode == 0
    assert not (book.html / "notebooks/second.html").exists()
    assert "notebooks/second" not in book.page("book/welcome")


def every_button_points_to_the_repository_that_builds(book) -> None:
    page = book.page("notebooks/first")
    for address in (
        "https://github.com/fork/mscf/edit/main/notebooks/first.ipynb",
        "https://mybinder.org/v2/gh/fork/mscf/main?urlpath=lab/tree/notebooks/first.ipynb",
        "https://colab.research.google.com/github/fork/mscf/blob/colab/notebooks/first.ipynb",
        'rel="canonical" href="https://fork.github.io/mscf/notebooks/first.html"',
    ):
        assert address in page
    prose = book.page("book/method")
    assert "https://github.com/fork/mscf/edit/main/book/method.md" in prose
    assert "mybinder" not in prose
    assert "colab" not in prose  # nothing there to run


def test_failing_notebooks_are_one_line_each_and_the_rest_goes_on_and_is_measured(
    book, notebook
) -> None:
    book.save("first", notebook("n = 1", "1 / 0"))
    book.save("second", notebook("n = 1", "import os\nos._exit(3)"))
    big = "import time\nblock = bytearray(300_000_000)\ntime.sleep(1)\n1 + n"
    book.save("third", notebook("n = 2", big))
    names = "first", "second", "third"
    list_pages(book, "book/method", *(f"notebooks/{name}" for name in names))
    done = book.build()
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    found = (
        "code cell 2 must run (found: ZeroDivisionError: division by zero)",
        "must run to its end (found: papermill ended",
    )
    for name, words, line in zip(names[:2], found, errors[:2], strict=True):
        assert line.startswith(f"error: notebooks/{name}.ipynb: ")
        assert words in line
        assert line.endswith("[notebook]")
    failed = {"first.ipynb": "failed", "second.ipynb": "failed"}
    assert statuses(book) == {**failed, "third.ipynb": "executed"}
    assert "<span></span>3" in book.page("notebooks/third")

    report = json.loads((book.root / "book/_stage/report.json").read_text())
    first, _, third = report
    assert third["peak_mb"] > first["peak_mb"] + 250
    assert third["seconds"] > 1
    assert f"{third['peak_mb']:9.0f}" in done.stdout

    assert book.build().returncode == 1
    assert statuses(book) == {**failed, "third.ipynb": "kept"}


SPOILT = """\
'''A list without an end:

- one
two
'''

from sphinx.util import logging

logging.getLogger(__name__).warning("said by nobody")
"""
METHOD = """\
# Method

see {eq}`eq-9`, {cite}`nobody`, {res}`none.json:x`

```{eval-rst}
.. automodule:: spoilt
```
"""


def test_a_warning_is_an_error_every_time(book) -> None:
    list_pages(book, "book/method")
    book.write("book/method.md", METHOD)
    book.write("book/_ext/spoilt.py", SPOILT)
    for _ in range(2):  # the second build reads no changed page
        done = book.build()
        assert done.returncode == 1
        errors = [x for x in done.stderr.splitlines() if x.startswith("error:")]
        for words, place in {
            "eq-9": "book/method.md:3",
            '"nobody"': "book/method.md:3",
            "none.json": "book/method.md:3",
            "unexpected unindent": "book/api.md, docstring of spoilt:4",
            "said by nobody": "book",
        }.items():
            (line,) = [error for error in errors if words in error]
            assert line.startswith(f"error: {place}: must build without a warning")


def test_a_page_whose_file_is_not_there_ends_the_build_before_it_starts(book) -> None:
    (book.root / "book/method.md").unlink()
    notebook = book.root / "notebooks/first.ipynb"
    notebook.rename(notebook.with_stem("renamed"))
    book.name_notebooks({"notebooks/first.ipynb": {"n": 1}}, {"notebooks/first.ipynb"})
    done = book.build()
    assert done.returncode == 1
    pages = "book/method", "notebooks/first"
    for line, page in zip(done.stderr.splitlines(), pages, strict=True):
        assert line.startswith(f"error: {page}: must be there, _toc.yml lists it")
    assert not (book.root / "book/_stage").exists()


def test_settings_for_a_notebook_that_is_no_page_end_the_build(book) -> None:
    names = "notebooks/old.ipynb", "notebooks/older.ipynb"
    book.name_notebooks({names[0]: {"n": 1}, "notebooks/first.ipynb": {}}, {names[1]})
    done = book.build()
    assert done.returncode == 1
    for line, name in zip(done.stderr.splitlines(), names, strict=True):
        assert line.startswith(f"error: {name}: must be a page of _toc.yml")
    assert not (book.root / "book/_stage").exists()


def test_an_empty_page_is_refused(book) -> None:
    list_pages(book, "book/method")
    book.write("book/method.md", "# Method\n")
    done = book.build()
    assert done.returncode == 1
    assert "error: book/method.html: must be a page with text" in done.stderr


@pytest.mark.claim("notebook", "A build of the book that is ended leaves nobody behind")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_build_that_is_ended_takes_its_notebooks_along(
    number, book, notebook, shows
) -> None:
    waits = "open('begun', 'w').close()\nimport time\ntime.sleep(300)"
    book.save("first", notebook("n = 1", waits))
    build = subprocess.Popen(
        book.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while not (book.root / "notebooks/begun").exists():
        assert build.poll() is None
        time.sleep(0.1)
    family = psutil.Process(build.pid).children(recursive=True)
    assert len(family) >= 2  # papermill and its kernel
    begin = time.monotonic()
    build.send_signal(number)
    assert build.wait(30) == -number
    _, left = psutil.wait_procs(family, timeout=30)
    assert not left
    shows(shown=f"none left {time.monotonic() - begin:.1f} s later")
