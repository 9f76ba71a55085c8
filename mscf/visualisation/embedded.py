"""Pictures and bytes that stand within a page, with no file beside it."""

from __future__ import annotations

import base64
import io

from matplotlib.image import imsave

from mscf.visualisation.segmentations import Image


def grey_png(hu: Image, window: tuple[float, float]) -> bytes:
    """A slice as it is, a pixel a pixel, as the bytes of a picture."""
    file = io.BytesIO()
    low, high = window
    imsave(file, hu, cmap="gray", vmin=low, vmax=high, format="png")
    return file.getvalue()


def as_address(png: bytes) -> str:
    """A picture as an address that holds it."""
    return f"data:image/png;base64,{as_text(png)}"


def as_text(content: bytes) -> str:
    """Bytes in letters that HTML leaves as they are."""
    return base64.b64encode(content).decode()
