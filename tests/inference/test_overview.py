"""The overview of a scan: the slices of its largest lesions, and its area by slice."""

import nibabel as nib
import numpy as np
import pytest
from dark import AFFINE

from mscf.inference import predict as predict_module
from mscf.inference.predict import PredictSettings, predict_cases
from mscf.inference.report import SHOWN, overview

WIDTHS = (4, 3, 9, 5, 7, 6, 8, 10)  # pixels of the bars in slices 1, 3, 5, ...
LEFT, UP = 1.5, 1.2  # mm of a pixel


@pytest.fixture
def axes(run, tmp_path, monkeypatch):
    """Draws the overview of a scan with bars of so many pixels; gives its axes."""

    def draw(widths=(), spacing_known=True) -> list:
        hu = np.full((32, 24, 2 * len(WIDTHS) + 1), 110, np.int16)
        hu[0], hu[1] = -1000, 120
        for number, width in enumerate(widths):
            hu[8 : 8 + width, 12:15, 2 * number + 1] = 40
        image = nib.Nifti1Image(hu, AFFINE)
        if not spacing_known:
            image.set_sform(None, 0)
            image.set_qform(None, 0)
        nib.save(image, tmp_path / "a.nii")
        drawn = []
        monkeypatch.setattr(
            predict_module, "write_report", lambda one, _: drawn.append(overview(one))
        )
        settings = PredictSettings(device="cpu")
        list(predict_cases(tmp_path / "a.nii", tmp_path / "out", run, settings))
        return drawn[0].axes

    return draw


def test_the_largest_lesions_are_shown_from_below_each_with_its_name(axes) -> None:
    *slices, _ = axes(WIDTHS)
    of_size = np.argsort(WIDTHS)[::-1][:SHOWN]
    expected = [
        f"slice {2 * n + 1}: lesion {1 + list(of_size).index(n)}, "
        for n in sorted(of_size)
    ]
    titles = [ax.get_title() for ax in slices]
    assert [title[: len(e)] for title, e in zip(titles, expected, strict=True)] == (
        expected
    )
    assert titles[-1].endswith(f"{np.hypot(10 * LEFT, 2 * UP):.0f} mm")
    assert [ax.get_aspect() for ax in slices] == pytest.approx([UP / LEFT] * SHOWN)


def test_the_area_of_each_slice_is_in_square_centimetres_or_in_pixels(axes) -> None:
    for known, unit, of_pixel in ((True, "cm²", LEFT * UP / 100), (False, "pixels", 1)):
        *_, areas = axes(WIDTHS, known)
        (steps,) = areas.patches
        values = steps.get_data().values
        assert values[1::2] == pytest.approx(3 * np.array(WIDTHS) * of_pixel)
        assert not values[::2].any()
        assert areas.get_ylabel() == f"tumour, {unit}"


def test_without_a_lesion_slices_are_spread_over_the_scan(axes) -> None:
    *slices, _ = axes()
    numbers = [int(ax.get_title().removeprefix("slice ")) for ax in slices]
    assert len(numbers) == SHOWN
    assert set(np.diff(numbers)) <= {2, 3}
    assert numbers[0] > 0
    assert numbers[-1] < 2 * len(WIDTHS)
