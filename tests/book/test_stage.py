import copy
import json
import os

import nbformat
import pytest
from stage import fill_stage, merge, write_if_changed

NOTEBOOKS = ["notebooks/first.ipynb", "notebooks/second.ipynb"]


@pytest.fixture
def staged(book):
    """A book whose stage is full and whose output exists."""
    fill_stage(book.root, NOTEBOOKS)
    for name in NOTEBOOKS:
        write_if_changed(book.root / "book/_stage" / name, b"{}")
    book.write("book/_build/html/index.html", "")
    return book


def test_the_stage_holds_the_book_at_the_repositorys_paths(staged) -> None:
    stage = staged.root / "book/_stage"
    for name in ("_toc.yml", "book/welcome.md", "results/run.json", *NOTEBOOKS):
        assert (stage / name).is_file()
    assert not (stage / "book/_build").exists()


def test_what_is_equal_keeps_its_time(staged) -> None:
    page = staged.root / "book/_stage/book/welcome.md"
    os.utime(page, (1, 1))
    (staged.root / "book/welcome.md").touch()
    fill_stage(staged.root, NOTEBOOKS)
    assert page.stat().st_mtime == 1
    staged.write("book/welcome.md", "# Another")
    fill_stage(staged.root, NOTEBOOKS)
    assert page.stat().st_mtime > 1


def test_what_left_the_book_leaves_the_stage(staged) -> None:
    (staged.root / "book/method.md").unlink()
    fill_stage(staged.root, NOTEBOOKS[:1])
    assert not (staged.root / "book/_stage/book/method.md").exists()
    assert not (staged.root / "book/_stage" / NOTEBOOKS[1]).exists()
    assert (staged.root / "book/_stage" / NOTEBOOKS[0]).exists()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("_toc.yml", False),
        ("_config.yml", False),
        ("book/_ext/mscf_book.py", False),
        ("book/_static/mscf.css", False),
        ("book/welcome.md", True),
    ],
)
def test_only_what_stands_on_every_page_starts_from_an_empty_output(
    name, kept, staged
) -> None:
    staged.write("book/_stage/book/_ext/__pycache__/mscf_book.pyc", "made by Sphinx")
    fill_stage(staged.root, NOTEBOOKS)
    assert staged.html.exists()
    with (staged.root / name).open("a") as file:
        file.write("\n")
    fill_stage(staged.root, NOTEBOOKS)
    assert staged.html.exists() is kept


def test_a_changed_sentence_keeps_the_outputs(notebook) -> None:
    source = notebook("n = 1", "print(n)")
    executed = copy.deepcopy(source)
    executed.cells[2].outputs = [nbformat.v4.new_output("stream", text="7\n")]
    source.cells[0].source = "# Another title"
    first = nbformat.reads(merge(source, executed, {}, {}).decode(), as_version=4)
    again = nbformat.reads(merge(source, first, {}, {}).decode(), as_version=4)
    for merged in (first, again):
        assert merged.cells[0].source == "# Another title"
        assert merged.cells[2].outputs[0].text == "7\n"
    assert "outputs" not in json.dumps(source.cells[0])
    assert source.cells[2].outputs == []


def test_the_page_says_what_the_book_passed(notebook) -> None:
    source = notebook("n = 1", "print(n)")
    executed = copy.deepcopy(source)
    injected = nbformat.v4.new_code_cell("n = 5")
    injected.metadata.tags = ["injected-parameters"]
    executed.cells.insert(2, injected)
    for _ in range(2):  # from papermill, then from the stage
        text = merge(source, executed, {"n": 5}, {"key": "k"}).decode()
        executed = nbformat.reads(text, as_version=4)
        assert "`n = 5`" in executed.cells[2].source
        assert executed.cells[3].source == "n = 5"
        assert "remove-cell" in executed.cells[3].metadata.tags
        assert len(executed.cells) == 5
        assert executed.metadata.mscf_book == {"key": "k"}
