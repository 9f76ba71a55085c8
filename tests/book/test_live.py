"""Binder and Colab imitated, since neither can be reached from here. An hour for all:

    .venv/bin/python -m pytest -m slow tests/book/test_live.py -rP

Both stand on one bare environment of the packages that `environment.yml` names. Binder
has a clone with the package installed from it, Colab a folder with the one notebook.
Every notebook runs top to bottom on its defaults; `-rP` prints what it took.
"""

import os
import re
import subprocess
import venv
from importlib.metadata import distributions
from pathlib import Path

import colab
import nbformat
import pytest
import yaml
from build import ALONE, MEMORY_MB
from execute import failed_cell, watch
from sphinx_external_toc.parsing import parse_toc_yaml

# The index of packages is asked for the environment and for what builds the package.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

ROOT = Path(__file__).parents[2]
PAGES = parse_toc_yaml(ROOT / "_toc.yml")
NOTEBOOKS = [f"{page}.ipynb" for page in PAGES if page.startswith("notebooks/")]
NOTEBOOKS.sort(key=lambda name: name in ALONE)  # the long ones last
PIP_NAMES = {"pytorch-cpu": "torch", "python-isal": "isal"}


@pytest.fixture(scope="session")
def packages(tmp_path_factory) -> Path:
    """An environment with the packages of `environment.yml` and what they need.

    Of the tested versions, though Binder takes the newest: with pip alone a torch and a
    torchvision that do not belong together could be found.
    """
    folder = tmp_path_factory.mktemp("packages")
    venv.create(folder, with_pip=True)
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    names = [re.sub(r"^[\w-]+", in_pip, line) for line in lines[2:-1]]
    install = ["install", "--quiet", "--constraint", ROOT / "constraints.txt", *names]
    subprocess.run([folder / "bin/python", "-m", "pip", *install], check=True)
    return folder


def in_pip(conda_name: re.Match) -> str:
    return PIP_NAMES.get(conda_name[0], conda_name[0])


def machine(folder: Path, packages: Path) -> Path:
    """The interpreter of a new environment that has them; what is added lies apart."""
    venv.create(folder)
    (site_packages(folder) / "given.pth").write_text(f"{site_packages(packages)}\n")
    return folder / "bin/python"


def site_packages(environment: Path) -> Path:
    return next(environment.glob("lib/python*/site-packages"))


def clone(folder: Path) -> Path:
    """What is committed here, without what lies around."""
    subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
    return folder


@pytest.fixture(scope="session")
def binder(packages, tmp_path_factory) -> tuple[Path, Path]:
    """A clone, and an interpreter with the package installed from it."""
    folder = tmp_path_factory.mktemp("binder")
    python, home = machine(folder / "venv", packages), clone(folder / "home")
    install = ["install", "--quiet", "--editable", "."]
    subprocess.run([python, "-m", "pip", *install], cwd=home, check=True)
    return python, home


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """What publishing writes for Colab, of a repository on this machine."""
    folder = tmp_path_factory.mktemp("published")
    colab.main(clone(folder / "repository").as_uri(), folder / "out")
    return folder / "out"


def run(python: Path, notebook: Path, executed: Path, **environment: str) -> None:
    """Runs it where it lies, fails when a cell does, and prints what it took.

    Binder ends what holds more than its 2 GB. Looked at is what all processes hold
    together, papermill in the place of Lab's server; a limit on what they reserve
    (``prlimit --data``) would count what malloc has long given back.
    """
    papermill = [str(python), "-m", "papermill", str(notebook), str(executed)]
    options = ["--kernel", "python3", "--no-progress-bar", "--cwd", notebook.parent]
    ours = {"PYTHONPATH", "JUPYTER_PATH"}  # would bring what is not given there
    bare = {k: v for k, v in os.environ.items() if k not in ours} | environment
    log = executed.with_suffix(".log")
    code, took = watch([*papermill, *map(str, options)], bare, log)
    if executed.is_file():
        failed = failed_cell(nbformat.read(executed, as_version=4))
        assert failed is None, f"code cell {failed[0]}: {failed[1].evalue}"
    assert code == 0, log.read_text()
    print(f"{notebook.name}: {took['seconds']} s, {took['peak_mb']} MB")
    assert took["peak_mb"] < MEMORY_MB


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_in_a_clone_as_on_binder(name, binder, tmp_path) -> None:
    python, home = binder
    run(python, home / name, tmp_path / "executed.ipynb")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_alone_as_on_colab(name, packages, published, tmp_path) -> None:
    python = machine(tmp_path / "venv", packages)
    (tmp_path / "content").mkdir()
    notebook = (published / name).rename(tmp_path / "content" / Path(name).name)
    run(python, notebook, tmp_path / "executed.ipynb", COLAB_RELEASE_TAG="imitated")
    installed = distributions(path=[str(site_packages(tmp_path / "venv"))])
    # torch and numpy are as given
    assert {one.name for one in installed} == {"captum", "mscf"}
