"""What the pages say in words, as the book's parser sees it.

Paragraphs, headings, tables, notes, captions and alternative texts; no code, no
mathematics, no role or label.
"""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import nbformat
import yaml
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

ROOT = Path(__file__).parents[2]
GAP = "…"  # stands where code, mathematics or a role was
DIRECTIVE = re.compile(r"\{([\w:-]+)\}\s*(.*)")
NOT_PROSE = {"any-pixel", "bibliography", "eval-rst", "math", "pycode"}


@cache
def parser() -> MarkdownIt:
    """Markdown as the book reads it."""
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    extensions = set(settings["parse"]["myst_enable_extensions"])
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


def blocks(markdown: str, first: int = 1) -> Iterator[tuple[int, Token]]:
    """Line and token of every block; of a note's or a table's title and body, too."""
    line = first
    for token in parser().parse(markdown):
        line = first + token.map[0] if token.map else line
        yield line, token
        if (block := DIRECTIVE.match(token.info)) and block[1] not in NOT_PROSE:
            yield from blocks(block[2], line)
            body = re.sub(r"^:.*$", "", token.content, flags=re.MULTILINE)  # options
            yield from blocks(body, line + 1)


def prose(markdown: str) -> Iterator[tuple[int, str]]:
    """Line and text of every paragraph, heading, cell of a table, title of a block."""
    for line, token in blocks(markdown):
        if token.type == "inline":
            yield line, "".join(map(words, token.children))


def words(token: Token) -> str:
    """What a piece of a paragraph says; its line breaks are kept."""
    if token.type == "text":
        return token.content
    if token.type in ("softbreak", "hardbreak"):
        return "\n"
    nothing = token.type.endswith(("_open", "_close"))
    return "" if nothing else GAP + "\n" * token.content.count("\n")


@cache
def sources(page: str) -> list[tuple[str, str]]:
    """Place and Markdown: of a page, or of every such cell of a notebook."""
    file = ROOT / f"{page}.md"
    if file.is_file():
        return [(f"{page}.md", file.read_text("utf-8"))]
    cells = nbformat.read(ROOT / f"{page}.ipynb", as_version=4).cells
    return [
        (f"{page}.ipynb, cell {cell.id}", cell.source)
        for cell in cells
        if cell.cell_type == "markdown"
    ]


@cache
def texts(page: str) -> list[tuple[str, int, str]]:
    """Place, line in it and text, of a notebook's captions and alternatives too."""
    found = [(place, *one) for place, text in sources(page) for one in prose(text)]
    if (file := ROOT / f"{page}.ipynb").is_file():
        for cell in nbformat.read(file, as_version=4).cells:
            shown = cell.metadata.get("mystnb", {})
            for part, key in (("figure", "caption"), ("image", "alt")):
                place = f"{page}.ipynb, cell {cell.id}, {key}"
                found.append((place, 1, shown.get(part, {}).get(key, "")))
    return found
