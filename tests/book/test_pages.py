"""The built book as a reader meets it, in a browser; `make check` builds it first."""

import functools
import itertools
import re
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from built import HTML, PAGES, ROOT, WIDTHS, barriers, open_page, sized
from missing import chromium, skip_or_fail

pytestmark = [pytest.mark.check, pytest.mark.usefixtures("built")]

FOLDER = HTML.as_uri()  # as of a downloaded release, opened without a server
BROKEN = "images => images.filter(i => !(i.complete && i.naturalWidth)).length"
LOADED = "[...document.images].every(i => i.complete)"


@pytest.fixture(scope="module")
def plain_page(browser):
    """A phone that runs no scripts, for one page of the folder after the other."""
    phone = {"viewport": sized(WIDTHS[-1]), "java_script_enabled": False}
    context = browser.new_context(**phone)
    yield open_page(context, FOLDER, PAGES[0])
    context.close()


@pytest.fixture(scope="module", params=PAGES)
def page(request, tab, site):
    """Every page in turn, opened once, at a desk; a test sets width and colours."""
    tab.set_viewport_size(sized(WIDTHS[0]))
    tab.emulate_media(color_scheme="light")
    tab.complaints.clear()
    tab.goto(f"{site}/{request.param}")
    return tab


def end(call, *given) -> str:
    """How a call ends a test: a skip that nobody caught would skip ours."""
    with pytest.raises((pytest.skip.Exception, pytest.fail.Exception)) as ended:
        call(*given)
    return ended.typename


def test_what_is_missing_is_skipped_at_home_and_fails_in_ci(monkeypatch) -> None:
    monkeypatch.setenv("CI", "")
    assert end(skip_or_fail, "no book") == "Skipped"
    monkeypatch.setenv("CI", "true")
    assert end(skip_or_fail, "no book") == "Failed"


def test_a_missing_browser_fails_on_github_alone(monkeypatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "true")  # as .ci/run does on every machine
    monkeypatch.setenv("GITHUB_ACTIONS", "")
    assert end(chromium) == "Skipped"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert end(chromium) == "Failed"


@pytest.mark.parametrize(
    ("rule", "content"),
    [
        ("button-name", "<button></button><button>named</button>"),
        (
            "scrollable-region-focusable",
            f"<pre style='width: 40em; overflow: auto'>{'<span>code, </span>' * 20}",
        ),
    ],
)
def test_a_barrier_is_found(rule, content, browser) -> None:
    page = browser.new_page()
    page.set_content(f"<html lang=en><title>A page</title>{content}</html>")
    (found,) = barriers(page)
    assert rule in found
    page.close()


def test_a_page_has_no_barrier(page) -> None:
    """First: the theme looks once which cells scroll, and makes these focusable."""
    assert barriers(page) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_is_whole(page, width) -> None:
    page.set_viewport_size(sized(width))
    check_mathematics(page)
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function(LOADED)  # some load when they are scrolled to
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.eval_on_selector_all("img", BROKEN) == 0


def check_mathematics(page) -> None:
    """Every formula is set, none with an error."""
    page.evaluate("window.MathJax && MathJax.startup.promise")
    formulas = page.locator("article .math").count()
    assert page.locator("article mjx-container").count() >= formulas
    assert page.locator("article mjx-merror").count() == 0


def test_a_reader_in_the_dark_gets_a_dark_page_with_unchanged_pictures(page) -> None:
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("html[data-theme=dark]")
    filters = "images => images.map(i => getComputedStyle(i).filter)"
    assert set(page.eval_on_selector_all("article img", filters)) <= {"none"}


def test_mathematics_and_contents_can_be_read_without_scripts(visit) -> None:
    page = visit("book/method.html", java_script_enabled=False)
    assert page.locator("article .math").first.is_visible()
    assert page.locator(".bd-links a:visible").count() == len(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_a_folder_reads_well_without_scripts(name, plain_page) -> None:
    """Also on a phone, where a script would unfold the contents."""
    page = plain_page
    page.complaints.clear()
    page.goto(f"{FOLDER}/{name}")
    article = page.locator("article")
    assert article.is_visible()
    assert len(article.inner_text().split()) > 100
    assert page.eval_on_selector_all("img", BROKEN) == 0
    assert page.locator(".prev-next-footer a:visible").count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= WIDTHS[-1]
    assert page.complaints == []


def test_a_folder_has_mathematics_and_a_search(visit) -> None:
    page = visit("book/method.html", FOLDER)
    check_mathematics(page)
    assert page.locator("article mjx-container").count() >= 7  # the paper's equations
    assert page.complaints == []
    # Titles alone: a browser lets no script of a folder read the pages' sentences.
    page = visit("search.html?q=Hausdorff", FOLDER)
    page.wait_for_selector("#search-results li a")
    assert "Table 1" in page.locator("#search-results li a").all_inner_texts()


def test_search_finds_a_word_of_the_book(visit) -> None:
    page = visit("search.html?q=Hausdorff")
    page.wait_for_selector("#search-results li a")
    found = page.locator("#search-results li a").all_inner_texts()
    assert "Table 1" in found
    assert page.complaints == []


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
