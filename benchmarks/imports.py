"""``import mscf`` over ``import torch, torchvision``, each in a fresh process.

Predicted: 1.0; what is slow to import beside torch is imported where it is used.
"""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from importlib.util import find_spec

from benchmarks.racing import figure, race

# Beside a torch of another build torchvision needs two schemas first; so all forms have
# them, from a file of mscf that is run without mscf.
SCHEMAS = f"import runpy; kept = runpy.run_path({find_spec('mscf.compat').origin!r})"
BOTH = f"{SCHEMAS}; import torch, torchvision"
FORMS = {
    "torch, torchvision": BOTH,
    "mscf": f"{BOTH}; import mscf.models.mscf_net",
    "mscf.training": f"{BOTH}; import mscf.training.loop",
}


def figures(quick: bool) -> list[dict]:
    """With all that a network needs, and with all that a training needs."""
    forms = {
        name: partial(subprocess.run, [sys.executable, "-c", code], check=True)
        for name, code in FORMS.items()
    }
    times = race(forms, *(1, 0) if quick else (9, 1))
    what = "import mscf over import torch, torchvision"
    pair = "mscf", "torch, torchvision"
    training = "import mscf.training over import torch, torchvision"
    return [
        figure(what, times, pair, 1.15, at_most=True),
        figure(training, times, ("mscf.training", pair[1])),
    ]
