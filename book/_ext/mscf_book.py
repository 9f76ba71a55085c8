"""What this book needs beside Jupyter Book.

- The repository's address, and with it every edit, issue and launch button, comes from
  ``GITHUB_REPOSITORY``, so that a fork's book points to the fork; the word ADDRESS of
  a page is that address. Without it (a build at home) there are none of these buttons,
  and the word stays.
- ``{res}`` writes a number of a result file, linked to that file; ``{pycode}`` shows
  the code of one class or function as it is in the package; ``{drawn}`` a picture of
  `mscf.pages.pictures`; ``{any-pixel}`` a kept slice of which any pixel can be asked
  where it looks.
- Pages load nothing from another host and raise no script error; each says at its foot
  which version it shows.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from code_directive import CodeDirective
from picture_directives import (
    AnyPixelDirective,
    DrawnDirective,
    pages_of_other_results,
)
from result_role import ResultRole
from sphinx.application import Sphinx
from sphinx.config import Config

# What MathJax loads for TeX in, HTML out: 3 MB of the 9 MB that its package copies.
MATHJAX = ("tex-chtml.js", "input/tex", "output/chtml")


def set_address(_app: Sphinx, config: Config) -> None:
    """Buttons and canonical addresses of the repository that builds this book."""
    options = config.html_theme_options
    options["navbar_persistent"] = []  # else a second search field, above the page
    repository = os.environ.get("GITHUB_REPOSITORY", "")
    address = f"https://github.com/{repository}" if repository else ""
    options["repository_url"] = config.repository_address = address
    if not repository:
        config.suppress_warnings = [*config.suppress_warnings, "sitemap.configuration"]
        return
    options["repository_branch"] = "main"
    for button in ("repository", "edit_page", "issues"):
        options[f"use_{button}_button"] = True
    options["launch_buttons"] = {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    }
    owner, name = repository.split("/")
    config.html_baseurl = config.ogp_site_url = f"https://{owner}.github.io/{name}/"


def write_address(app: Sphinx, _page: str, source: list[str]) -> None:
    """The word ADDRESS of a page (``git clone ADDRESS``), where it is known."""
    if address := app.config.repository_address:
        source[0] = re.sub(r"\bADDRESS\b", address, source[0])


def set_mode(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object
) -> None:
    """Starts in the reader's colours; with no mode at all the theme raises an error."""
    context["default_mode"] = "auto"


def set_stamp(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object
) -> None:
    """A page's foot says of which code it is, and when it was written."""
    context["theme_extra_footer"] = f"<p>{stamp()}</p>"


@cache
def stamp() -> str:
    """Version, commit (where there is git) and day of this build."""
    git = ["git", "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(  # noqa: S603, a fixed command
            git, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        )
    except OSError:  # no git here
        commit = ""
    else:
        commit = f" ({done.stdout.strip()})" if done.returncode == 0 else ""
    return f"mscf {version('mscf')}{commit}, {datetime.now(UTC):%-d %B %Y}"


def set_colab_branch(
    _app: Sphinx, _page: str, _template: str, context: dict[str, Any], _tree: object
) -> None:
    """Colab opens a notebook of the branch ``colab``, which `book/colab.py` writes.

    The theme has one branch for all buttons; Binder and edits belong to main.
    """
    for group in context.get("header_buttons", []):
        if group.get("label") == "launch-buttons":
            for button in group["buttons"]:
                if button["text"] == "Colab":
                    button["url"] = button["url"].replace("/blob/main/", "/blob/colab/")


def silence_thebe(app: Sphinx) -> None:
    """Takes away thebe, which Jupyter Book loads always and this book never uses.

    It writes its address twice, a script error, and a configuration into every page.
    """
    for listeners in app.events.listeners.values():
        ours = [one for one in listeners if one.handler.__module__ != "sphinx_thebe"]
        listeners[:] = ours
    styles = app.registry.css_files
    styles[:] = [style for style in styles if style[0] != "sphinx-thebe.css"]


def prune_mathjax(app: Sphinx, _error: Exception | None) -> None:
    """Leaves only what the pages load of the MathJax that another extension copied."""
    folder = Path(app.outdir, "_static", "mathjax")
    files = [file for file in folder.rglob("*") if file.is_file()]
    for file in files:
        if not file.relative_to(folder).as_posix().startswith(MATHJAX):
            file.unlink()
    for place in folder.iterdir() if folder.is_dir() else ():
        if place.is_dir() and not any(file.is_file() for file in place.rglob("*")):
            shutil.rmtree(place)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx, after Jupyter Book's own extensions."""
    silence_thebe(app)
    app.add_role("res", ResultRole())
    app.add_directive("pycode", CodeDirective)
    app.add_directive("drawn", DrawnDirective)
    app.add_directive("any-pixel", AnyPixelDirective)
    # "env": all pages are read anew when it changes, the word ADDRESS stands in them.
    app.add_config_value("repository_address", "", "env")
    app.connect("config-inited", set_address)
    app.connect("source-read", write_address)
    app.connect("env-get-outdated", pages_of_other_results)
    app.connect("html-page-context", set_mode)
    app.connect("html-page-context", set_stamp)
    app.connect("html-page-context", set_colab_branch, priority=502)  # theme: 501
    app.connect("build-finished", prune_mathjax, priority=900)  # after who copies it
    return {"parallel_read_safe": True, "parallel_write_safe": True}
