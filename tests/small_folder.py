"""A folder of one small phantom that a test may spoil, and NIfTI bytes of any kind."""

import gzip
import json
from pathlib import Path

import nibabel as nib
import numpy as np

HEADER = nib.Nifti1Header.template_dtype


def nifti_bytes(
    voxels, affine, order: str = "<", extension: bytes = b"", qform=None, **fields
) -> bytes:
    """A NIfTI file as bytes; ``fields`` are put into its header unchecked."""
    image = nib.Nifti1Image(voxels, affine, nib.Nifti1Header(endianness=order))
    image.set_data_dtype(voxels.dtype)
    image.set_sform(affine, 1)
    image.set_qform(affine if qform is None else qform, 1, strip_shears=True)
    if extension:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", extension))
    return with_fields(image.to_bytes(), order, **fields)


def with_fields(content: bytes, order: str = "<", **fields) -> bytes:
    """The bytes with other values in the header, as they are."""
    content = bytearray(content)
    header = np.frombuffer(content, HEADER.newbyteorder(order), 1)
    for name, value in fields.items():
        header[name][0] = value
    return bytes(content)


class Folder:
    """MSD's layout with the one case ``liver_0``, stored as LPS."""

    def __init__(self, path: Path, clean: Path) -> None:
        self.path = path
        self.image = path / "imagesTr/liver_0.nii.gz"
        self.label = path / "labelsTr/liver_0.nii.gz"
        image, labels = (
            nib.load(clean / kind / "liver_0.nii.gz")
            for kind in ("imagesTr", "labelsTr")
        )
        self.hu, self.labels = np.asarray(image.dataobj), np.asarray(labels.dataobj)
        self.affine = image.affine
        self.write(image=self.hu, label=self.labels)
        (path / "patients.csv").write_text(
            "case,patient,spacing_known\nliver_0,P0,true\n"
        )

    def write(self, image=None, label=None, affine=None, **how) -> None:
        """Image or labels or both, by `nifti_bytes`."""
        affine = self.affine if affine is None else affine
        for path, voxels in ((self.image, image), (self.label, label)):
            if voxels is not None:
                put(path, nifti_bytes(voxels, affine, **how))

    def write_both(self, affine=None, **how) -> None:
        """The clean voxels, otherwise stored."""
        self.write(self.hu, self.labels, affine, **how)

    def plain(self) -> None:
        """The image without gzip from now on."""
        content = gzip.decompress(self.image.read_bytes())
        self.image.unlink()
        self.image = self.image.with_suffix("")
        self.image.write_bytes(content)

    def rename(self, name: str) -> None:
        """Another name for the case."""
        self.image = self.image.rename(self.image.with_name(f"{name}.nii.gz"))
        self.label = self.label.rename(self.label.with_name(f"{name}.nii.gz"))
        (self.path / "patients.csv").unlink()

    def listed(self, *entries: dict[str, str]) -> None:
        """A ``dataset.json`` of these pairs."""
        (self.path / "dataset.json").write_text(json.dumps({"training": entries}))


PAIR = {"image": "imagesTr/liver_0.nii.gz", "label": "labelsTr/liver_0.nii.gz"}


def put(path: Path, content: bytes) -> None:
    """Bytes into a file, packed where its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = path.suffix == ".gz"
    path.write_bytes(gzip.compress(content, 1, mtime=0) if packed else content)
