"""No file from elsewhere may run code here, and no text of a user reaches a shell.

Read from the syntax tree of every source and every notebook; there is no allow-list.
The tests themselves are left out: they make the malicious files.
"""

import ast
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("mscf", "data_scripts", "book", "benchmarks", "notebooks")
PICKLES = {
    "pickle", "_pickle", "cPickle", "cloudpickle", "joblib", "dill", "shelve",
    "marshal",
}  # fmt: skip
CALLS = {
    "eval", "exec", "compile", "__import__", "get_ipython", "os.system", "os.popen",
    "subprocess.getoutput", "subprocess.getstatusoutput", "yaml.load", "yaml.load_all",
    "yaml.unsafe_load", "yaml.full_load", "pandas.eval", "pandas.read_pickle",
    "shutil.unpack_archive",
}  # fmt: skip
METHODS = {"extractall", "read_pickle", "to_pickle"}  # of whatever object


def refused(source: str) -> list[str]:
    """What of a source runs code from files or from text, each with its line."""
    tree = ast.parse(source)
    full = full_names(tree)
    found = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            modules = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
            )
            found += [
                f"{node.lineno}: import of {name}"
                for name in modules
                if name.split(".")[0] in PICKLES
            ]
        elif isinstance(node, ast.Call):
            found += [f"{node.lineno}: {what}" for what in refused_call(node, full)]
    return found


def refused_call(node: ast.Call, full: dict[str, str]) -> list[str]:
    name = dotted(node.func, full).removeprefix("builtins.")
    options = {keyword.arg: keyword.value for keyword in node.keywords}
    found = []
    if name in CALLS or name.split(".")[-1] in METHODS:
        found.append(name)
    if name == "torch.load" and not is_constant(options.get("weights_only"), True):
        found.append("torch.load without weights_only=True")
    if "allow_pickle" in options and not is_constant(options["allow_pickle"], False):
        found.append("allow_pickle")
    if "shell" in options and not is_constant(options["shell"], False):
        found.append("shell")
    return found


def full_names(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for: ``np`` for numpy, ``load`` for torch.load."""
    full = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom):
            full |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return full


def dotted(node: ast.AST, full: dict[str, str]) -> str:
    """``a.b.c`` of a name or an attribute; of anything else its last part."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, full)}.{node.attr}"
    if isinstance(node, ast.Name):
        return full.get(node.id, node.id)
    return "?"


def is_constant(node: ast.AST | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def sources() -> dict[str, str]:
    """Every source and, of every notebook, its cells."""
    found = {}
    for path in [p for name in FOLDERS for p in (ROOT / name).rglob("*")]:
        name = str(path.relative_to(ROOT))
        if name.startswith(("book/_build", "book/_stage")):
            continue  # generated from the rest
        if path.suffix == ".py":
            found[name] = path.read_text(encoding="utf-8")
        elif path.suffix == ".ipynb":
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            for number, cell in enumerate(cells):
                if cell["cell_type"] == "code":
                    found[f"{name}, cell {number}"] = "".join(cell["source"])
    return found


@pytest.mark.claim(
    "security", "no source reads pickles, evaluates text or starts a shell"
)
def test_no_source_and_no_notebook_runs_code_from_files() -> None:
    found = {name: refused(source) for name, source in sources().items()}
    assert len(found) > 100  # it has looked somewhere
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import torch; torch.load(p)",
        "import torch; torch.load(p, weights_only=False)",
        "import torch; torch.load(p, weights_only=flag)",
        "from torch import load as read; read(p)",
        "import numpy as np; np.load(p, allow_pickle=True)",
        "import numpy as np; np.load(p, allow_pickle=flag)",
        "import pickle",
        "import joblib.parallel",
        "from dill import loads",
        "from marshal import loads as x",
        "import shelve as s",
        "import yaml; yaml.load(t, Loader=yaml.SafeLoader)",
        "from yaml import load; load(t)",
        "eval(t)",
        "exec(t)",
        "import builtins; builtins.exec(t)",
        "from builtins import eval as look; look(t)",
        "import os; os.system(t)",
        "from os import system; system(t)",
        "import subprocess; subprocess.run(t, shell=True)",
        "import subprocess; subprocess.run(t, shell=flag)",
        "import tarfile; tarfile.open(p).extractall()",
        "tar.extractall('x', filter='data')",
        "import pandas as pd; pd.read_pickle(p)",
        "get_ipython().system('ls')",
    ],
)
def test_the_search_finds(source) -> None:
    assert refused(source)


@pytest.mark.parametrize(
    "source",
    [
        "import torch; torch.load(p, weights_only=True)",
        "import numpy as np; np.load(p, mmap_mode='r', allow_pickle=False)",
        "import yaml; yaml.safe_load(t)",
        "import ast; ast.literal_eval(t)",
        "model.eval()",
        "import re; re.compile(t)",
        "import torch; torch.compile(m)",
        "import subprocess; subprocess.run(['git', 'status'], shell=False)",
    ],
)
def test_the_search_lets_pass(source) -> None:
    assert not refused(source)


@pytest.mark.claim("security", "names that are commands, formulas or markup stay names")
def test_the_grid_quotes_every_value_in_its_shell_commands() -> None:
    text = (ROOT / "Snakefile").read_text(encoding="utf-8")
    commands = re.findall(r"shell:\n((?: {8}.*\n)+)", text)
    assert len(commands) == 4
    values = re.findall(r"\{([^{}]+)\}", "".join(commands))
    assert [value for value in values if not value.endswith(":q")] == []
