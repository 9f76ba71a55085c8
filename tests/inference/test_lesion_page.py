"""The page of lesions, as a browser and a reader get it."""

import html
import re
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from dark import AFFINE, write_ct, write_weights

from mscf.inference.lesion_page import PICTURES, signed
from mscf.inference.predict import PredictSettings, predict_cases

NOTICE = "Research code, no medical device"


class Page(HTMLParser):
    """Tags, addresses, text, and the cells of its table."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.addresses, self.words, self.rows = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "srcset")]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data) -> None:
        if self.tags[-1:] not in (["style"], ["title"]):
            self.words.append(data)
        if self.rows and self.tags[-1] in ("td", "th", "br"):
            self.rows[-1][-1] += data.strip()


def predicted(run, folder, name="a", **settings) -> Page:
    settings = PredictSettings(**{"device": "cpu"} | settings)
    list(predict_cases(folder / f"{name}.nii", folder / "out", run, settings))
    return Page((folder / "out" / f"{name}.html").read_text())


def test_the_page_stands_alone(run, tmp_path) -> None:
    write_ct(tmp_path / "a.nii")
    page = predicted(run, tmp_path)
    text = (tmp_path / "out" / "a.html").read_text()
    outside = [a for a in page.addresses if not a.startswith("data:image/png;base64,")]
    assert outside == ["./a.csv", "./a.json"]  # links to what lies beside it
    assert all((tmp_path / "out" / address).exists() for address in outside)
    assert not {"script", "link", "iframe", "object", "embed"} & set(page.tags)
    assert "http" not in re.sub("http-equiv", "", text)
    assert "url(" not in text
    assert "default-src 'none'" in text


def test_whole_hu_have_a_sign_unless_they_are_0() -> None:
    said = [signed(hu, plus="+") for hu in (-32.4, 0.3, -0.3, 7.6, None)]
    assert said == ["−32", "0", "0", "+8", "–"]
    assert signed(60.2) == "60"


def test_the_page_says_first_and_last_that_it_is_no_medical_device(
    run, tmp_path
) -> None:
    write_ct(tmp_path / "a.nii")
    words = "".join(predicted(run, tmp_path).words).strip()
    assert words.startswith(NOTICE)
    assert NOTICE in words.splitlines()[-1]


def test_each_lesion_has_a_row_of_the_tables_figures_and_a_picture(
    run, tmp_path
) -> None:
    write_ct(tmp_path / "a.nii")
    page = predicted(run, tmp_path)
    table = pd.read_csv(tmp_path / "out" / "a.csv")
    head, *rows = page.rows
    assert head[1:3] == ["Volumeml", "Diametersmm"]
    assert page.tags.count("svg") == page.tags.count("image") == len(rows) == 2
    for cells, (_, lesion) in zip(rows, table.iterrows(), strict=True):
        assert cells[:3] == [
            str(lesion.number),
            f"{lesion.volume_ml:.2f}",
            f"{lesion.diameter_mm:.1f} × {lesion.perpendicular_mm:.1f}",
        ]
        assert cells[5] == f"{lesion.contrast_hu:+.0f}".replace("-", "−")
        assert cells[7] == f"{lesion.first_slice} to {lesion.last_slice}"
    captions = re.findall(
        "<figcaption>(.*)</figcaption>", (tmp_path / "out" / "a.html").read_text()
    )
    for i, caption in zip(table.key_slice, captions, strict=True):
        assert f", slice {i}: " in caption
    assert all("contrast −" in caption for caption in captions)


def test_a_picture_tells_its_lesion_from_others_and_draws_its_own_diameters(
    run, tmp_path
) -> None:
    hu = np.full((32, 24, 9), 110, np.int16)
    hu[0] = -1000
    hu[4:16, 8, 2] = 40  # a bar, and above its end a block: larger, less wide
    hu[4:8, 6:10, 3] = 40
    hu[24:26, 16:18, 3] = 40
    nib.save(nib.Nifti1Image(hu, AFFINE), tmp_path / "a.nii")
    predicted(run, tmp_path)
    figures = (tmp_path / "out" / "a.html").read_text().split("<figure>")[1:]
    drawn = [
        [f.count("<polygon"), f.count("stroke-dasharray"), f.count("<polyline")]
        for f in figures
    ]
    assert drawn == [[2, 1, 0], [2, 1, 2]]
    assert "mm (in slice 2)" in figures[0]
    assert "(in slice" not in figures[1]
    table = pd.read_csv(tmp_path / "out" / "a.csv")
    assert table.key_slice.tolist() == [3, 3]
    assert table.diameter_slice.tolist() == [2, 3]


def test_of_the_other_lesions_only_those_in_the_picture_are_drawn(
    run, tmp_path
) -> None:
    hu = np.full((128, 128, 3), 110, np.int16)
    hu[0] = -1000
    hu[60:64, 60:64, 1] = 40
    hu[80:84, 60:124, 1] = 40  # one that leaves the first one's picture
    hu[4:7, 4:7, 1] = 40  # one far away
    nib.save(nib.Nifti1Image(hu, AFFINE), tmp_path / "a.nii")
    weights = write_weights(tmp_path / "a.ckpt", image_size=128)
    predicted(weights, tmp_path)
    figures = (tmp_path / "out" / "a.html").read_text().split("<figure>")[1:]
    assert [f.count("stroke-dasharray") for f in figures] == [1, 1, 0]
    (line,) = re.findall(r'<polygon points="(.*?)".*dasharray', figures[1])
    x, y = np.array([p.split(",") for p in line.split()], float).T
    _, _, width, height = map(
        float, re.search(r'viewBox="(.*?)"', figures[1])[1].split()
    )
    assert x.min() < 0 or x.max() > width  # no edge where the picture ends
    assert max(x.max() - width, -x.min(), y.max() - height, -y.min()) < 2 * 1.5


def test_only_the_largest_lesions_have_a_picture_but_all_a_row(
    run, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("mscf.inference.lesion_page.PICTURES", 1)
    write_ct(tmp_path / "a.nii")
    page = predicted(run, tmp_path)
    assert page.tags.count("svg") == 1
    assert len(page.rows) == 1 + 2
    said = "The 1 largest of 2 lesions; the others are in the table only."
    assert said in "".join(page.words)
    monkeypatch.undo()
    assert PICTURES == 100


def test_contrast_and_depth_are_of_the_liver_where_it_is_given(run, tmp_path) -> None:
    lesions = write_ct(tmp_path / "a.nii")
    page = predicted(run, tmp_path)
    assert [row[6] for row in page.rows[1:]] == ["–", "–"]
    table = pd.read_csv(tmp_path / "out" / "a.csv")
    assert (table.contrast_to == "soft tissue").all()
    assert table.surface_mm.isna().all()
    words = "".join(page.words)
    assert "2 to 10 mm" in words
    assert "no liver mask was given" in words
    liver = np.zeros(lesions.shape, np.uint8)
    liver[3:-3, 2:-4, 1:-1] = 1
    nib.save(nib.Nifti1Image(liver, AFFINE), tmp_path / "liver.nii")
    page = predicted(run, tmp_path, liver=tmp_path / "liver.nii")
    table = pd.read_csv(tmp_path / "out" / "a.csv")
    assert (table.contrast_to == "liver").all()
    assert [row[6] for row in page.rows[1:]] == [f"{d:.1f}" for d in table.surface_mm]
    assert "the liver mask's tissue" in "".join(page.words)


def test_without_spacing_every_unit_on_the_page_is_the_pixel(run, tmp_path) -> None:
    write_ct(tmp_path / "a.nii")
    image = nib.load(tmp_path / "a.nii")
    image.set_sform(None, 0)
    image.set_qform(None, 0)
    nib.save(image, tmp_path / "b.nii")
    page = predicted(run, tmp_path, "b")
    assert page.rows[0][1:3] == ["Volumevoxels", "Diameterspixels"]
    words = "".join(page.words)
    assert "ALL LENGTHS ARE IN PIXELS" in words
    assert "Warning: b.nii: " in words
    assert "[geometry-unknown]" in words
    assert str(tmp_path) not in (tmp_path / "out" / "b.html").read_text()
    assert re.search(r"\d\spixels", words)
    assert re.search(r"\d\s(mm|ml)", words) is None
    assert ">R<" not in (tmp_path / "out" / "b.html").read_text()  # nobody knows


def test_the_page_says_which_filters_were_asked_for(run, tmp_path) -> None:
    lesions = write_ct(tmp_path / "a.nii")
    all_kept = "".join(predicted(run, tmp_path).words)
    assert "; no filter." in all_kept
    assert "counts as tissue" not in all_kept
    liver = nib.Nifti1Image(np.ones(lesions.shape, np.uint8), AFFINE)
    nib.save(liver, tmp_path / "liver.nii")
    page = predicted(
        run, tmp_path, liver=tmp_path / "liver.nii", least_ml=0.02, largest=True
    )
    said = "; cut to a liver mask, from 0.02 ml, the largest only."
    assert said in "".join(page.words)
    assert "What the filters dropped counts as tissue." in "".join(page.words)


def test_a_scan_without_lesions_has_a_page_that_says_so(run, tmp_path) -> None:
    write_ct(tmp_path / "a.nii")
    page = predicted(run, tmp_path, least_ml=1e6)
    assert "Nothing in this scan" in "".join(page.words)
    assert not {"table", "svg"} & set(page.tags)


def test_lesions_of_one_voxel_and_at_the_border_have_their_rows(run, tmp_path) -> None:
    hu = np.full((32, 24, 9), 110, np.int16)
    hu[0] = -1000
    hu[20, 12, 4] = 40
    hu[26:, 20:, 7:] = 40
    nib.save(nib.Nifti1Image(hu, AFFINE), tmp_path / "a.nii")
    page = predicted(run, tmp_path)
    assert [row[0] for row in page.rows[1:]] == ["1*", "2"]
    assert page.rows[2][1] == "< 0.01"
    assert page.rows[2][2] == "1.5 × 1.2"
    assert "* reaches the border of the scan" in "".join(page.words)


@pytest.mark.parametrize("name", ["<b>&", 'a"b', "50%", "javascript:x", "a b?c#d"])
def test_an_odd_name_is_text_and_its_tables_are_found(name, run, tmp_path) -> None:
    write_ct(tmp_path / f"{name}.nii")
    page = predicted(run, tmp_path, name)
    assert "b" not in page.tags
    assert f"{name}: 2 lesions predicted" in html.unescape("".join(page.words))
    links = [a for a in page.addresses if not a.startswith("data:")]
    assert links[0].startswith("./")
    assert (tmp_path / "out" / unquote(urlsplit(links[0]).path)).exists()
