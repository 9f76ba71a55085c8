"""What reading a damaged ``.npz`` raises, at whichever of its layers."""

import zlib
from zipfile import BadZipFile

DAMAGED = (
    OSError, ValueError, TypeError, KeyError, EOFError, BadZipFile, zlib.error,
)  # fmt: skip
