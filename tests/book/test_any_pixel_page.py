"""A page that can be asked, as a reader meets it in a browser: from a folder."""

import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib import colormaps
from missing import skip_or_fail

from mscf.kept.any_pixel import read_asked, write_page
from mscf.paths import root

pytestmark = pytest.mark.check

KEPT = root() / "results/phantoms-shown-192/patient/mscf/fold-0/seed-0/any_pixel.npz"
WELCOME = root() / "book/_build/html/book/welcome.html"
LARGEST = 4_000_000  # bytes of a page
SIZES = [(375, 700), (1280, 800)]  # a phone, a desk
PAINTED = """canvas => Array.from(canvas.getContext("2d").getImageData(
    0, 0, canvas.width, canvas.height).data)"""


@pytest.fixture(scope="module")
def asked():
    return read_asked(KEPT)


@pytest.fixture(scope="module")
def page_file(asked, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    write_page(asked, path)
    return path


@pytest.fixture
def visit(browser, page_file):
    """Opens the page from its folder; `visit.complaints` is what the browser said."""
    contexts = []

    def open_page(size=SIZES[1], path=page_file, **options):
        context = browser.new_context(
            viewport=dict(zip(("width", "height"), size, strict=True)), **options
        )
        contexts.append(context)
        page = context.new_page()
        say = open_page.complaints.append
        page.on("console", lambda m: m.type == "error" and say(m.text))
        page.on("pageerror", lambda error: say(str(error)))
        page.on("request", lambda r: r.url.startswith(("file:", "data:")) or say(r.url))
        page.goto(path.as_uri())
        return page

    open_page.complaints = []
    yield open_page
    assert open_page.complaints == []
    for context in contexts:
        context.close()


def place_of(page, asking, grid, panel=0) -> tuple[float, float]:
    """Where on the screen a pixel of the grid lies, in one of the panels."""
    box = page.locator(".ask-picture").nth(panel).bounding_box()
    y, x = ((at + 0.5) / n for at, n in zip(asking, grid, strict=True))
    return box["x"] + x * box["width"], box["y"] + y * box["height"]


def said(page) -> str:
    return page.locator(".ask-said").inner_text()


def check_shown(page, asked, asking) -> None:
    """The words, the table and every map are those of the pixel that was asked."""
    row, column = asked.pixels[asking]
    tissue = ("elsewhere", "liver", "tumour")[asked.labels[row, column]]
    assert f"Asked: row {row}, column {column} ({tissue})." in said(page)
    lines = page.locator(".ask-said tbody tr")
    canvases = page.locator(".ask-picture canvas")
    assert canvases.count() == len(asked.scales)
    for k, scale in enumerate(asked.scales):
        shares = [float(t) for t in lines.nth(k).locator("td").all_inner_texts()]
        np.testing.assert_allclose(shares, scale.shares[asking], atol=0.051)
        times = scale.times(asking)
        part = np.log(np.maximum(times, 1)) / np.log(times.size)
        expected = colormaps["plasma"](part, bytes=True)
        expected[times < 1] = 0
        painted = np.reshape(canvases.nth(k).evaluate(PAINTED), expected.shape)
        edge = np.abs(times - 1) < 1e-3  # either side of the even share is right
        steps = np.abs(painted - expected.astype(int))[~edge]
        assert steps.max() <= 3  # one colour of the 256 beside it


@pytest.mark.parametrize("size", SIZES)
def test_a_pointer_asks_what_it_points_at_on_every_panel(size, visit, asked) -> None:
    page = visit(size)
    grid = asked.pixels.shape[:2]
    random = np.random.default_rng(1)
    for i, (row, column) in enumerate(random.integers(0, 24, (10, 2)).tolist()):
        x, y = place_of(page, (row, column), grid, panel=i % 4)
        page.mouse.move(x, y)
        check_shown(page, asked, (row, column))


@pytest.mark.parametrize("size", SIZES)
def test_a_finger_asks_by_a_touch_and_while_it_moves(size, visit, asked) -> None:
    page = visit(size, has_touch=True, is_mobile=size[0] < 500)
    grid = asked.pixels.shape[:2]
    page.locator(".ask-picture").first.scroll_into_view_if_needed()
    x, y = place_of(page, (5, 8), grid)
    page.touchscreen.tap(x, y)
    check_shown(page, asked, (5, 8))
    session = page.context.new_cdp_session(page)
    touch = "Input.dispatchTouchEvent"
    point = {"x": x, "y": y}
    session.send(touch, {"type": "touchStart", "touchPoints": [point]})
    for column in range(9, 16):  # sideways: up and down the page scrolls
        point = dict(zip("xy", place_of(page, (5, column), grid), strict=True))
        session.send(touch, {"type": "touchMove", "touchPoints": [point]})
    session.send(touch, {"type": "touchEnd", "touchPoints": []})
    check_shown(page, asked, (5, 15))


@pytest.mark.parametrize("size", SIZES)
def test_arrow_keys_move_the_pixel_and_stop_at_the_edge(size, visit, asked) -> None:
    page = visit(size)
    row, column = asked.chosen[0].tolist()
    check_shown(page, asked, (row, column))
    page.keyboard.press("Tab")
    panels = page.locator(".ask-panels")
    assert panels.evaluate("p => p === document.activeElement")
    outline = panels.evaluate("p => getComputedStyle(p).outlineStyle")
    assert outline == "solid"
    for key, down, right in (
        ("ArrowDown", 1, 0), ("ArrowRight", 0, 1), ("ArrowUp", -1, 0),
        ("ArrowLeft", 0, -1), ("ArrowLeft", 0, -1),
    ):  # fmt: skip
        page.keyboard.press(key)
        row, column = row + down, column + right
        check_shown(page, asked, (row, column))
    scrolled = page.evaluate("scrollY")
    for _ in range(30):
        page.keyboard.press("ArrowDown")
    check_shown(page, asked, (23, column))
    page.wait_for_timeout(200)  # a page scrolls softly
    assert page.evaluate("scrollY") == scrolled
    page.keyboard.press("Tab")
    assert not panels.evaluate("p => p === document.activeElement")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_whole_in_light_and_dark(size, scheme, visit) -> None:
    page = visit(size, color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    words = page.locator(".ask-said p")
    colour = words.evaluate("p => getComputedStyle(p).color")
    bright = np.mean(json.loads(colour.replace("rgb(", "[").replace(")", "]"))) > 128
    assert bright == (scheme == "dark")
    assert page.locator(".ask-said").get_attribute("role") == "status"
    assert page.locator(".ask-strip").is_hidden()
    marks = page.locator(".ask-mark")
    assert marks.count() == 4
    for panel in range(4):
        box = page.locator(".ask-picture").nth(panel).bounding_box()
        mark = marks.nth(panel).bounding_box()
        assert box["x"] < mark["x"] + mark["width"] / 2 < box["x"] + box["width"]
        assert box["y"] < mark["y"] + mark["height"] / 2 < box["y"] + box["height"]


@pytest.mark.parametrize("size", SIZES)
def test_without_scripts_chosen_pixels_stand_there(size, visit, asked) -> None:
    page = visit(size, java_script_enabled=False)
    assert page.locator(".ask-live").is_hidden()
    pictures = page.locator(".ask-strip img")
    assert pictures.count() == len(asked.names) == 6
    for picture in pictures.all():
        assert picture.is_visible()
        assert len(picture.get_attribute("alt").split()) > 5


def test_the_page_is_small(page_file) -> None:
    assert page_file.stat().st_size < LARGEST


def test_the_welcome_page_can_be_asked(visit, asked) -> None:
    if not WELCOME.is_file():
        skip_or_fail("NOT TESTED: the book is not built; run `make book`")
    assert WELCOME.stat().st_size < LARGEST
    for size in SIZES:
        page = visit(size, WELCOME)
        page.locator(".ask-panels").focus()
        page.keyboard.press("ArrowUp")
        row, column = asked.chosen[0].tolist()
        check_shown(page, asked, (row - 1, column))
