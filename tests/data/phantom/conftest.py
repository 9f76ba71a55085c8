"""Phantoms that several tests look at: small ones, made once."""

import nibabel as nib
import numpy as np
import pytest

from mscf.data.phantom import files, make_phantoms, phantom


@pytest.fixture(scope="session")
def twelve():
    """Twelve phantoms in memory, 96 pixels a side, of the usual kind."""
    return [phantom(case, size=96) for case in range(12)]


@pytest.fixture(scope="session")
def written(twelve, tmp_path_factory):
    """The twelve as `make_phantoms` writes them, not drawn again; do not write here."""
    out = tmp_path_factory.mktemp("phantoms") / "twelve"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "phantom", lambda case, *settings: twelve[case])
        return make_phantoms(out, cases=12, seed=0, size=96, processes=1)


@pytest.fixture(scope="session")
def canonical(written):
    """The twelve as (image, HU, labels) in RAS order, as a user's reader sees them."""
    cases = []
    for case in range(12):
        image, labels = (
            nib.as_closest_canonical(nib.load(written / kind / f"liver_{case}.nii.gz"))
            for kind in ("imagesTr", "labelsTr")
        )
        cases.append(
            (image, np.asanyarray(image.dataobj), np.asanyarray(labels.dataobj))
        )
    return cases
