"""The page of references lists every repository that a network follows."""

import re
from pathlib import Path

BOOK = Path(__file__).parents[2] / "book"
REPOSITORY = re.compile(r"[\w-]+/[\w.-]+")


def test_every_repository_of_the_ten_methods_stands_there_with_its_version() -> None:
    page = (BOOK / "ten_methods.md").read_text(encoding="utf-8").replace("<wbr>", "")
    table = page[page.index("| code followed |") :].split("\n\n")[0].splitlines()[2:]
    followed = {
        found for row in table for found in REPOSITORY.findall(row.split("|")[4])
    }
    assert len(followed) == 7
    read = (BOOK / "references.md").read_text(encoding="utf-8")
    versions = dict(re.findall(r"^\|[^|]*\| `(.+?)` \| `(\w{7})`", read, flags=re.M))
    assert followed <= set(versions)
