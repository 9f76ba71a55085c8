import numpy as np
import pandas as pd
import pytest

from mscf.visualisation.exploration import (
    draw_contrast,
    draw_numbers,
    draw_sizes,
    draw_spacing,
    draw_tissues,
    hide_rest,
)

LESIONS = pd.DataFrame(
    {"diameter_mm": [5.0, 12, 20, 44, 80], "contrast_hu": [-30.0, -10, 5, -50, -20]}
)
CASES = pd.DataFrame(
    {
        "lesions": [0, 1, 1, 3], "slices": [30, 60, 60, 200],
        "pixel_mm": [0.7, 0.8, 0.7, 0.9], "thickness_mm": [1.0, 5.0, 2.5, 1.25],
    }
)  # fmt: skip


def test_each_tissue_is_a_share_of_its_own_voxels(ax) -> None:
    bins = np.arange(-200, 300, 5)
    voxels = pd.DataFrame({"body": 1, "liver": 0, "tumour": 0}, index=bins)
    voxels.loc[100, "liver"] = 7
    voxels.loc[40, "tumour"], voxels.loc[45, "tumour"] = 1, 3
    draw_tissues(ax, voxels)
    names = [text.get_text() for text in ax.get_legend().get_texts()]
    assert names == ["body", "liver", "tumour"]
    top = max(
        path.vertices[:, 1].max() for c in ax.collections for path in c.get_paths()
    )
    assert top == pytest.approx(100)  # all of the liver in one bin
    assert ax.get_ylabel() == "% of its voxels from -200 to 300,\nin 5 HU"


def test_sizes_have_round_numbers_and_their_median(ax) -> None:
    unknown = LESIONS.assign(diameter_mm=np.nan)
    draw_sizes(ax, pd.concat([LESIONS, unknown], ignore_index=True))
    assert ax.get_title() == "5 lesions, median 20 mm"
    assert sum(patch.get_height() for patch in ax.patches) == 5
    assert {5, 10, 20, 50} <= set(ax.get_xticks())


def test_contrast_is_drawn_against_size_with_the_liver_at_0(ax) -> None:
    draw_contrast(ax, LESIONS)
    points = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(points, LESIONS.to_numpy())
    assert any(set(line.get_ydata()) == {0} for line in ax.lines)
    assert ax.get_xscale() == "log"


@pytest.mark.parametrize(
    ("draw", "table"),
    [(draw_sizes, LESIONS), (draw_contrast, LESIONS), (draw_spacing, CASES)],
)
def test_where_no_case_says_its_spacing_a_sentence_stands(draw, table, ax) -> None:
    draw(ax, table.assign(**{f"{n}_mm": np.nan for n in ("diameter", "pixel")}))
    assert ax.texts[0].get_text() == "no case says\nits spacing"
    assert not ax.has_data()


def test_numbers_of_cases_are_whole(ax) -> None:
    draw_numbers(ax, CASES, "lesions", "lesions of a case")
    assert sum(patch.get_height() for patch in ax.patches) == 4
    assert ax.get_xlabel() == "lesions of a case"
    assert all(float(tick).is_integer() for tick in ax.get_yticks())


def test_spacing_begins_at_0_and_shows_every_case(ax) -> None:
    draw_spacing(ax, CASES)
    points = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(points, CASES[["pixel_mm", "thickness_mm"]])
    assert ax.get_ylim()[0] == 0
    sizes = ax.collections[0].get_sizes()
    assert sizes.argmax() == CASES["slices"].to_numpy().argmax()
    assert ax.get_legend() is None


def test_an_axis_without_a_picture_has_no_frame(ax) -> None:
    hide_rest([ax])
    assert not ax.axison
