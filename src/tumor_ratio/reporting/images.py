"""Pictures inside a page: data URIs, so that nothing is requested from elsewhere."""

from __future__ import annotations

import base64
import io
from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

JPEG_QUALITY: Final = 85


def figure_uri(figure: Figure) -> str:
    """A figure as a `data:image/png` URI, at the figure's own resolution."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return _png_uri(buffer.getvalue())


def figure_photo_uri(figure: Figure) -> str:
    """A figure that is mostly tissue as a `data:image/jpeg` URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi)
    return photo_uri(np.array(Image.open(buffer).convert("RGB")))


def image_uri(rgb: NDArray[np.uint8]) -> str:
    """An (H, W, 3) uint8 image as a `data:image/png` URI."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="PNG", optimize=True)
    return _png_uri(buffer.getvalue())


def photo_uri(rgb: NDArray[np.uint8]) -> str:
    """An (H, W, 3) uint8 picture of tissue as a `data:image/jpeg` URI, a tenth of the size."""
    buffer = io.BytesIO()
    Image.fromarray(rgb).save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _png_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
