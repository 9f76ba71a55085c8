"""pyproject.toml, constraints.txt and environment.yml name the same packages."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch-cpu", "isal": "python-isal"}  # torch for a CPU
CONDA_BOUNDS = {"jupyter-book": ">=1.0.4,<2"}  # conda knows no .post1
ONLY_PIP = {"captum"}  # conda-forge's is too old; comes with `-e .`
BUILDS_THE_SITE = {"sphinx-mathjax-offline", "sphinx-sitemap", "sphinxext-opengraph"}
ONLY_BINDER = {"python", "pip", "jupyterlab"}


def requirements(*extras: str) -> dict[str, Requirement]:
    lines = PROJECT["dependencies"] + [
        line for extra in extras for line in PROJECT["optional-dependencies"][extra]
    ]
    return {r.name: r for r in map(Requirement, lines)}


def constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {canonicalize_name(name): Version(number) for name, number in pairs}


def test_binder_installs_what_the_notebooks_need_with_the_same_bounds() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = {
        re.match(r"[\w-]+", line)[0]: re.sub(r"^[\w-]+", "", line)
        for line in environment["dependencies"]
        if isinstance(line, str)
    }
    wanted = {
        CONDA_NAMES.get(name, name): CONDA_BOUNDS.get(name, str(requirement.specifier))
        for name, requirement in requirements("book", "dicom").items()
        if name not in BUILDS_THE_SITE | ONLY_PIP
    }
    assert {n: b for n, b in conda.items() if n not in ONLY_BINDER} == wanted
    assert ">=" + conda["python"].strip("=") == PROJECT["requires-python"]
    assert environment["channels"][0] == "conda-forge"
    assert environment["dependencies"][-1] == {"pip": ["-e ."]}


EXTRAS = "book", "dev", "dicom", "export", "grid"


@pytest.mark.parametrize("name", sorted(requirements(*EXTRAS)))
def test_the_tested_version_is_within_the_bounds(name) -> None:
    tested = constraints()[canonicalize_name(name)]
    assert requirements(*EXTRAS)[name].specifier.contains(tested)


def test_constraints_are_exact_versions_and_nothing_else() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[\w.-]+==[\w.]+|#.*|", line), line


def test_all_is_every_extra() -> None:
    assert PROJECT["optional-dependencies"]["all"] == [
        "mscf[book,dev,dicom,export,grid]"
    ]


def test_type_checkers_are_told_that_the_package_is_typed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    assert "py.typed" in setuptools["setuptools"]["package-data"]["mscf"]
    assert (ROOT / "mscf/py.typed").is_file()


def test_jupyter_book_is_version_1() -> None:
    """Version 2 reads other files, and wrote no page where others only updated."""
    assert Version(version("jupyter-book")).major == 1
