"""Image files and pixel arrays: read, resize, convert channels."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from advcli.errors import AdvcliError
from advcli.files import image_file

if TYPE_CHECKING:
    from PIL import Image
    from tifffile import TiffFile

_ORIENTATION = 0x0112
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Conversions take several copies of the pixels that they work on together.
_PIXELS_AT_ONCE = 4_000_000

# How an image is brought to the size of a model: to its proportions, or by cutting out its centre.
Fit = Literal["squash", "crop"]


def read(source: Path | BinaryIO, channels: int = 3) -> np.ndarray:
    """Read an image file as it is displayed: -> (H, W, channels) uint8.

    The EXIF orientation is applied, palettes and CMYK are converted to RGB, transparent pixels are composited on white,
    and 16-bit and floating-point values are scaled to 8 bits.

    Raises:
        AdvcliError: the file is not an image of a known format and size, or its values are no real numbers.
    """
    with image_file.open_source(source) as file:
        start = file.read(4)
        file.seek(0)
        if not start:
            raise AdvcliError("not an image: the file is empty")
        try:
            array = _read_with_pillow(file)
        except Exception as error:
            refused = isinstance(error, AdvcliError) and not isinstance(error, image_file.UnknownFormat)
            if isinstance(error, MemoryError) or refused:
                raise
            if start not in _TIFF:
                raise _unreadable(error) from error
            file.seek(0)
            array = _read_with_tifffile(file, error)
    return to_channels(array, channels)


def size(file: Path) -> tuple[int, int]:
    """Return an image's height and width from its header; (0, 0) if Pillow cannot read it."""
    try:
        with image_file.open_image(file) as opened:
            width, height = opened.size
            turned = opened.getexif().get(_ORIENTATION, 1) >= 5
    except Exception:  # noqa: BLE001  a damaged file makes its decoder raise almost anything
        return (0, 0)
    return (width, height) if turned else (height, width)


def _read_with_pillow(file: BinaryIO) -> np.ndarray:
    from PIL import ImageOps
    from PIL.TiffImagePlugin import TiffImageFile

    with image_file.open_image(file) as image:
        if isinstance(image, TiffImageFile) and _is_misread(image.tag_v2):
            raise ValueError("a kind of TIFF that Pillow does not read")
        image.load()
        ImageOps.exif_transpose(image, in_place=True)
        if image.mode[0] in "IF":
            return _to_eight_bits(np.asarray(image))
        if image.has_transparency_data:
            return _on_white(image)
        grey = image.mode in ("1", "L")
        return np.asarray(image.convert("L" if grey else "RGB"))


def _on_white(image: "Image.Image") -> np.ndarray:
    """Composite an image with transparency on white, some rows at a time: -> (H, W, 3) uint8."""
    from PIL import Image

    pixels = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(image.height, top + rows))).convert("RGBA")
        white = Image.new("RGBA", strip.size, "white")
        pixels[top : top + rows] = np.asarray(Image.alpha_composite(white, strip).convert("RGB"))
    return pixels


def _is_misread(tags: Mapping[int, Any]) -> bool:
    """Return whether Pillow decodes a TIFF file wrongly: planar colours above 8 bits, unsigned 32-bit values."""
    deepest = max(tags.get(258, (1,)))  # BitsPerSample
    in_planes = tags.get(284, 1) == 2  # PlanarConfiguration
    unsigned = tags.get(339, (1,))[0] == 1  # SampleFormat
    return (deepest > 8 and in_planes) or (deepest == 32 and unsigned)


def _read_with_tifffile(file: BinaryIO, cause: Exception) -> np.ndarray:
    """Read the kinds of TIFF that Pillow does not read: deep colours, colours in planes, numbers of 64 bits."""
    import tifffile

    most = image_file.max_pixels()
    try:
        with tifffile.TiffFile(file) as opened:
            page = opened.pages.first
            axes, shape = page.axes, page.shape
            several = _has_page(opened, 1)
            width, height = page.imagewidth, page.imagelength
            sizes = (width * height * page.imagedepth, page.tilewidth * page.tilelength)
            if not several and axes in ("YX", "YXS", "SYX") and max(sizes) <= most and page.samplesperpixel <= 4:
                array = page.asarray()
                array = np.moveaxis(array, 0, -1) if axes == "SYX" else array
            else:
                array = None
    except MemoryError:
        raise
    except Exception as error:
        raise _unreadable(cause) from error
    if max(sizes) > most:
        raise AdvcliError(f"an image of more than {most:,} pixels (see --max-pixels)")
    if not width or not height:
        raise AdvcliError(f"an image of {width} x {height} pixels")
    if array is None:
        what = f"{len(shape)}-dimensional array" if not several else "stack of pages"
        raise AdvcliError(f"not one picture: a {what}")
    if array.ndim == 2 or array.shape[-1] in (1, 3):
        return _to_eight_bits(array)
    colours, opacity = _to_eight_bits(array[..., :-1]), _to_eight_bits(array[..., -1:])
    from PIL import Image

    bands = [*np.moveaxis(colours, -1, 0), opacity[..., 0]]
    return _on_white(Image.merge("LA" if len(bands) == 2 else "RGBA", [Image.fromarray(band) for band in bands]))


def _has_page(opened: "TiffFile", number: int) -> bool:
    try:
        opened.pages[number]
    except IndexError:
        return False
    return True


def _unreadable(error: Exception) -> AdvcliError:
    if isinstance(error, AdvcliError):
        return error
    return AdvcliError(f"not a readable image ({(str(error).strip() or type(error).__name__).splitlines()[0]})")


def _to_eight_bits(array: np.ndarray) -> np.ndarray:
    """Scale values to 8 bits, some rows at a time.

    Raises:
        AdvcliError: some are complex, NaN or infinite.
    """
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype.kind not in "iuf":
        raise AdvcliError(f"an image of {'complex numbers' if array.dtype.kind == 'c' else array.dtype}")
    rows = max(1, _PIXELS_AT_ONCE // max(1, array[0].size))
    blocks = range(0, len(array), rows)
    if array.dtype.kind == "f":
        for start in blocks:
            part = array[start : start + rows]
            if not np.isfinite(part).all():
                raise AdvcliError(f"an image with {'NaN' if np.isnan(part).any() else 'infinite values'} in it")
    largest = float(array.max(initial=0))
    fulls = (1.0, 255.0, 65535.0) if array.dtype.kind == "f" else (255.0, 65535.0, 2.0**32 - 1)
    full = next((full for full in fulls if largest <= full), largest)
    if array.dtype in (np.uint16, np.uint32):
        # The type defines white, independently of the image's brightness.
        full = float(np.iinfo(array.dtype).max)
    pixels = np.empty(array.shape, np.uint8)
    for start in blocks:
        part = array[start : start + rows].astype(np.float64)
        pixels[start : start + rows] = (part / full * 255).round().clip(0, 255)
    return pixels


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


def resize_nearest(array: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize an image without mixing its values, each pixel that of the nearest centre: -> (height, width, C)."""
    # In whole numbers: (i + 1/2) * before / after, rounded down.
    rows, columns = (
        (2 * np.arange(after) + 1) * before // (2 * after) for before, after in zip(array.shape[:2], size, strict=True)
    )
    return array[rows[:, None], columns[None]]


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
