"""A measured number on a page is read from `results/` by {res}, never typed.

A number in prose that looks like a result must be one that the paper prints
(`results/paper`), or fall under a rule below, or be listed in `digits.yml`, by page and
reason, with the words around it.
"""

import csv
import re
from functools import cache
from pathlib import Path

import pytest
import yaml
from prose import DIRECTIVE, ROOT, blocks, prose, sources, texts
from sphinx_external_toc.parsing import parse_toc_yaml

PAGES = list(parse_toc_yaml(ROOT / "_toc.yml"))
LISTED = yaml.safe_load((Path(__file__).parent / "digits.yml").read_text("utf-8"))
REASONS = {"paper", "setting", "definition", "source", "tested", "dated"}

ROLES = {"cite", "cite:p", "cite:t", "download", "eq", "numref", "ref", "res"}
UNIT = r"m?s|[kMGT]i?B|mm|ml|HU|px|x"
NUMBER = re.compile(
    r"(?<![\w.,])(?<!\w-)\d+(,\d{3})*(\.\d+)?(e-?\d+)?"
    rf"(?![.,]\d)(?=({UNIT})?(?!\w))"  # 3.5s, but not 3-D, 16th or a hash
)
COUNTED = "scans|cases|patients|volumes|phantoms|pairs|slices|epochs|lesions|tumours"
MEASURE = re.compile(
    r"\s?(((to|and|or)|[-–])\s?[\d.,]+\s?)?"  # 3 to 5 s
    rf"(%|({UNIT}|percent|percentage|points?|pixels?|seconds?|minutes?|hours?|times"
    rf"|[GT]MAC)\b|([a-z-]+\s)?({COUNTED})\b)"  # 27 real scans
    r"|\s(out\s)?of\s((the\s|all\s)?[\d…]|(them|these|those|which|whom)\b)"  # 3 of 4
)
PART = re.compile(r"[\d…]\s(out\s)?of\s(the\s|all\s)?$")  # what the whole stands behind
OF_NONE = rf"\b(?! ?(%|m?s\b|[kMGT]i?B|steps|{COUNTED}))"
# What needs no reference wherever it stands, and why.
RULES = {
    "a size, as 448 × 448": r"\d[\d,]* ?[×x] ?\d[\d,]*( ?[×x] ?\d+)*( pixels)?",
    "a side, or a number of channels": rf"\b(112|128|192|224|256|448|512){OF_NONE}",
    "a year": rf"\b(19|20)\d\d{OF_NONE}",
    "a level, by convention": r"95 % (interval|of the draws)|p (<|below) 0\.05",
    "the HU window, a setting of every run": r"[-−]40(,| to| and) 160\b( HU)?",
    "the excerpt's size, as its makers tell it": (
        r"\b26 (cases|scans)( of 24 patients)?|\b18 (cases|of which) keep only every"
    ),
    "the paper's patience": r"(after|next) (10|20) epochs",
    "part of a name": r"\b(Python|RECIST|BY-SA|Section) \d\.\d+\b|SHA-256|AVX-512",
    "said before it was measured": r"Predicted: ([^.]|\.\d)*|predicted \d+",
}  # fmt: skip


@cache
def printed_in_the_paper() -> set[str]:
    """Numbers of three digits or more, and powers, as `results/paper` has them."""
    with (ROOT / "results/paper/stated.csv").open(encoding="utf-8") as stated:
        found = {row["value"] for row in csv.DictReader(stated)}
    with (ROOT / "results/paper/table1.csv").open(encoding="utf-8") as table:
        found |= {cell for row in csv.reader(table) for cell in row}
    return {one for one in found if re.fullmatch(r"[\d.]{3,}|\d+e-\d+", one)}


def looks_measured(number: re.Match) -> bool:
    """Whether it has decimals, thousands or a unit, or counts things or a hundred."""
    text = number[0]
    if text.replace(",", "") in printed_in_the_paper():
        return False
    counts = MEASURE.match(number.string, number.end())
    counts = counts or PART.search(number.string, 0, number.start())
    return bool(counts) or not text.isdigit() or int(text) >= 100


def inside(number: re.Match, pattern: str) -> bool:
    """Whether the number is part of a match; a line may break at a space."""
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
    if problems:
        problems.append("must be read from results/ by {res}")
        pytest.fail("\n".join(problems), pytrace=False)


@pytest.mark.parametrize("page", LISTED)
def test_an_exception_is_still_needed(page) -> None:
    assert page in PAGES
    assert set(LISTED[page]) <= REASONS
    numbers = [number for _, _, text in texts(page) for number in typed(text)]
    for ours in listed(page):
        assert any(inside(number, ours) for number in numbers), f"{page}: {ours}"


@pytest.mark.parametrize("page", PAGES)
def test_there_is_no_other_way_to_a_number(page) -> None:
    """Than {res} and csv-table: no glue, no substitution, no table of a page's own."""
    for place, line, text in texts(page):  # in a table, | wants a backslash before it
        assert "{res}" not in text, f"{place}:{line}: {text}"
    for place, markdown in sources(page):
        for line, token in blocks(markdown):
            where = f"{place}:{line}: {token.info or token.content}"
            for piece in token.children or []:
                assert not piece.type.startswith("substitution"), where
                assert piece.type != "myst_role" or piece.meta["name"] in ROLES, where
            if block := DIRECTIVE.match(token.info):
                assert not block[1].startswith(("glue", "list-table")), where
                if block[1] == "csv-table":
                    assert re.search("^:file: (/|../)results/", token.content, re.M), (
                        where
                    )


PAGE = """\
# 1.1

A `2.2`, $3.3$, {ref}`4.4`, {res}`5.json:5.5|.2f`, [6.6](http://7.7) and
<b title="8.8">9.9</b> %.

(label-10.10)=

| 11.11 | `12.12` |
|---|---|
| 13.13 | |

```{note}
:class: c14.14

15.15 {cite}`x16.16`
```

```python
17.17
```

:::{csv-table} 18.18 {res}`19.json:19.19`
:file: /results/20.20.csv
:::

20
: 21.21

$$ 22.22 $$ (eq-22.22)

% 23.23
"""


def test_numbers_are_looked_for_in_prose_alone() -> None:
    found = {n[0]: line for line, text in prose(PAGE) for n in NUMBER.finditer(text)}
    assert found == {
        "1.1": 1, "6.6": 3, "9.9": 3, "11.11": 8, "13.13": 10, "15.15": 15,
        "18.18": 22, "20": 26, "21.21": 27,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Dice of 61.2 % and 61.2%", ["61.2", "61.2"]),
        (
            "faster by\n3 times, 4 to 5 s, −20 HU, 12 lesions",
            ["3", "4", "5", "20", "12"],
        ),
        ("1,234 slices, 345 of them, 1e-3", ["1,234", "345", "1e-3"]),
        ("2.5x in 30s, 192 slices, 2000 steps", ["2.5", "30", "192", "2000"]),
        ("78.41 % and 7,190 slices, as the paper prints", []),
        (
            "On 27 real scans, 26 of 27, … of 90; 33 epochs",
            ["27", "26", "27", "90", "33"],
        ),
        ("3 to 5 pairs, 18 of them, 4 of … slices", ["3", "5", "18", "4"]),
        ("26 scans of 24 patients, halved after\n10 epochs, in 10 epochs", ["10"]),
        ("12 folds, 3-D, Fig. 4, C1, 99, ten, 16th, in 2026", []),
        ("448 × 448 × 129, 256 channels, −40 to\n160 HU, p < 0.05", []),
        ("the 95 % interval, at least 94 %", ["94"]),
        ("Predicted: 1.5 times, 20 % less. It was 1.4", ["1.4"]),
    ],
)
def test_a_number_that_looks_like_a_result_is_told_from_others(text, found) -> None:
    assert [number[0] for number in typed(text)] == found
