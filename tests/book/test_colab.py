"""What Colab opens: the book's notebooks with a cell put first that installs."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).parents[2]
NOTEBOOKS = [p for p in parse_toc_yaml(ROOT / "_toc.yml") if p.startswith("notebooks/")]


@pytest.fixture
def clonable(tmp_path) -> Path:
    """A repository that git clones."""
    git = ["git", "-C", str(tmp_path / "theirs"), "-c", "user.name=a", "-c"]
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/_toc.yml").touch()
    for words in (["init"], ["add", "."], ["commit", "-m", "all"]):
        subprocess.run(
            [*git, "user.email=a@b", *words], check=True, capture_output=True
        )
    return tmp_path / "theirs"


@pytest.fixture
def out(clonable, tmp_path) -> Path:
    """What the script writes; isolated and without site-packages, as Actions has it."""
    script = [sys.executable, "-I", "-S", str(ROOT / "book/colab.py")]
    subprocess.run([*script, str(clonable), str(tmp_path / "out")], check=True)
    return tmp_path / "out"


@pytest.fixture
def cell(out) -> str:
    """The source of the cell put first."""
    return nbformat.read(out / "notebooks/train.ipynb", as_version=4).cells[0].source


@pytest.fixture
def execute(cell, tmp_path, monkeypatch):
    """Executes the cell in an empty folder, and lists what it asked pip for."""
    (tmp_path / "content").mkdir()
    monkeypatch.chdir(tmp_path / "content")
    asked, run = [], subprocess.run

    def instead(command, **options):
        if "pip" in command:
            return asked.append(command[1:])
        return run(command, **options)

    monkeypatch.setattr(subprocess, "run", instead)

    def execute() -> list[list[str]]:
        exec(cell, {})
        return asked

    return execute


def test_every_notebook_of_the_book_is_there_with_one_cell_more(out) -> None:
    written = sorted(path.relative_to(out) for path in out.rglob("*.*"))
    assert written == sorted(Path(f"{page}.ipynb") for page in NOTEBOOKS)
    for path in written:
        notebook = nbformat.read(out / path, as_version=4)
        nbformat.validate(notebook)
        first = notebook.cells.pop(0)
        assert "COLAB_RELEASE_TAG" in first.source
        assert notebook == nbformat.read(ROOT / path, as_version=4)


def test_elsewhere_the_cell_does_nothing(execute, monkeypatch) -> None:
    monkeypatch.delenv("COLAB_RELEASE_TAG", raising=False)
    assert execute() == []
    assert list(Path.cwd().iterdir()) == []


def test_on_colab_it_clones_installs_and_goes_there(execute, monkeypatch) -> None:
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab-external_2026")
    content = Path.cwd()
    # The package's own bounds alone: no extra, no constraints, no version.
    install = ["-m", "pip", "install", "--quiet", "./mscf"]
    assert execute() == [install]
    assert Path.cwd() == content / "mscf"
    assert Path("_toc.yml").is_file()
    assert execute() == [install]  # the cell again
    assert Path.cwd() == content / "mscf"
    monkeypatch.chdir(content)  # a new kernel on the same machine
    assert execute() == [install, install]
    assert Path.cwd() == content / "mscf"


def test_a_repository_that_cannot_be_cloned_ends_the_notebook_there(
    execute, clonable, monkeypatch
) -> None:
    monkeypatch.setenv("COLAB_RELEASE_TAG", "release-colab-external_2026")
    (clonable / ".git/HEAD").unlink()
    with pytest.raises(subprocess.CalledProcessError, match="git"):
        execute()
