"""Who may know whom: the arrows of CONTRIBUTING.md, read from the imports."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"mscf.errors", "mscf.replacing", "mscf.compat", "mscf.evaluation_mode"}
MAY_IMPORT = {
    "models": {"torch", "torchvision", "mscf.models"},
    "data": {
        "numpy", "scipy", "pandas", "nibabel", "isal", "torch", "torchvision",
        "tqdm", "SimpleITK", "mscf.data",
    },
    "evaluation": {
        "numpy", "scipy", "pandas", "torch", "tqdm", "mscf.data", "mscf.evaluation",
    },
    "training": {
        "numpy", "pandas", "torch", "tqdm",
        "mscf.models", "mscf.data", "mscf.evaluation", "mscf.checkpoint",
        "mscf.training",
    },
    "visualisation": {
        "numpy", "pandas", "matplotlib", "seaborn", "torch", "captum",
        "ipywidgets", "mscf.visualisation",
    },
    "inference": {
        "numpy", "scipy", "pandas", "nibabel", "torch", "matplotlib", "tqdm",
        "onnxruntime", "contourpy",
        "mscf.models", "mscf.data", "mscf.checkpoint", "mscf.visualisation",
        "mscf.inference",
    },
    "kept": {
        "numpy", "scipy", "pandas", "torch", "tqdm",
        "mscf.models", "mscf.data", "mscf.evaluation", "mscf.training",
        "mscf.visualisation", "mscf.checkpoint", "mscf.paths", "mscf.kept",
    },
    "checkpoint.py": {"torch", "safetensors"},
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Top packages; of ours, the room."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    return {
        ".".join(name.split(".")[:2]) if name.startswith("mscf") else name.split(".")[0]
        for name in names
    }


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room) -> None:
    place = ROOT / "mscf" / room
    allowed = MAY_IMPORT[room] | OURS | sys.stdlib_module_names | {"__future__"}
    for path in [place] if place.is_file() else place.rglob("*.py"):
        assert imports(path) <= allowed, path.name


def test_metrics_and_statistics_know_neither_torch_nor_files() -> None:
    for name in ("metrics", "statistics"):
        found = imports(ROOT / f"mscf/evaluation/{name}.py")
        assert not found & {"torch", "pathlib", "nibabel"}, name
