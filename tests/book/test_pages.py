"""The built book as a reader meets it, in a browser; `make check` builds it first."""

import functools
import http.server
import itertools
import os
import re
import threading
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from axe_playwright_python.sync_playwright import Axe
from bs4 import BeautifulSoup
from sphinx_external_toc.parsing import parse_toc_yaml

pytestmark = pytest.mark.check

ROOT = Path(__file__).parents[2]
HTML = ROOT / "book/_build/html"
PAGES = [f"{page}.html" for page in parse_toc_yaml(ROOT / "_toc.yml")]
WIDTHS = (1280, 1024, 375)  # a desk, a tablet, a phone


def skip_or_fail(reason: str) -> None:
    """At home a missing piece is no fault of the book; in CI nothing may be skipped."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module", autouse=True)
def built() -> None:
    if not (HTML / "index.html").is_file():
        skip_or_fail("NOT TESTED: the book is not built; run `make book`")


@pytest.fixture(scope="module")
def site():
    """The address of the built book, served from this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args) -> None:
            pass

    handler = functools.partial(Quiet, directory=HTML)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def open_page(context, site: str, name: str):
    """A page of the book; `page.complaints` is what the browser said of it."""
    page = context.new_page()
    page.complaints = []
    say = page.complaints.append

    def local_only(route) -> None:
        if not route.request.url.startswith(site):
            say(f"asks for {route.request.url}")
            route.abort()
        else:
            route.continue_()

    page.route("**/*", local_only)
    page.on("console", lambda m: m.type == "error" and say(m.text))
    page.on("pageerror", lambda error: say(str(error)))
    page.on("response", lambda r: r.status >= 400 and say(f"{r.status} {r.url}"))
    page.goto(f"{site}/{name}", wait_until="load")
    return page


@pytest.fixture
def visit(browser, site):
    """Opens a page of the book for one test, as a browser that has seen nothing."""
    contexts = []

    def opened(name: str, **options):
        contexts.append(browser.new_context(viewport=sized(WIDTHS[0]), **options))
        return open_page(contexts[-1], site, name)

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def reader(browser):
    """A browser that keeps what all pages share: loading it each time takes minutes."""
    context = browser.new_context(viewport=sized(WIDTHS[0]))
    yield context
    context.close()


@pytest.fixture(scope="module", params=PAGES)
def page(request, reader, site):
    """Every page in turn, opened once, at a desk; a test sets width and colours."""
    reader_page = open_page(reader, site, request.param)
    yield reader_page
    reader_page.close()


def sized(width: int) -> dict[str, int]:
    return {"width": width, "height": 800}


def test_a_page_has_no_barrier(page) -> None:
    """First: the theme looks once which cells scroll, and makes these focusable."""
    assert barriers(page) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_is_whole(page, width) -> None:
    page.set_viewport_size(sized(width))
    page.evaluate("window.MathJax && MathJax.startup.promise")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_load_state("networkidle")
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    broken = "images => images.filter(i => !(i.complete && i.naturalWidth)).length"
    assert page.eval_on_selector_all("img", broken) == 0
    formulas = page.locator("article .math").count()
    assert page.locator("article mjx-container").count() >= formulas
    assert page.locator("article mjx-merror").count() == 0


def test_a_reader_in_the_dark_gets_a_dark_page_with_unchanged_pictures(page) -> None:
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")
    filters = "images => images.map(i => getComputedStyle(i).filter)"
    assert set(page.eval_on_selector_all("article img", filters)) <= {"none"}


def test_mathematics_can_be_read_without_scripts(visit) -> None:
    page = visit("book/method.html", java_script_enabled=False)
    assert page.locator("article .math").first.is_visible()


def test_search_finds_a_word_of_the_book(visit) -> None:
    page = visit("search.html?q=Hausdorff")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").all_inner_texts()
    assert "Table 1" in found
    assert page.complaints == []


@pytest.mark.parametrize("name", ["book/method.html", "notebooks/table1.html"])
def test_a_dark_page_has_contrast(name, visit) -> None:
    """Two of all kinds of content: every page would take minutes."""
    assert barriers(visit(name, color_scheme="dark")) == []


def barriers(page) -> list[str]:
    """What axe finds against WCAG 2, A and AA: contrast, names, order, roles."""
    of_citations = "aria-deprecated-role", "aria-required-children"  # docutils' own
    options = {
        "runOnly": ["wcag2a", "wcag2aa"],
        "rules": {rule: {"enabled": False} for rule in of_citations},
        "resultTypes": ["violations"],
        "preload": False,  # the browser has the styles
    }
    alike = {"exclude": ["tbody tr:nth-child(n + 6)"]}  # minutes of the same
    found = Axe().run(page, alike, options)
    return [
        f"{rule['id']}: {node['html'][:120]}: {node['failureSummary']}"
        for rule in found.response["violations"]
        for node in rule["nodes"]
    ]


def test_the_colours_can_be_switched(visit) -> None:
    page = visit("book/welcome.html", color_scheme="light")
    modes = []
    for _ in range(3):
        modes.append(page.get_attribute("html", "data-mode"))
        page.locator(".theme-switch-button:visible").first.click()
    assert sorted(modes) == ["auto", "dark", "light"]
    assert page.complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_every_link_inside_the_book_leads_somewhere(name) -> None:
    for link in soup(name).select("a[href]"):
        target = urlsplit(link["href"])
        if target.scheme or target.netloc or link["href"] == "#":
            continue
        file = (
            (HTML / name).parent / unquote(target.path) if target.path else HTML / name
        )
        assert file.is_file(), link["href"]
        if target.fragment and file.suffix == ".html":
            there = soup(file.resolve().relative_to(HTML).as_posix())
            assert there.find(id=unquote(target.fragment)), link["href"]


@pytest.mark.parametrize("name", PAGES)
def test_every_picture_has_a_text_for_who_cannot_see_it(name) -> None:
    for image in soup(name).select("article img"):
        alt = image.get("alt", "")
        assert len(alt.split()) > 2, image["src"]
        assert "_images/" not in alt


@pytest.mark.parametrize("name", [n for n in PAGES if n.startswith("notebooks/")])
def test_a_page_has_every_picture_that_its_notebook_describes(name) -> None:
    cells = nbformat.read(ROOT / name.replace(".html", ".ipynb"), as_version=4).cells
    told = sum("alt" in c.metadata.get("mystnb", {}).get("image", {}) for c in cells)
    assert len(soup(name).select("article img")) >= told


@pytest.mark.parametrize("name", [n for n in PAGES if n.startswith("notebooks/")])
def test_no_table_is_cut_in_its_middle(name) -> None:
    said = soup(name).find("article").get_text()
    assert not re.search(r"\d+ rows × \d+ columns", said)


@pytest.mark.parametrize("name", PAGES)
def test_headings_skip_no_level(name) -> None:
    levels = [int(h.name[1]) for h in soup(name).select("article :is(h1,h2,h3,h4,h5)")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    for above, below in itertools.pairwise(levels):
        assert below <= above + 1


@functools.cache
def soup(name: str) -> BeautifulSoup:
    """A page's elements."""
    return BeautifulSoup((HTML / name).read_text(encoding="utf-8"), "html.parser")
