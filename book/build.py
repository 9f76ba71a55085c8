"""Builds the book: `make book`, or `.venv/bin/python book/build.py`.

1. Every notebook of `_toc.yml` whose content key changed is executed by papermill.
2. `book/_stage` gets what Jupyter Book reads, at the repository's paths, so that links
   and buttons of a page point to its source; sources stay without outputs.
3. Jupyter Book renders the stage into `book/_build/html`, warnings are errors.
4. Every listed page must be there, with text.

A failing notebook is one line naming its cell; the others go on, the exit code is 1.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from execute import WITH_US, Execution, execute_all
from sphinx_external_toc.parsing import parse_toc_yaml
from stage import fill_stage, write_if_changed

from mscf.errors import Finding

# What the book passes where a notebook's defaults are not what its page shows. A
# notebook with a parameter `out` also gets a new folder there, runs/book/<notebook>.
PARAMETERS: dict[str, dict[str, Any]] = {
    # Sliders are nothing without a kernel.
    "notebooks/explore_data.ipynb": {"live": False},
    # The same numbers with and without a network.
    "notebooks/train.ipynb": {"pretrained": False},
    # The network of that page, which runs before it.
    "notebooks/your_own_ct.ipynb": {"weights": "runs/book/train"},
}
# They take all cores, one after the other; the others run before, two at a time.
ALONE = {"notebooks/train.ipynb", "notebooks/your_own_ct.ipynb"}
MEMORY_MB = 2000  # what Binder gives, browser and Lab included
JUPYTER_BOOK = WITH_US + "from jupyter_book.cli.main import main; main()"


def main(
    root: Path,
    parameters: dict[str, dict[str, Any]] = PARAMETERS,
    alone: set[str] = ALONE,
) -> int:
    """Builds the book of the repository at ``root``; the exit code."""
    start = time.monotonic()
    pages = {page: source_of(root, page) for page in parse_toc_yaml(root / "_toc.yml")}
    problems = check_contents(pages, {*parameters, *alone})
    if not problems:
        notebooks = [s for s in pages.values() if s.endswith(".ipynb")]
        executions = execute_all(root, notebooks, parameters, alone)
        problems += [e.problem for e in executions if e.problem]
        fill_stage(root, notebooks)
        problems += render(root)
        problems += check_pages(root / "book/_build/html", list(pages))
        report(executions, root / "book/_stage/report.json")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        seconds = time.monotonic() - start
        print(f"{len(pages)} pages in {seconds:.0f} s: book/_build/html/index.html")
    return 1 if problems else 0


def source_of(root: Path, page: str) -> str | None:
    """The file behind a name in the table of contents, from the root."""
    names = [f"{page}.md", f"{page}.ipynb"]
    return next((name for name in names if (root / name).is_file()), None)


def check_contents(pages: dict[str, str | None], named: Iterable[str]) -> list[str]:
    """Every listed page has a source; every notebook named here is a listed page."""
    missing = [
        Finding(page, "must be there, _toc.yml lists it", "no file", "page")
        for page, source in pages.items()
        if source is None
    ]
    must, found = "must be a page of _toc.yml, book/build.py names it", "not listed"
    unlisted = [
        Finding(name, must, found, "page")
        for name in sorted(named)
        if name.removesuffix(".ipynb") not in pages
    ]
    return list(map(str, missing + unlisted))


def render(root: Path) -> list[str]:
    """Jupyter Book over the stage; a problem when there was any warning."""
    command = [sys.executable, "-c", JUPYTER_BOOK, "build", str(root / "book/_stage")]
    command += ["--path-output", str(root / "book"), "-n", "-W", "--keep-going", "-q"]
    done = subprocess.run(  # noqa: S603
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode == 0:
        return []
    print(done.stderr or done.stdout, file=sys.stderr)
    must = "must build without a warning"
    named = [
        str(Finding(page, must, said, "warnings"))
        for page, said in warnings_of(done.stderr, root)
    ]
    # The next build would read only what changed, and not see these warnings again.
    shutil.rmtree(root / "book/_build/.doctrees", ignore_errors=True)
    found = f"exit {done.returncode}, see above"
    return named or [str(Finding("book", must, found, "warnings"))]


def warnings_of(text: str, root: Path) -> list[tuple[str, str]]:
    """Place and words of every warning that Sphinx printed, each once."""
    text = re.sub(r"\x1b\[[\d;]*m", "", text)
    warning = r"^(?:(.+?): )??(?:WARNING|ERROR|CRITICAL): (.+)$"
    found = re.findall(warning, text, re.MULTILINE)
    return list(dict.fromkeys((page_of(place, root), said) for place, said in found))


def page_of(place: str, root: Path) -> str:
    """Page with line, where Sphinx says it; a docstring's page is the API."""
    if docstring := re.search(r"docstring of \S+", place):
        return f"book/api.md, {docstring[0]}"
    return place.removeprefix(f"{root / 'book/_stage'}/") or "book"


def check_pages(html: Path, pages: list[str]) -> list[str]:
    """Every page of the table of contents must have been written, with text."""
    problems = []
    for page in pages:
        file = html / f"{page}.html"
        written = file.read_text(encoding="utf-8") if file.is_file() else ""
        article = re.search(r"<article.*?</article>", written, re.DOTALL)
        text = re.sub(r"<[^>]*>|\s+", " ", article[0]) if article else ""
        if len(text.split()) < 20:
            must, found = "must be a page with text", f"{len(text.split())} words"
            problems.append(str(Finding(f"{page}.html", must, found, "page")))
    return problems


def report(executions: list[Execution], file: Path) -> None:
    """The table of what was executed, for the reader and as JSON."""
    write_if_changed(
        file, json.dumps([asdict(e) for e in executions], indent=2).encode()
    )
    print(f"{'notebook':36}{'':10}{'seconds':>8}{'peak MB':>9}")
    for e in executions:
        print(f"{e.notebook:36}{e.status:10}{e.seconds:8.1f}{e.peak_mb:9.0f}")
        if e.peak_mb > MEMORY_MB:
            must = f"should stay under {MEMORY_MB} MB, what Binder gives"
            print(f"warning: {Finding(e.notebook, must, f'{e.peak_mb} MB', 'memory')}")


if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parents[1]))
