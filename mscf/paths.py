"""Where relative paths in notebooks start from."""

from __future__ import annotations

from pathlib import Path


def root() -> Path:
    """The repository's folder, looked for from the current one upward.

    Papermill runs a notebook in the repository, Jupyter Lab in ``notebooks/``: both
    mean the same files by ``root() / "runs/train"``. Where there is no repository (a
    notebook alone on Colab) it is the current folder.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "_toc.yml").is_file() and (folder / "mscf").is_dir():
            return folder
    return here
