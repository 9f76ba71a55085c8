"""The page of common questions: what it quotes of ours is what the code says."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book/questions.md").read_text(encoding="utf-8")
QUESTIONS = dict(re.findall(r"^### (.+)\n((?:(?!#).*\n)*)", PAGE, flags=re.M))
QUOTES = re.findall(r"`([^`]+?) \[([a-z-]+)\]`", PAGE)  # a text of ours, its check
SLUGS = re.findall(r"\[([a-z-]+)\]`", PAGE)


@functools.cache
def said() -> dict[str, list[str]]:
    """What must hold, by check: of every error and finding in the package's code.

    What an f-string fills in is an ellipsis, as on the page.
    """
    texts: dict[str, list[str]] = {}
    for file in sorted((ROOT / "mscf").rglob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = assigned(tree)
        for call in ast.walk(tree):
            if not isinstance(call, ast.Call) or len(call.args) < 4:
                continue
            _, must, _, check = call.args[:4]
            if isinstance(check, ast.Constant):
                ways = names.get(must.id, []) if isinstance(must, ast.Name) else [must]
                texts.setdefault(check.value, []).extend(map(as_text, ways))
    make = (ROOT / "Makefile").read_text(encoding="utf-8")
    for line in make.replace("\\\n", "").splitlines():
        for check in re.findall(r"\[([a-z-]+)\]\"", line):
            texts.setdefault(check, []).append(line)
    return texts


def assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """What is assigned to each name anywhere in a file, also to several at once."""
    values: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign):
            continue
        target, value = node.targets[0], node.value
        pairs = [(target, value)]
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            pairs = zip(target.elts, value.elts, strict=True)
        for name, given in pairs:
            if isinstance(name, ast.Name):
                values.setdefault(name.id, []).append(given)
    return values


def as_text(node: ast.expr | None) -> str:
    """A text as it stands in the code, with an ellipsis for what is filled in."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(map(as_text, node.values))
    return "…"


def test_the_page_quotes_what_is_tested_below() -> None:
    assert len(QUOTES) > 10


@pytest.mark.parametrize(("text", "check"), QUOTES)
def test_a_text_of_ours_is_one_that_the_code_raises(text, check) -> None:
    pieces = [piece for piece in text.split("…") if piece.strip()]
    assert pieces
    told = said().get(check, [])
    assert any(all(piece in must for piece in pieces) for must in told), told


@pytest.mark.parametrize("check", sorted(set(SLUGS)))
def test_a_check_named_alone_is_one_of_the_code(check) -> None:
    sources = (path.read_text("utf-8") for path in (ROOT / "mscf").rglob("*.py"))
    assert check in said() or any(f'"{check}"' in source for source in sources)


@pytest.mark.parametrize("heading", QUESTIONS)
def test_a_question_has_cause_check_and_cure(heading) -> None:
    parts = re.findall(r"^:(\w+): \S", QUESTIONS[heading], flags=re.M)
    assert parts == ["Cause", "Check", "Cure"]


def test_the_texts_that_people_search_for_are_headings() -> None:
    headings = "\n".join(QUESTIONS)
    for text in (
        "operator torchvision::nms does not exist",
        "Out of memory",
        "NaN",
        "Flipped masks",
        "Workers died",
        "papermill: `Missing argument 'OUTPUT_PATH'`",
        "Several GPUs",
        "[run-exists]",
    ):
        assert text in headings, text
