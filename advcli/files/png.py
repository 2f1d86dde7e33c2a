"""PNG files: exact 8-bit pixels, with records in text chunks."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np

from advcli.errors import AdvcliError
from advcli.files.atomic import whole_file
from advcli.files.bounded import parse_json
from advcli.files.image_file import UnknownFormat, open_image
from advcli.records import Record
from advcli.records.base import Json

# The text chunks: the record that the file belongs to, and what the file is.
_RECORD, _KIND = "advcli", "advcli-kind"


def write(path: Path, pixels: np.ndarray, record: Record | None = None, kind: str = "", overwrite: bool = True) -> None:
    """Write (H, W, C) uint8 pixels as a PNG file, whole or not at all.

    Args:
        path: the file.
        pixels: its values.
        record: what the file says of how it was made.
        kind: what it says that it is, such as ``pattern``.
        overwrite: whether it may replace a file that another process wrote in the meantime.
    """
    from PIL import PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    if record is not None:
        # A tEXt chunk holds Latin-1; in JSON every character has a form in ASCII.
        chunks.add_text(_RECORD, record.to_text())
        chunks.add_text(_KIND, kind)
    with whole_file(path, overwrite) as file:
        _picture(pixels).save(file, format="PNG", pnginfo=chunks)


def png_data_url(pixels: np.ndarray) -> str:
    """Return (H, W, C) uint8 pixels as a data URL of a PNG image."""
    file = io.BytesIO()
    _picture(pixels).save(file, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def read(file: Path) -> np.ndarray:
    """Read the raw values of a PNG file, including opacity: -> (H, W, 1 to 4) uint8.

    Raises:
        AdvcliError: the file is not an 8-bit PNG.
    """
    try:
        with open_image(file, "PNG") as opened:
            if opened.mode not in ("L", "LA", "RGB", "RGBA"):
                raise AdvcliError(f"'{file}' is not an 8-bit PNG file")
            pixels = np.asarray(opened)
    except UnknownFormat as error:
        raise AdvcliError(f"'{file}' is not an 8-bit PNG file") from error
    except AdvcliError:
        raise
    except Exception as error:
        raise AdvcliError(f"cannot read '{file}': {error}") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def record_in(file: Path) -> dict[str, Json]:
    """Return the content of the record that a PNG file carries; empty if it carries none."""
    try:
        content = parse_json(_text_in(file, _RECORD) or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def kind_in(file: Path) -> str | None:
    """Return what a PNG file says that it is; None if it does not."""
    return _text_in(file, _KIND)


def _text_in(file: Path, key: str) -> str | None:
    try:
        with open_image(file) as opened:
            return getattr(opened, "text", {}).get(key)
    except Exception:  # noqa: BLE001  a damaged file makes its decoder raise almost anything
        return None


def _picture(pixels: np.ndarray) -> Any:
    from PIL import Image

    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
