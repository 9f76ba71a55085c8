"""Pictures on pages, drawn from code and results while the book is built."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.directives.patches import Figure
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import mscf

logger = logging.getLogger(__name__)

NOTED = "mscf_results"  # of a page's metadata: which result files its pictures show


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
        patterns = PICTURES[name].files
        files = note_results(env, patterns)
        note_package(env)
        for pattern in patterns:
            if not find_results(env, [pattern]):
                raise self.error(f"{{drawn}} {name}: no results/{pattern}")
        try:
            place = draw(name, files, Path(env.srcdir, "book/_pictures"))
        except (*DAMAGED, LookupError, MscfError) as error:
            found = printable(f"{type(error).__name__}: {error}")
            source = "".join(f" from results/{pattern}" for pattern in patterns)
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


def note_results(env: BuildEnvironment, patterns: Sequence[str]) -> list[Path]:
    """The page that is read is built anew when such results come, change or go."""
    files = find_results(env, patterns)
    for file in files:
        env.note_dependency(str(file))
    env.metadata[env.docname].setdefault(NOTED, {})[patterns] = files
    return files


def find_results(env: BuildEnvironment, patterns: Sequence[str]) -> list[Path]:
    """The files below ``results/`` of some patterns."""
    results = Path(env.srcdir, "results")
    return sorted(file for pattern in patterns for file in results.glob(pattern))


def pages_of_other_results(
    _app: Sphinx, env: BuildEnvironment, *_known: set[str]
) -> list[str]:
    """The pages for which there are other result files now than were drawn.

    Sphinx itself sees files that change or go, not those that come.
    """
    return [
        page
        for page, noted in env.metadata.items()
        for patterns, files in noted.get(NOTED, {}).items()
        if find_results(env, patterns) != files
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
