import gzip
import itertools

import nibabel as nib
import numpy as np
import pytest

from mscf.data import scan as scan_module
from mscf.data.scan import SliceFile, read_labels_of, read_scan, write_on_grid
from mscf.data.volume import as_slices, read_volume
from mscf.errors import InputError, StorageError

SHAPE = (10, 12, 6)
AFFINE = np.array([[0.8, 0, 0, -10], [0, 0.9, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
CODES = [
    "".join(codes)
    for axes in itertools.permutations(("LR", "PA", "IS"))
    for codes in itertools.product(*axes)
]


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch) -> None:
    """Two planes a piece: what differs between pieces shows."""
    monkeypatch.setattr(scan_module, "PIECE", 2 * 10 * 12 * 2)


def hu(seed=0, shape=SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1000, shape).astype(np.int16)


def write(path, voxels, affine=AFFINE, codes="RAS", **header):
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes)
    )
    image = nib.Nifti1Image(voxels, affine).as_reoriented(turn)
    for name, value in header.items():
        image.header[name] = value
    content = bytearray(image.to_bytes())
    for name in ("scl_slope", "scl_inter"):  # nibabel writes 1 and 0
        if name in header:
            place = nib.Nifti1Header.template_dtype.fields[name][1]
            content[place : place + 4] = np.float32(header[name]).tobytes()
    content = bytes(content)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def equal_to_whole(path, folder) -> None:
    volume, scan = read_volume(path), read_scan(path, folder)
    assert scan.slices.dtype == volume.voxels.dtype
    assert np.array_equal(scan.slices[:], as_slices(volume.voxels))
    assert scan.shape == volume.shape
    assert np.array_equal(scan.affine, volume.affine)
    assert scan.spacing == volume.spacing
    assert scan.spacing_known == volume.spacing_known
    assert scan.repairs == volume.repairs


@pytest.mark.parametrize("codes", CODES)
def test_read_by_pieces_a_ct_is_the_one_that_is_read_whole(codes, tmp_path) -> None:
    equal_to_whole(write(tmp_path / "a.nii.gz", hu(), codes=codes), tmp_path)


@pytest.mark.parametrize(
    ("dtype", "header"),
    [
        ("int16", {"scl_slope": 0.3, "scl_inter": -7.1}),
        ("uint16", {"scl_slope": 1, "scl_inter": -1024}),
        (">i2", {}),
        ("float32", {}),
        ("float64", {"scl_slope": 0.1, "scl_inter": -7}),
        ("int32", {"sform_code": 0, "qform_code": 0}),
    ],
)
def test_numbers_are_scaled_by_pieces_as_they_are_whole(
    dtype, header, tmp_path
) -> None:
    voxels = (hu() + 1000 if dtype == "uint16" else hu()).astype(dtype)
    equal_to_whole(write(tmp_path / "a.nii", voxels, **header), tmp_path)


def spoilt(path, how: str):
    """A file that both readers must refuse."""
    voxels = hu()
    if how == "constant":
        voxels[:] = 5
    elif how == "two":
        voxels = np.where(voxels > 0, 40, -40).astype(np.int16)
    elif how == "offset":
        voxels = np.random.default_rng(0).integers(850, 1200, SHAPE, dtype=np.int16)
        voxels[0] = -100
    elif how == "no-air":
        voxels = np.abs(voxels)
    elif how == "nan":
        voxels = voxels.astype(np.float32)
        voxels[3, 4, 1:] = np.nan
    elif how == "four-d":
        voxels = voxels[..., None].repeat(2, axis=3)
    affine = np.zeros((4, 4)) if how == "nowhere" else AFFINE
    content = nib.Nifti1Image(voxels, AFFINE).to_bytes()
    if how == "nowhere":
        image = nib.Nifti1Image(voxels, AFFINE)
        content = bytearray(image.to_bytes())
        place = nib.Nifti1Header.template_dtype.fields["srow_x"][1]
        content[place : place + 48] = affine[:3].astype(np.float32).tobytes()
    content = gzip.compress(bytes(content), mtime=0)
    if how == "short":
        content = gzip.compress(gzip.decompress(content)[:-1])
    elif how == "tail":  # what comes behind the voxels is looked at as well
        rest = np.random.default_rng(0).bytes(2**21)
        content = gzip.compress(gzip.decompress(content) + rest)[:-4]
    elif how == "truncated":
        content = content[:-4]
    elif how == "bit":
        content = content[:200] + bytes([content[200] ^ 1]) + content[201:]
    elif how == "plain":
        content = gzip.decompress(content)
    elif how == "page":
        content = gzip.compress(b"<html>no such file</html>" * 40)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "how",
    [
        "constant", "two", "offset", "no-air", "nan", "four-d", "nowhere", "short",
        "tail", "truncated", "bit", "plain", "page",
    ],
)  # fmt: skip
def test_what_is_refused_whole_is_refused_by_pieces_with_the_same_words(
    how, tmp_path
) -> None:
    path = spoilt(tmp_path / "a.nii.gz", how)
    with pytest.raises(InputError) as whole:
        read_volume(path)
    with pytest.raises(InputError) as by_pieces:
        read_scan(path, tmp_path)
    assert str(by_pieces.value) == str(whole.value)


def test_a_refused_file_gives_its_room_on_the_disk_back(tmp_path, monkeypatch) -> None:
    path = spoilt(tmp_path / "a.nii.gz", "constant")
    made = []
    start = SliceFile.__init__

    def kept(self, *arguments) -> None:
        start(self, *arguments)
        made.append(self)

    monkeypatch.setattr(SliceFile, "__init__", kept)
    with pytest.raises(InputError):
        read_scan(path, tmp_path)
    assert [slices._file.closed for slices in made] == [True]


def test_a_file_that_is_not_there_is_one_line(tmp_path) -> None:
    with pytest.raises(InputError, match=r"\[unreadable\]"):
        read_scan(tmp_path / "none.nii.gz", tmp_path)


def test_voxels_without_room_on_the_disk_are_one_line(tmp_path) -> None:
    with pytest.raises(StorageError, match="must have room for"):
        SliceFile(tmp_path, (2**20, 2**20, 2**20), np.int16)


@pytest.mark.parametrize("codes", CODES)
def test_a_mask_lies_on_its_cts_own_grid(codes, tmp_path) -> None:
    source = write(
        tmp_path / "a.nii.gz", hu(), codes=codes, xyzt_units=2, descrip=b"Jane Doe"
    )
    scan = read_scan(source, tmp_path)
    dark = scan.slices[:] < -500
    mask = SliceFile(tmp_path, dark.shape, np.uint8)
    mask[:] = dark
    write_on_grid(mask, scan, tmp_path / "mask.nii.gz")
    written, original = nib.load(tmp_path / "mask.nii.gz"), nib.load(source)
    assert np.array_equal(written.get_fdata() == 1, original.get_fdata() < -500)
    assert written.get_data_dtype() == np.uint8
    assert np.array_equal(written.affine, original.affine)
    for name in scan_module.PLACE:
        assert np.array_equal(written.header[name], original.header[name]), name
    assert b"Jane" not in gzip.decompress((tmp_path / "mask.nii.gz").read_bytes())
    assert np.array_equal(
        read_labels_of(tmp_path / "mask.nii.gz", scan, tmp_path)[:], dark
    )


def test_the_second_kind_of_nifti_gets_a_mask_of_its_kind(tmp_path) -> None:
    nib.save(nib.Nifti2Image(hu(), AFFINE), tmp_path / "a.nii")
    scan = read_scan(tmp_path / "a.nii", tmp_path)
    write_on_grid(scan.slices, scan, tmp_path / "b.nii.gz")
    written = nib.load(tmp_path / "b.nii.gz")
    assert isinstance(written, nib.Nifti2Image)
    assert np.array_equal(written.get_fdata(), hu())


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"shape": (10, 12, 5)}, "shape-mismatch"),
        ({"affine": AFFINE + np.eye(4, k=3) * 50}, "affine-mismatch"),
        ({"value": 3}, "label-values"),
    ],
)
def test_labels_of_another_grid_are_refused(change, check, tmp_path) -> None:
    scan = read_scan(write(tmp_path / "a.nii", hu()), tmp_path)
    labels = np.full(change.get("shape", SHAPE), change.get("value", 1), np.uint8)
    write(tmp_path / "b.nii", labels, change.get("affine", AFFINE))
    with pytest.raises(InputError, match=rf"\[{check}\]"):
        read_labels_of(tmp_path / "b.nii", scan, tmp_path)


def test_nothing_is_left_in_the_folder(tmp_path) -> None:
    path = write(tmp_path / "a.nii", hu())
    with read_scan(path, tmp_path).slices as slices:
        assert len(slices) == 6
        assert list(tmp_path.iterdir()) == [path]
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_repaired_of_labels_is_said(tmp_path, capsys) -> None:
    scan = read_scan(write(tmp_path / "a.nii", hu()), tmp_path)
    path = write(tmp_path / "b.nii", (hu() > 0).astype(np.float32))
    read_labels_of(path, scan, tmp_path)
    assert capsys.readouterr().err.count("[label-float]") == 1


def test_what_follows_the_voxels_is_said_of_a_scan_too(tmp_path) -> None:
    path = write(tmp_path / "a.nii", hu())
    path.write_bytes(path.read_bytes() + bytes(8))
    equal_to_whole(path, tmp_path)
    path.write_bytes(path.read_bytes() + b"text")
    with pytest.raises(InputError, match=r"\[file-long\]"):
        read_scan(path, tmp_path)


@pytest.mark.parametrize(("units", "unit"), [(1, 1e-3), (3, 1e3)])
@pytest.mark.parametrize("codes", ["RAS", "SLP"])
def test_a_mask_keeps_the_units_of_its_ct_which_is_read_in_mm(
    units, unit, codes, tmp_path
) -> None:
    affine = np.diag([unit, unit, unit, 1]) @ AFFINE
    how = {"affine": affine, "codes": codes, "xyzt_units": units}
    source = write(tmp_path / "a.nii.gz", hu(), **how)
    equal_to_whole(source, tmp_path)
    scan = read_scan(source, tmp_path)
    assert [repair.check for repair in scan.repairs] == ["units"]
    assert scan.spacing == pytest.approx((0.8, 0.9, 2.5))
    assert scan.voxel_ml == pytest.approx(0.0018)
    np.testing.assert_allclose(scan.affine, AFFINE, rtol=1e-5)
    dark = scan.slices[:] < -500
    mask = SliceFile(tmp_path, dark.shape, np.uint8)
    mask[:] = dark
    write_on_grid(mask, scan, tmp_path / "mask.nii.gz")
    written, original = nib.load(tmp_path / "mask.nii.gz"), nib.load(source)
    assert np.array_equal(written.affine, original.affine)
    assert written.header["xyzt_units"] == original.header["xyzt_units"] == units
    for name in scan_module.PLACE:
        assert np.array_equal(written.header[name], original.header[name]), name
    read = read_labels_of(tmp_path / "mask.nii.gz", scan, tmp_path)
    assert np.array_equal(read[:], dark)
    in_mm = write(tmp_path / "mm.nii", (hu() < -500).astype(np.uint8), codes=codes)
    assert np.array_equal(read_labels_of(in_mm, scan, tmp_path)[:], dark)


def test_a_coronal_series_is_said_by_both_readers(tmp_path) -> None:
    path = write(tmp_path / "a.nii", hu(), np.diag([0.8, 4, 0.8, 1]))
    equal_to_whole(path, tmp_path)
    (repair,) = read_scan(path, tmp_path).repairs
    assert repair.check == "not-axial"
