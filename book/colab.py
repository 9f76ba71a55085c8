"""The notebooks as Colab opens them: `python book/colab.py REPOSITORY OUT`.

Colab opens one file, without the package and without `results/`. So OUT/notebooks gets
every notebook with a cell put first that fetches both from REPOSITORY (an address that
git clones), and does nothing elsewhere. The sources cannot hold that cell: a fork's
notebooks must name the fork, so publishing writes them to a branch `colab`, where the
book's Colab buttons point. Python alone runs this, no package is needed.
"""

import json
import sys
from pathlib import Path

# The package's own list is all a cell needs: what Colab has stays as it is, torch and
# numpy too, and its widgets, which it draws in version 7 alone.
INSTALL = """\
# Only on Colab, where this notebook stands alone: its repository, and what that needs.
import os
import subprocess
import sys

if "COLAB_RELEASE_TAG" in os.environ and not os.path.exists("_toc.yml"):
    if not os.path.exists("mscf"):
        clone = ["git", "clone", "--quiet", "--depth", "1"]
        subprocess.run([*clone, {repository!r}, "mscf"], check=True)
    install = [sys.executable, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, "./mscf"], check=True)
    os.chdir("mscf")
"""


def main(repository: str, out: Path) -> None:
    """Writes them all."""
    (out / "notebooks").mkdir(parents=True, exist_ok=True)
    cell = {
        "cell_type": "code", "id": "colab-install", "metadata": {},
        "execution_count": None, "outputs": [],
        "source": INSTALL.format(repository=repository),
    }  # fmt: skip
    for source in Path(__file__).parents[1].glob("notebooks/*.ipynb"):
        notebook = json.loads(source.read_text(encoding="utf-8"))
        notebook["cells"].insert(0, cell)
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        (out / "notebooks" / source.name).write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
