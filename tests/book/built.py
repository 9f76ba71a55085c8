"""The built book's pages, opened in a browser."""

from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).parents[2]
HTML = ROOT / "book/_build/html"
PAGES = [f"{page}.html" for page in parse_toc_yaml(ROOT / "_toc.yml")]
WIDTHS = (1280, 1024, 375)  # a desk, a tablet, a phone
OF_CITATIONS = "aria-deprecated-role", "aria-required-children"  # docutils' own
CONTRAST = "color-contrast"
ALIKE = (
    "tbody tr:nth-child(n + 5), tbody td:nth-of-type(n + 5), "
    "pre span:nth-child(n + 9), dl.py ~ dl.py ~ dl.py"
)


def sized(width: int) -> dict[str, int]:
    return {"width": width, "height": 800}


def open_page(context, site: str, name: str):
    """A page of the book; `page.complaints` is what the browser said of it."""
    page = context.new_page()
    page.complaints = []
    say = page.complaints.append

    ours = site, "data:", "blob:"
    # Listened to, not routed: who routes has no cache, and pages share much.
    page.on("request", lambda r: r.url.startswith(ours) or say(f"asks for {r.url}"))
    page.on("console", lambda m: m.type == "error" and say(m.text))
    page.on("pageerror", lambda error: say(str(error)))
    page.on("response", lambda r: r.status >= 400 and say(f"{r.status} {r.url}"))
    page.goto(f"{site}/{name}", wait_until="load")
    return page


def barriers(page) -> list[str]:
    """What axe finds against WCAG 2, A and AA: names, order, roles; but contrast."""
    off = {rule: {"enabled": False} for rule in (*OF_CITATIONS, CONTRAST)}
    return found(page, {"runOnly": ["wcag2a", "wcag2aa"], "rules": off})


def too_pale(page) -> list[str]:
    """What axe finds of too little contrast, a second a page.

    Of what is alike only the first few stay on the page: axe's own way to leave the
    rest out takes twice as long. Nothing scrolls then any more, so this comes last.
    """
    page.evaluate("document.getAnimations().forEach(a => a.finish())")  # colours fade
    page.evaluate(f"document.querySelectorAll('{ALIKE}').forEach(e => e.remove())")
    return found(page, {"runOnly": [CONTRAST]})


def found(page, options: dict) -> list[str]:
    """Each thing that breaks a rule, and how."""
    # The browser has the styles: no need to fetch them again.
    options |= {"resultTypes": ["violations"], "preload": False}
    return [
        f"{rule['id']}: {node['html'][:120]}: {node['failureSummary']}"
        for rule in Axe().run(page, options=options).response["violations"]
        for node in rule["nodes"]
    ]
