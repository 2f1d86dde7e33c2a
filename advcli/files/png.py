"""PNG files of advcli's own: 8-bit pixels exactly as they are, and texts that say what they are."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from advcli.errors import AdvcliError
from advcli.files.atomic import whole_file


def write(path: Path, pixels: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write (H, W, C) uint8 pixels as a PNG file, whole or not at all, with text chunks inside."""
    from PIL import PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        # A tEXt chunk holds Latin-1; in JSON every character has a form in ASCII.
        chunks.add_text(key, value)
    with whole_file(path) as file:
        _picture(pixels).save(file, format="PNG", pnginfo=chunks)


def png_data_url(pixels: np.ndarray) -> str:
    """Return (H, W, C) uint8 pixels as the address of a picture that lies in the address itself."""
    file = io.BytesIO()
    _picture(pixels).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def read(file: Path) -> np.ndarray:
    """Read a PNG file's own values, opacity among them: -> (H, W, 1 to 4) uint8.

    Raises:
        AdvcliError: the file is no 8-bit PNG.
    """
    from PIL import Image

    try:
        with Image.open(file) as opened:
            if opened.format != "PNG" or opened.mode not in ("L", "LA", "RGB", "RGBA"):
                raise AdvcliError(f"'{file}' is no 8-bit PNG file")
            pixels = np.asarray(opened)
    except OSError as error:
        raise AdvcliError(f"cannot read '{file}': {error.strerror or error}") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def text_in(file: Path, key: str) -> str | None:
    """Return a text that a PNG file carries; None if it does not."""
    from PIL import Image

    try:
        with Image.open(file) as opened:
            return getattr(opened, "text", {}).get(key)
    except OSError:
        return None


def _picture(pixels: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
