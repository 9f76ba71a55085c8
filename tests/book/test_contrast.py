"""What stands on a page of the built book stands out from it, in light and dark."""

import pytest
from built import PAGES, too_pale

# Text and formulas; tables, code and outputs; docstrings; a page that can be asked.
OF_ALL_KINDS = (
    "book/method.html",
    "notebooks/table1.html",
    "book/api.html",
    "book/welcome.html",
)
EVERY = [  # a minute and more
    pytest.param(
        name, marks=pytest.mark.check if name in OF_ALL_KINDS else pytest.mark.slow
    )
    for name in PAGES
]


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("name", EVERY)
def test_a_page_has_contrast(name, colours, tab, site) -> None:
    tab.emulate_media(color_scheme=colours)
    tab.goto(f"{site}/{name}")
    assert too_pale(tab) == []


@pytest.mark.check
def test_pale_words_are_found(browser) -> None:
    page = browser.new_page()
    page.set_content("<p style='color: #bbb'>pale</p><p style='color: #333'>dark</p>")
    (found,) = too_pale(page)
    assert "pale" in found
    page.close()
