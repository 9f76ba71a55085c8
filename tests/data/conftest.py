from pathlib import Path

import pytest

from mscf.data.phantom import make_phantoms


@pytest.fixture(scope="session")
def sixteen_phantoms(tmp_path_factory):
    """Makes sixteen phantoms of a kind at 256 pixels, once; do not write there."""
    made: dict[str, Path] = {}

    def folder_of(lesions: str) -> Path:
        if lesions not in made:
            out = tmp_path_factory.mktemp("sixteen") / lesions
            made[lesions] = make_phantoms(
                out, cases=16, seed=0, lesions=lesions, processes=1
            )
        return made[lesions]

    return folder_of
