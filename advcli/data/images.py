"""Image files and pixel arrays: read, resize, convert channels."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from advcli.data.formats import HEAD_BYTES, register_reader
from advcli.errors import AdvcliError

_ORIENTATION = 0x0112

# How an image is brought to the size of a model: to its proportions, or by cutting out its centre.
Fit = Literal["squash", "crop"]


def read(source: Path | BinaryIO, channels: int = 3) -> np.ndarray:
    """Read an image file as it is displayed: -> (H, W, channels) uint8.

    The EXIF orientation is applied, palettes and CMYK are converted to RGB, transparent pixels are composited on white,
    and 16-bit and floating-point values are scaled to 8 bits.

    Raises:
        AdvcliError: the file is not an image that Pillow or scikit-image can read.
    """
    try:
        content = source.read_bytes() if isinstance(source, Path) else source.read()
    except OSError as error:
        raise AdvcliError(f"cannot read the file: {error.strerror or error}") from error
    if not content:
        raise AdvcliError("not an image: the file is empty")
    try:
        array = _read_with_pillow(content)
    except Exception as error:  # noqa: BLE001  a damaged file makes its decoder raise almost anything
        array = _read_with_skimage(content, error)
    return to_channels(array, channels)


def size(file: Path) -> tuple[int, int]:
    """Return an image's height and width from its header; (0, 0) if Pillow cannot read it."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with file.open("rb") as start:
                register_reader(start.read(HEAD_BYTES))
            with Image.open(file) as opened:
                width, height = opened.size
                turned = opened.getexif().get(_ORIENTATION, 1) >= 5
    except Exception:  # noqa: BLE001  a damaged file makes its decoder raise almost anything
        return (0, 0)
    return (width, height) if turned else (height, width)


def _read_with_pillow(content: bytes) -> np.ndarray:
    from PIL import Image, ImageOps

    register_reader(content[:HEAD_BYTES])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(content)) as opened:
            if opened.format == "TIFF" and _is_misread(opened.tag_v2):  # type: ignore[attr-defined]
                raise ValueError("a kind of TIFF that Pillow does not read")
            opened.load()
            image = ImageOps.exif_transpose(opened)
        if image.mode[0] in "IF":
            return _to_eight_bits(np.asarray(image))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image)
        grey = image.mode in ("1", "L")
        return np.asarray(image.convert("L" if grey else "RGB"))


def _is_misread(tags: Mapping[int, Any]) -> bool:
    """Return whether Pillow decodes a TIFF file wrongly: planar colours above 8 bits, unsigned 32-bit values."""
    deepest = max(tags.get(258, (1,)))  # BitsPerSample
    in_planes = tags.get(284, 1) == 2  # PlanarConfiguration
    unsigned = tags.get(339, (1,))[0] == 1  # SampleFormat
    return (deepest > 8 and in_planes) or (deepest == 32 and unsigned)


def _read_with_skimage(content: bytes, cause: Exception) -> np.ndarray:
    from PIL import UnidentifiedImageError
    from skimage import io as skimage_io

    is_tiff = content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = np.asarray(skimage_io.imread(io.BytesIO(content), plugin="tifffile" if is_tiff else "imageio"))
    except Exception as error:
        reason = "of no known kind" if isinstance(cause, UnidentifiedImageError) else _first_line(cause)
        raise AdvcliError(f"not a readable image ({reason})") from error
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (1, 2, 3, 4)):
        raise AdvcliError(f"not one picture: an array of shape {array.shape}")
    if array.ndim == 2 or array.shape[-1] in (1, 3):
        return _to_eight_bits(array)
    opacity = _to_eight_bits(array[..., -1:]) / 255
    return (_to_eight_bits(array[..., :-1]) * opacity + 255 * (1 - opacity)).round().astype(np.uint8)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _to_eight_bits(array: np.ndarray) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    values = array.astype(np.float64)
    largest = values.max(initial=0, where=np.isfinite(values))
    fulls = (1.0, 255.0, 65535.0) if array.dtype.kind == "f" else (255.0, 65535.0, 2.0**32 - 1)
    full = next((full for full in fulls if largest <= full), largest)
    if array.dtype in (np.uint16, np.uint32):
        # The type defines white, independently of the image's brightness.
        full = float(np.iinfo(array.dtype).max)
    return (np.nan_to_num(values / full, nan=0, posinf=1, neginf=0) * 255).round().clip(0, 255).astype(np.uint8)


def to_channels(array: np.ndarray, channels: int) -> np.ndarray:
    """Convert grey images to RGB or RGB images to grey: (..., H, W[, C]) -> (..., H, W, channels)."""
    if array.ndim == 2:
        array = array[..., None]
    if array.shape[-1] == channels:
        return array
    if array.shape[-1] == 1:
        return np.repeat(array, channels, axis=-1)
    luma = array[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)
    grey = luma.round().clip(0, 255).astype(np.uint8) if array.dtype == np.uint8 else luma
    return grey[..., None]


def resize(array: np.ndarray, size: tuple[int, int], fit: Fit = "squash") -> np.ndarray:
    """Resize an image, bicubic: (H, W, C) uint8 or float32 -> (height, width, C), same type.

    Args:
        array: the image.
        size: height and width of the result.
        fit: ``squash`` to these proportions, or ``crop``: keep the proportions, see ``crop_window``.
    """
    if fit == "crop":
        scaled, (top, left) = crop_window(array.shape[:2], size)
        return resize(array, scaled)[top : top + size[0], left : left + size[1]]
    if array.shape[:2] == size:
        return array
    from PIL import Image

    # One band at a time as floats: Pillow resizes several bands in 8 bits only.
    height, width = size
    bands = [
        np.asarray(
            Image.fromarray(array[..., band].astype(np.float32)).resize((width, height), Image.Resampling.BICUBIC)
        )
        for band in range(array.shape[-1])
    ]
    resized = np.stack(bands, axis=-1)
    return resized.round().clip(0, 255).astype(np.uint8) if array.dtype == np.uint8 else resized.clip(0, 1)


def crop_window(shape: tuple[int, ...], size: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return to which size an image is scaled before its centre is cut out, and where that begins: (top, left).

    As for the published accuracies on ImageNet: the shorter side becomes 256/224 of the model's. An image that has the
    model's size already is left as it is.
    """
    if tuple(shape[:2]) == size:
        return size, (0, 0)
    scale = max(size[0] / shape[0], size[1] / shape[1]) * 256 / 224
    scaled = max(round(shape[0] * scale), size[0]), max(round(shape[1] * scale), size[1])
    return scaled, ((scaled[0] - size[0]) // 2, (scaled[1] - size[1]) // 2)
