"""A value of `results/`, changed, is another one on every page that names it."""

import io
import json
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
from bs4 import BeautifulSoup
from execute import content_key
from prose import ROOT, blocks, sources
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
from sphinx_external_toc.parsing import parse_toc_yaml

NEW = 0.98765
HISTORY = "excerpt-448/patient/cenet/fold-0/seed-0/history.csv"
FORMS = {  # in which a page shows the loss of epoch 3
    "role": f"{{res}}`{HISTORY}:epoch=3:loss`",
    "table": f"```{{csv-table}}\n:file: /results/{HISTORY}\n```",
    "picture": "```{drawn} losses\n:alt: none\n```",
}


def values_of(page: str) -> list[str]:
    """What a page of this book reads by {res}, in order."""
    return [
        piece.content
        for _, markdown in sources(page)
        for _, token in blocks(markdown)
        for piece in token.children or []
        if piece.meta.get("name") == "res"
    ]


def write_pages(root: Path) -> dict[str, list[str]]:
    """A book of these values alone, a page for each of ours, beside their files."""
    found = map(values_of, parse_toc_yaml(ROOT / "_toc.yml"))
    pages = {f"page-{n}": values for n, values in enumerate(found) if values}
    (root / "index.md").write_text("# Index\n")
    for page, values in pages.items():
        roles = "\n".join(f"- {{res}}`{value}`" for value in values)
        (root / f"{page}.md").write_text(f"# {page}\n\n{roles}\n")
        for value in values:
            file = Path("results", value.partition(":")[0])
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, root / file)
    return pages


def build(root: Path) -> dict[str, BeautifulSoup]:
    """The pages as a reader gets them; again, only what changed is read."""
    settings = {"extensions": ["myst_parser", "mscf_book"], "html_theme": "basic"}
    places = root, None, root / "html", root / "trees"
    warnings = io.StringIO()
    with docutils_namespace():
        Sphinx(*places, "html", settings, status=None, warning=warnings).build()
    assert "{res}" not in warnings.getvalue()
    files = (root / "html").glob("page-*.html")
    return {f.stem: BeautifulSoup(f.read_text(), "html.parser") for f in files}


def shown_values(root: Path) -> dict[str, list[str]]:
    """What stands on each page for its {res} once the book is built."""
    pages = build(root).items()
    return {page: [a.text for a in html.select("a.download")] for page, html in pages}


def shown_forms(root: Path, notebook) -> dict[str, str]:
    """Role, table and picture once the book is built; the key of a notebook's page."""
    pages = build(root)
    picture = pages["page-picture"].find("img", alt="none")["src"]
    return {
        "role": pages["page-role"].select_one("a.download").text,
        "table": pages["page-table"].table.text,
        "picture": (root / "html" / picture).read_text(),
        "notebook": content_key(root, "notebooks/x.ipynb", notebook, {}),
    }


def change_json(file: Path, key: str) -> None:
    """Puts NEW under a dotted key."""
    record = inner = json.loads(file.read_text())
    *way, last = key.split(".")
    for part in way:
        inner = inner[int(part) if isinstance(inner, list) else part]
    inner[int(last) if isinstance(inner, list) else last] = NEW
    file.write_text(json.dumps(record))


def change_csv(file: Path, key: str) -> None:
    """Puts NEW into a column of the row that the key names."""
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    conditions, column = key.rsplit(":", 1)
    wanted = dict(one.split("=", 1) for one in conditions.split(","))
    row = (table[list(wanted)] == pd.Series(wanted)).all(axis=1)
    table.loc[row, column] = str(NEW)
    table.to_csv(file, index=False)


def most_named(pages: dict[str, list[str]], ending: str) -> tuple[str, int]:
    """The value in such files that most pages name, and how many do."""
    found = Counter(
        place
        for values in pages.values()
        for place in {value.partition("|")[0] for value in values}
        if place.partition(":")[0].endswith(ending)
    )
    return found.most_common(1)[0]


def test_a_changed_value_changes_on_every_page_that_names_it(tmp_path) -> None:
    pages = write_pages(tmp_path)
    before = shown_values(tmp_path)
    changed = {}
    for ending, change in ((".json", change_json), (".csv", change_csv)):
        place, naming = most_named(pages, ending)
        assert naming >= 2  # of one page alone this would show little
        file, _, key = place.partition(":")
        change(tmp_path / "results" / file, key)
        changed[place] = naming
    after = shown_values(tmp_path)
    seen = Counter()
    for page, values in pages.items():
        named = set()
        for value, old, new in zip(values, before[page], after[page], strict=True):
            place, _, form = value.partition("|")
            assert new == (format(NEW, form) if place in changed else old), (
                page,
                value,
            )
            named |= {place} & set(changed)
        seen.update(named)
    assert seen == changed


def test_a_changed_value_changes_in_every_form(tmp_path, notebook) -> None:
    file = tmp_path / "results" / HISTORY
    file.parent.mkdir(parents=True)
    shutil.copy(ROOT / "results" / HISTORY, file)
    (tmp_path / "index.md").write_text("# Index\n")
    for form, text in FORMS.items():
        (tmp_path / f"page-{form}.md").write_text(f"# {form}\n\n{text}\n")
    page = notebook("n = 1")
    page.metadata.mscf = {"inputs": ["results/excerpt-448/**/history.csv"]}
    before = shown_forms(tmp_path, page)
    assert shown_forms(tmp_path, page) == before
    change_csv(file, "epoch=3:loss")
    after = shown_forms(tmp_path, page)
    assert [form for form in before if after[form] == before[form]] == []
    assert after["role"] == str(NEW)
    assert str(NEW) in after["table"]
