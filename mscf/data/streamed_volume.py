"""A ``.nii.gz`` looked at while its bytes stream by on their way to the disk."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from isal import isal_zlib
from nibabel.spatialimages import HeaderDataError

from mscf.data.nifti_header import MOST_VOXELS
from mscf.errors import DownloadError

STEP = 1 << 20  # bytes unpacked at a time, so that a bomb needs no memory
BESIDE = 1 << 20  # bytes that may follow what the header promises
HEADER = 348  # bytes of NIfTI-1


class StreamedVolume:
    """Refuses a stream that is no sound gzip, or not the NIfTI its header promises.

    The bytes must be shown to ``see`` before they are written: more than the header
    promises is found before it reaches the disk. ``finish`` says that all was there.
    Each raises a ``DownloadError`` that names the file.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._stream = isal_zlib.decompressobj(wbits=31)  # checks CRC and length
        self._head = b""
        self._unpacked, self._promised = 0, 0

    def see(self, chunk: bytes) -> None:
        """The next bytes of the file."""
        while chunk:
            if self._stream.eof:  # another gzip stream behind, or zeros to fill a block
                chunk = chunk.lstrip(b"\0")
                if not chunk:
                    return
                self._stream = isal_zlib.decompressobj(wbits=31)
            self._unpack(chunk)
            chunk = self._stream.unused_data

    def finish(self) -> None:
        """The file has ended here."""
        if not self._stream.eof:
            raise self._refused("must be whole", "its end is missing", "gz-truncated")
        if self._unpacked < max(self._promised, HEADER):
            found = f"{self._unpacked:,} of {self._promised:,} bytes"
            raise self._refused(
                "must hold what its header promises", found, "file-short"
            )

    def _unpack(self, chunk: bytes) -> None:
        while True:
            try:
                content = self._stream.decompress(chunk, STEP)
            except isal_zlib.error as error:
                raise self._refused(
                    "must be a sound gzip stream", error, "gz-corrupt"
                ) from error
            self._count(content)
            chunk = self._stream.unconsumed_tail
            if self._stream.eof or (not chunk and len(content) < STEP):
                return

    def _count(self, content: bytes) -> None:
        if len(self._head) < HEADER:
            self._head += content[: HEADER - len(self._head)]
            if len(self._head) == HEADER:
                self._promised = self._read_promise()
        self._unpacked += len(content)
        if self._promised and self._unpacked > self._promised + BESIDE:
            found = f"more than {self._promised:,} bytes"
            raise self._refused("must end where its header says", found, "file-long")

    def _read_promise(self) -> int:
        """How many bytes header and voxels take, as the header has it."""
        try:
            header = nib.Nifti1Header(self._head, check=False)
            shape, dtype = header.get_data_shape(), header.get_data_dtype()
            offset = int(header["vox_offset"])
            magic = header["magic"].item()
        except (HeaderDataError, ValueError, OverflowError, KeyError) as error:
            raise self._refused("must be a NIfTI image", error, "not-nifti") from error
        voxels = int(np.prod(shape, dtype=object)) if shape else 0
        good = magic == b"n+1" and voxels > 0 and min(shape) > 0
        if not (good and HEADER <= offset < BESIDE):
            raise self._refused("must be a NIfTI image", "another header", "not-nifti")
        if voxels > MOST_VOXELS:
            raise self._refused(
                f"must hold at most {MOST_VOXELS:,} voxels", f"{voxels:,}", "dims-bomb"
            )
        return offset + voxels * dtype.itemsize

    def _refused(self, must: str, found: object, check: str) -> DownloadError:
        return DownloadError(
            self.file, must, found, check, "nothing of it was kept; run again"
        )
