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

import ast
import csv
import json
import os
import re
import shutil
import subprocess
import textwrap
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.addnodes import download_reference
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.directives.code import CodeBlock
from sphinx.directives.patches import Figure
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

import mscf

logger = logging.getLogger(__name__)

# What MathJax loads for TeX in, HTML out: 3 MB of the 9 MB that its package copies.
MATHJAX = ("tex-chtml.js", "input/tex", "output/chtml")
NOTED = "mscf_results"  # of a page's metadata: which result files its pictures show


class ResultRole(SphinxRole):
    """``{res}`FILE:KEY|FORMAT``` writes one value of a file under ``results/``.

    KEY is dotted (a number counts in a list) of JSON, and ``COLUMN=VALUE,...:COLUMN``
    of a table (CSV), which names one row and what to write of it. FORMAT is Python's,
    such as ``.2f`` or ``.1%``, and may be left out. An unknown file or key is a
    warning, which ends the build.
    """

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """The value as a link that downloads its file."""
        place, _, form = self.text.partition("|")
        file, _, key = place.partition(":")
        try:
            find = find_cell if file.endswith(".csv") else find_value
            value = find(Path(self.env.srcdir, "results", file), key)
            text = format(value, form)
        except (OSError, LookupError, TypeError, ValueError) as error:
            reason = error.args[-1] if isinstance(error, LookupError) else error
            logger.warning(
                "{res}`%s`: %s", self.text, reason, location=self.get_location()
            )
            return [nodes.problematic(self.rawtext, self.rawtext)], []
        link = download_reference(
            self.rawtext, text, reftarget=f"/results/{file}", refdoc=self.env.docname
        )
        link["classes"].append("res")  # to look like a number, not like a download
        return [link], []


def find_cell(file: Path, key: str) -> float | str:
    """The cell of a table in the one row that ``COLUMN=VALUE,...:COLUMN`` names.

    Raises:
        LookupError: no such column, no such row, or more than one.
    """
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    conditions, _, column = key.rpartition(":")
    wanted = dict(condition.split("=", 1) for condition in conditions.split(","))
    there = list(rows[0]) if rows else []
    if unknown := {*wanted, column} - set(there):
        raise LookupError(f"no column {min(unknown)!r}; there is {there}")
    found = [row for row in rows if all(row[k] == v for k, v in wanted.items())]
    if len(found) != 1:
        raise LookupError(f"{len(found)} rows with {conditions!r}, one is wanted")
    text = found[0][column]
    try:
        return float(text)
    except ValueError:
        return text


def find_value(file: Path, key: str) -> float | str:
    """The value under a dotted key of a JSON file.

    Raises:
        LookupError: there is no such key.
        TypeError: what stands there is no number and no text.
    """
    value = json.loads(file.read_text(encoding="utf-8"))
    for part in key.split("."):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (LookupError, TypeError, ValueError):
            there = list(value) if isinstance(value, dict) else type(value).__name__
            raise LookupError(f"no {part!r} of {key!r}; there is {there}") from None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError(f"{key!r} must be a number or a text, found {value!r}")
    return value


class CodeDirective(CodeBlock):
    """``{pycode} mscf.models.context.SpatialContext.forward`` shows that code.

    Takes the options of ``code-block``. The file is read, not imported: a page needs
    no torch, and it is built anew when the file changes.
    """

    required_arguments = 1
    optional_arguments = 0
    has_content = False

    def run(self) -> list[nodes.Node]:
        """A code block of the object's lines, from the margin."""
        name = self.arguments[0]
        try:
            file, code = find_code(name)
        except LookupError as error:
            logger.warning("{pycode} %s: %s", name, error, location=self.get_location())
            return []
        self.env.note_dependency(str(file))
        self.content = StringList(code.splitlines(), source=str(file))
        self.arguments = ["python"]
        return super().run()


def find_code(name: str) -> tuple[Path, str]:
    """The file of a dotted name and the object's code in it, from the margin.

    Raises:
        LookupError: no such module, or nothing of that name is defined in it.
    """
    parts = name.split(".")
    spec, depth = find_spec(parts[0]), 1
    if spec is None:
        raise LookupError(f"there is no module {parts[0]}")
    while spec.submodule_search_locations and depth < len(parts):
        inner = find_spec(".".join(parts[: depth + 1]))
        if inner is None:
            break
        spec, depth = inner, depth + 1
    file = Path(spec.origin)
    source = file.read_text(encoding="utf-8")
    scope: ast.AST = ast.parse(source)
    for part in parts[depth:]:
        inside = [n for n in ast.iter_child_nodes(scope) if part == defined_name(n)]
        if not inside:
            raise LookupError(f"{file.name} defines no {part}")
        scope = inside[-1]
    if isinstance(scope, ast.Module):
        return file, source
    decorators = getattr(scope, "decorator_list", [])
    first = min([scope.lineno, *(d.lineno for d in decorators)])
    lines = source.splitlines()[first - 1 : scope.end_lineno]
    return file, textwrap.dedent("\n".join(lines))


def defined_name(node: ast.AST) -> str | None:
    """What a class, a function or a plain assignment defines."""
    if isinstance(node, ast.Assign | ast.AnnAssign):
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        return target.id if isinstance(target, ast.Name) else None
    return getattr(node, "name", None)


class DrawnDirective(Figure):
    """``{drawn} NAME`` draws a picture of `mscf.pages.pictures`; else as ``figure``.

    The page is built anew when the package changes, what the drawn results hold, or
    which there are.
    """

    def run(self) -> list[nodes.Node]:
        """The figure, its picture written into the stage."""
        # Imports torch: only the pages that have this wait for it.
        from mscf.errors import MscfError, printable
        from mscf.kept.archives import DAMAGED
        from mscf.pages.pictures import PICTURES

        env, name = self.state.document.settings.env, self.arguments[0]
        if name not in PICTURES:
            known = ", ".join(PICTURES)
            raise self.error(f"{{drawn}} {name}: must be one of {known}")
        pattern = PICTURES[name].files
        files = note_results(env, pattern)
        note_package(env)
        if pattern and not files:
            raise self.error(f"{{drawn}} {name}: no results/{pattern}")
        try:
            place = draw(name, files, Path(env.srcdir, "book/_pictures"))
        except (*DAMAGED, LookupError, MscfError) as error:
            found = printable(f"{type(error).__name__}: {error}")
            source = f" from results/{pattern}" if pattern else ""
            raise self.error(f"{{drawn}} {name}{source}: {found}") from error
        self.arguments[0] = f"/book/_pictures/{place.name}"
        return super().run()


def draw(name: str, files: list[Path], folder: Path) -> Path:
    """Writes a picture of `mscf.pages.pictures`; its file."""
    from matplotlib import pyplot as plt

    from mscf.pages.pictures import PICTURES
    from mscf.visualisation.style import use_style

    picture = PICTURES[name]
    place = folder / f"{name}.{picture.form}"
    place.parent.mkdir(parents=True, exist_ok=True)
    undated = {"Date": None} if picture.form == "svg" else {}
    use_style()
    with plt.rc_context({"svg.hashsalt": name}):  # equal bytes each time
        figure = picture.draw(files)
        figure.savefig(place, dpi=150, metadata=undated)
        plt.close(figure)
    return place


def note_package(env: BuildEnvironment) -> None:
    """The page that is read is built anew when a file of the package changes."""
    for file in Path(mscf.__file__).parent.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            env.note_dependency(str(file))


def note_results(env: BuildEnvironment, pattern: str) -> list[Path]:
    """The page that is read is built anew when such results come, change or go."""
    files = find_results(env, pattern)
    for file in files:
        env.note_dependency(str(file))
    env.metadata[env.docname].setdefault(NOTED, {})[pattern] = files
    return files


def find_results(env: BuildEnvironment, pattern: str) -> list[Path]:
    """The files below ``results/`` of a pattern; of an empty one none."""
    return sorted(Path(env.srcdir, "results").glob(pattern)) if pattern else []


def pages_of_other_results(
    _app: Sphinx, env: BuildEnvironment, *_known: set[str]
) -> list[str]:
    """The pages for which there are other result files now than were drawn.

    Sphinx itself sees files that change or go, not those that come.
    """
    return [
        page
        for page, noted in env.metadata.items()
        for pattern, files in noted.get(NOTED, {}).items()
        if find_results(env, pattern) != files
    ]


class AnyPixelDirective(SphinxDirective):
    """``{any-pixel} results/.../any_pixel.npz`` shows that slice, to be asked.

    The page is built anew when the file changes, or the package that draws it.
    """

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """The figure as it is written by `mscf.visualisation.ask_page`."""
        # Imports torch: only the page that has this waits for it.
        from mscf.errors import MscfError
        from mscf.kept.any_pixel import read_asked
        from mscf.visualisation.ask_page import ask_page

        path = Path(self.env.srcdir, self.arguments[0])
        self.env.note_dependency(str(path))
        note_package(self.env)
        try:
            figure = ask_page(read_asked(path))
        except MscfError as error:
            logger.warning("{any-pixel}: %s", error, location=self.get_location())
            return []
        return [nodes.raw("", figure, format="html")]


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
