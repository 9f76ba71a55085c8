"""A measured number on a page is read from `results/` by {res}, never typed.

Looked at is prose alone, as the parser of the book sees it: no code, mathematics, role
or label, but what stands in tables, notes, captions and alternative texts. A number that
looks like a result must be one that the paper prints (`results/paper`), or fall under a
rule below, or be listed in `digits.yml`, by page and reason, with the words around it.
"""

import csv
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import pytest
import yaml
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from sphinx_external_toc.parsing import parse_toc_yaml

ROOT = Path(__file__).parents[2]
PAGES = list(parse_toc_yaml(ROOT / "_toc.yml"))
LISTED = yaml.safe_load((Path(__file__).parent / "digits.yml").read_text("utf-8"))
REASONS = {"paper", "setting", "definition", "source", "tested", "dated"}

GAP = "…"  # stands where code, mathematics or a role was
DIRECTIVE = re.compile(r"\{([\w:-]+)\}\s*(.*)")
NOT_PROSE = {"any-pixel", "bibliography", "eval-rst", "math", "pycode"}

NUMBER = re.compile(r"(?<![\w.,])(?<!\w-)\d+(,\d{3})*(\.\d+)?(e-?\d+)?(?!\w|[.,]\d)")
MEASURE = re.compile(
    r"\s?(((to|and|or)|[-–])\s?[\d.,]+\s?)?"  # 3 to 5 s
    r"(%|(percent|percentage|points?|pixels?|px|mm|ml|HU|m?s|seconds?|minutes?|hours?"
    r"|[kMGT]i?B|times|[GT]MAC|patients|lesions|tumours)\b)"
)
# What needs no reference wherever it stands, and why.
RULES = {
    "a size, as 448 × 448": r"\d[\d,]* ?[×x] ?\d[\d,]*( ?[×x] ?\d+)*( pixels)?",
    "a side, or a number of channels": r"\b(112|128|192|224|256|448|512)\b(?! %)",
    "how sure an interval or test is": r"\b95 % (interval|of the draws)|p (<|below) 0\.05",
    "the HU window, a setting of every run": r"[-−]40(,| to| and) 160\b( HU)?",
    "part of a name": r"\b(Python|RECIST|BY-SA|Section) \d\.\d+\b|SHA-256|AVX-512",
    "a year": r"\b(19|20)\d\d\b",
    "said before it was measured": r"Predicted: ([^.]|\.\d)*|predicted \d+",
}  # fmt: skip


@cache
def parser():
    """Markdown as the book reads it."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    extensions = set(settings["parse"]["myst_enable_extensions"])
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


def prose(markdown: str, first: int = 1) -> Iterator[tuple[int, str]]:
    """Line and text of every paragraph, heading, cell of a table, title of a block."""
    line = first
    for token in parser().parse(markdown):
        line = first + token.map[0] if token.map else line
        if token.type == "inline":
            yield line, "".join(map(words, token.children))
        elif block := DIRECTIVE.match(token.info):
            name, title = block.groups()
            if name not in NOT_PROSE:
                yield line, title
                yield from prose(without_options(token.content), line + 1)


def words(token: Token) -> str:
    """What a piece of a paragraph says; its line breaks are kept."""
    if token.type == "text":
        return token.content
    if token.type in ("softbreak", "hardbreak"):
        return "\n"
    nothing = token.type.endswith(("_open", "_close"))
    return "" if nothing else GAP + "\n" * token.content.count("\n")


def without_options(content: str) -> str:
    """A directive's body; `:name: value` becomes an empty line."""
    return re.sub(r"^:.*$", "", content, flags=re.MULTILINE)


@cache
def texts(page: str) -> list[tuple[str, int, str]]:
    """Place, line in it and text: a page, or the cells of a notebook."""
    source = ROOT / f"{page}.md"
    if source.is_file():
        return [(f"{page}.md", *one) for one in prose(source.read_text("utf-8"))]
    found = []
    for cell in nbformat.read(ROOT / f"{page}.ipynb", as_version=4).cells:
        place = f"{page}.ipynb, cell {cell.id}"
        if cell.cell_type == "markdown":
            found += [(place, *one) for one in prose(cell.source)]
        shown = cell.metadata.get("mystnb", {})
        for part, key in (("figure", "caption"), ("image", "alt")):
            found.append((f"{place}, {key}", 1, shown.get(part, {}).get(key, "")))
    return found


@cache
def printed_in_the_paper() -> set[str]:
    """Numbers of three digits or more, and powers, as `results/paper` has them."""
    with (ROOT / "results/paper/stated.csv").open(encoding="utf-8") as stated:
        found = {row["value"] for row in csv.DictReader(stated)}
    with (ROOT / "results/paper/table1.csv").open(encoding="utf-8") as table:
        found |= {cell for row in csv.reader(table) for cell in row}
    return {one for one in found if re.fullmatch(r"[\d.]{3,}|\d+e-\d+", one)}


def looks_measured(number: re.Match) -> bool:
    """Whether it has decimals, thousands or a unit, or counts a hundred or more."""
    text = number[0]
    if text.replace(",", "") in printed_in_the_paper():
        return False
    has_unit = MEASURE.match(number.string, number.end()) is not None
    return has_unit or not text.isdigit() or int(text) >= 100


def inside(number: re.Match, pattern: str) -> bool:
    """Whether the number stands where the pattern matches; lines may break at a space."""
    return any(
        m.start() <= number.start() and number.end() <= m.end()
        for m in re.finditer(pattern.replace(" ", r"\s"), number.string)
    )


def typed(text: str) -> list[re.Match]:
    """Numbers of a text that look like a result and that no rule explains."""
    return [
        number
        for number in NUMBER.finditer(text)
        if looks_measured(number)
        and not any(inside(number, rule) for rule in RULES.values())
    ]


def listed(page: str) -> list[str]:
    """Patterns of the words of a page that may hold a number."""
    groups = LISTED.get(page, {}).values()
    return [" ".join(map(re.escape, one.split())) for group in groups for one in group]


@pytest.mark.parametrize("page", PAGES)
def test_no_result_is_typed(page) -> None:
    problems = []
    for place, line, text in texts(page):
        for number in typed(text):
            if not any(inside(number, ours) for ours in listed(page)):
                at = line + text.count("\n", 0, number.start())
                near = text[max(0, number.start() - 30) : number.end() + 30].split()
                problems.append(f"{place}:{at}: {number[0]} in “{' '.join(near)}”")
    assert not problems, "read it from results/ by {res}:\n" + "\n".join(problems)


@pytest.mark.parametrize("page", LISTED)
def test_an_exception_is_still_needed(page) -> None:
    assert page in PAGES
    assert set(LISTED[page]) <= REASONS
    numbers = [number for _, _, text in texts(page) for number in typed(text)]
    for ours in listed(page):
        assert any(inside(number, ours) for number in numbers), ours
