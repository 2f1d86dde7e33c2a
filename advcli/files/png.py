"""PNG files: exact 8-bit pixels, with records in text chunks."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advcli.errors import AdvcliError
from advcli.files.atomic import whole_file


def write(path: Path, pixels: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write (H, W, C) uint8 pixels as a PNG file with text chunks, atomically."""
    from PIL import PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        # A tEXt chunk is Latin-1; JSON can escape every other character in ASCII.
        chunks.add_text(key, value)
    with whole_file(path) as file:
        _picture(pixels).save(file, format="PNG", pnginfo=chunks)


def embedded(pixels: np.ndarray) -> str:
    """Return (H, W, C) uint8 pixels as a data URL of a PNG image."""
    file = io.BytesIO()
    _picture(pixels).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def read(file: Path) -> np.ndarray:
    """Read the raw values of a PNG file, including opacity: -> (H, W, 1 to 4) uint8.

    Raises:
        AdvcliError: the file is not an 8-bit PNG.
    """
    from PIL import Image

    try:
        with Image.open(file) as opened:
            if opened.format != "PNG" or opened.mode not in ("L", "LA", "RGB", "RGBA"):
                raise AdvcliError(f"'{file}' is not an 8-bit PNG file")
            pixels = np.asarray(opened)
    except OSError as error:
        raise AdvcliError(f"cannot read '{file}': {error.strerror or error}") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def text_in(file: Path, key: str) -> str | None:
    """Return the text chunk of a PNG file with a key; None if there is none."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            return getattr(opened, "text", {}).get(key)
    except OSError:
        return None


def _picture(pixels: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
