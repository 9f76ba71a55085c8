"""Fixtures that several rooms share: a small store made from real NIfTI files."""

import locale
import signal
from collections.abc import Iterator

import hypothesis
import nibabel as nib
import numpy as np
import pytest

pytest_plugins = ["claims", "small_finished"]


# A busy machine is no failure.
hypothesis.settings.register_profile("mscf", deadline=None)
hypothesis.settings.load_profile("mscf")


@pytest.fixture(autouse=True)
def character_set() -> Iterator[None]:
    """Tests that write DICOM by SimpleITK leave the process's locale at C."""
    before = locale.setlocale(locale.LC_CTYPE)
    yield
    locale.setlocale(locale.LC_CTYPE, before)


@pytest.fixture(autouse=True, scope="session")
def signals_are_heard() -> None:
    """Tests started in the background ignore Ctrl-C, and by nohup a terminal's end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def write_case(folder, name: str, seed: int, slices: int = 3, side: int = 192) -> None:
    """A body of fat with a liver and one dark tumour, as an MSD pair of files."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] - side / 2
    labels = np.zeros((side, side, slices), np.uint8)
    labels[np.hypot(rows, columns + side / 8) < side / 4] = 1
    row, column = random.integers(-side // 8, side // 8, 2)
    tumour = np.hypot(rows - row, columns + side / 8 - column) < side / 16
    labels[tumour] = 2
    hu = np.array([-100, 110, 60])[labels] + random.normal(0, 15, labels.shape)
    affine = np.diag([-1.5, -1.5, 4.0, 1.0])
    for kind, voxels in (("images", hu.astype(np.int16)), ("labels", labels)):
        target = folder / f"{kind}Tr"
        target.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(voxels, affine), target / f"{name}.nii.gz")


@pytest.fixture(scope="session")
def tiny_cases(tmp_path_factory):
    """Six cases of three 192 x 192 slices, in MSD's layout; do not write here."""
    folder = tmp_path_factory.mktemp("cases")
    for number in range(6):
        write_case(folder, f"liver_{number}", seed=number)
    return folder


@pytest.fixture(scope="session")
def tiny_store(tiny_cases, tmp_path_factory):
    """The folder of a store of those cases; do not write here."""
    from mscf.data.store import prepare

    folder = tmp_path_factory.mktemp("stores") / "tiny"
    prepare(tiny_cases, folder, size=192, processes=1)
    return folder
