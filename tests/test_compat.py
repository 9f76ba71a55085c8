import subprocess
import sys

import pytest


def python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.check
def test_torchvision_works_after_compat_whatever_the_build() -> None:
    code = """
import mscf.compat
import torch, torchvision
mscf.compat.import_torchvision()
print(torchvision.models.resnet18().eval()(torch.zeros(1, 3, 32, 32)).shape[1])
"""
    assert python(code).strip() == "1000"


def test_nothing_is_defined_where_torchvision_imports_by_itself() -> None:
    # A stand-in with working operators: its import succeeds, so compat has no work.
    code = """
import sys, types
sys.modules["torchvision"] = types.ModuleType("torchvision")
import mscf.compat
print(mscf.compat._schemas)
"""
    assert python(code).strip() == "None"
