"""PNG files of advcli's own: 8-bit pixels exactly as they are, and texts that say what they are."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from advcli.errors import AdvcliError
from advcli.images import whole_file


def write(path: Path, pixels: np.ndarray, text: Mapping[str, str] | None = None) -> None:
    """Write (H, W, C) uint8 pixels as a PNG file, whole or not at all, with text chunks inside."""
    from PIL import Image, PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        # A tEXt chunk holds Latin-1; in JSON every character has a form in ASCII.
        chunks.add_text(key, value)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    with whole_file(path) as file:
        picture.save(file, format="PNG", pnginfo=chunks)


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
