"""What decides that a notebook of the book is executed again."""

from pathlib import Path

import build
import nbformat
import pytest
from execute import (
    NOT_STARTED,
    STARTS,
    Execution,
    book_parameters,
    content_key,
    execute,
    execute_all,
)
from sphinx_external_toc.parsing import parse_toc_yaml

from mscf.errors import InputError


def key(book, source, **parameters) -> str:
    return content_key(book.root, "notebooks/x.ipynb", source, parameters)


@pytest.fixture
def source(notebook):
    made = notebook("n = 1", "print(n)")
    made.metadata.mscf = {"inputs": ["results/*.json"]}
    return made


def test_the_key_depends_on_what_decides_the_outputs(book, source) -> None:
    keys = [key(book, source), key(book, source, n=2)]
    source.cells[-1].source += "\n"
    keys.append(key(book, source))
    source.cells[-1].metadata.tags = ["hide-input"]
    keys.append(key(book, source))
    book.write("mscf/library.py", "answer = 2\n")
    keys.append(key(book, source))
    book.write("mscf/models/new.py", "")
    keys.append(key(book, source))
    book.write("results/run.json", "{}")
    keys.append(key(book, source))
    assert len(set(keys)) == len(keys)


def test_the_key_depends_on_nothing_else(book, source) -> None:
    before = key(book, source)
    source.cells[0].source = "# Another title"
    book.write("mscf/__pycache__/library.pyc", "compiled")
    book.write("results/unread.csv", "1,2")
    (book.root / "mscf/library.py").touch()
    assert key(book, source) == before


def test_a_declared_input_that_is_not_there_is_refused(book, source) -> None:
    source.metadata.mscf = {"inputs": ["results/none.csv"]}
    with pytest.raises(InputError, match=r"results/none\.csv.*\[inputs\]"):
        key(book, source)
    source.metadata.mscf = {"inputs": ["runs/book/train/best.ckpt"]}
    with pytest.raises(InputError, match=r"delete book/_stage, .* \[inputs\]"):
        key(book, source)


def test_what_a_page_leaves_for_another_is_there_before_the_other_runs(
    monkeypatch, notebook
) -> None:
    order, root = [], Path(__file__).parents[2]
    monkeypatch.setattr(
        "execute.bring_up_to_date", lambda _, name, *__: order.append(name) or
        Execution(name, "executed"),
    )  # fmt: skip
    pages = parse_toc_yaml(root / "_toc.yml")
    notebooks = [f"{p}.ipynb" for p in pages if p.startswith("notebooks/")]
    execute_all(root, notebooks, build.PARAMETERS, build.ALONE)
    for place, name in enumerate(order):
        read = nbformat.read(root / name, as_version=4).metadata.get("mscf", {})
        for pattern in read.get("inputs", []):
            if pattern.startswith("runs/book/"):
                maker = f"notebooks/{pattern.split('/')[2]}.ipynb"
                assert maker in order[:place]
                assert maker in build.ALONE  # no race: what runs beside is not ended


def test_a_parameter_that_the_notebook_lacks_is_refused(source) -> None:
    assert book_parameters("a.ipynb", source, {"n": 3}) == {"n": 3}
    with pytest.raises(InputError, match=r"epochs \(found: n\) \[parameters\]"):
        book_parameters("a.ipynb", source, {"epochs": 3})


def test_a_notebook_with_a_run_folder_gets_a_new_one_of_the_book(notebook) -> None:
    source = notebook("out = 'runs/train'")
    given = book_parameters("notebooks/train.ipynb", source, {})
    assert given == {"out": "runs/book/train"}


@pytest.mark.parametrize("deaths", [0, 2, 3])
def test_a_kernel_that_did_not_start_is_started_again(
    deaths, monkeypatch, notebook, tmp_path
) -> None:
    calls = []

    def watch(command, _environment, log) -> tuple[int, dict[str, float]]:
        calls.append(command)
        died = len(calls) <= deaths
        log.write_text(f"RuntimeError: {NOT_STARTED}\n" if died else "done\n")
        nbformat.write(notebook("n = 1"), command[4])  # papermill begins by a copy
        return int(died), {"seconds": 1.0, "peak_mb": 1}

    monkeypatch.setattr("execute.watch", watch)
    if deaths == STARTS:
        with pytest.raises(InputError, match=r"papermill ended with 1: .*kernel_info"):
            execute(tmp_path, "x.ipynb", {}, 2)
    else:
        made, took = execute(tmp_path, "x.ipynb", {}, 2)
        assert made.cells[1].source == "n = 1"
        assert took["seconds"] == 1
    assert len(calls) == min(deaths + 1, STARTS)


def test_the_notebooks_that_need_all_cores_run_by_themselves(monkeypatch) -> None:
    def bring_up_to_date(root, name, passed, at_a_time):
        return Execution(name, "executed", seconds=at_a_time)

    monkeypatch.setattr("execute.bring_up_to_date", bring_up_to_date)
    done = execute_all(None, ["a", "train", "b"], {}, alone={"train"})
    assert [(e.notebook, e.seconds) for e in done] == [("a", 2), ("train", 1), ("b", 2)]
