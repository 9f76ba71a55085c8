"""Synthetic abdominal CT, deterministic by seed: `phantom` and `make_phantoms`.

On one kind of CPU, to the byte. numpy computes exp and sin with other last bits where
there is no AVX-512, which moved 9 of 294,912 voxels by 1 HU, and no label. OpenBLAS
sums in the order of its kernels, chosen by CPU (``OPENBLAS_CORETYPE``): SkylakeX or Zen
moved voxels within the liver in 33 of 72 cases, at most 536 of one and by 54 HU, no
label.

`generate` paints a body in HU from distances in mm (`space`, `patient`, `phase`,
`scene`): `wall`, `bowel`, `kidneys`, `organs`, `great_vessels`, `liver` (its vessels
from `tree`), `lesions`, `chest` and `bones`, in that order; `imaging` scans it and
`files` writes it in MSD's layout.
"""

from mscf.data.phantom.files import make_phantoms
from mscf.data.phantom.generate import Phantom, phantom

__all__ = ["Phantom", "make_phantoms", "phantom"]
