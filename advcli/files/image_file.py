"""Open image files: which formats are decoded, and up to which size."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from advcli.errors import AdvcliError, UsageError
from advcli.files.bounded import MEGA, open_file
from advcli.files.formats import HEAD_BYTES, register_reader
from advcli.files.kinds import HEAD, kind_of, kind_of_content

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

# Pillow's decoders that run in this process; others start a program, such as Ghostscript for PostScript.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "TGA", "ICO", "JPEG2000", "AVIF")

# What a photograph of 100 megapixels needs, with its margins.
MAX_PIXELS = 120 * MEGA
_VARIABLE = "ADVCLI_MAX_PIXELS"
# Four channels of 32 bits.
_BYTES_PER_PIXEL = 16
# Of a chunk with a colour profile. Packed pixels may hold the same bytes by chance, an ICO has one an icon.
_PROFILE, _MOST_PROFILES = b"iCCP", 40


def max_pixels() -> int:
    """Return how many pixels an image may have (``--max-pixels`` sets the environment variable).

    Raises:
        UsageError: the variable is not a number.
    """
    text = os.environ.get(_VARIABLE, "")
    if text and not (text.isdecimal() and text.isascii() and len(text) < 19 and int(text)):
        raise UsageError(f"{_VARIABLE} is not a number of pixels: '{text}'")
    return int(text or MAX_PIXELS)


def allow_pixels(count: int) -> None:
    """Set how many pixels an image may have, also for the processes that this one starts."""
    os.environ[_VARIABLE] = str(count)


@contextlib.contextmanager
def open_source(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Open an image file, or take one that is open; it is not decoded.

    Raises:
        AdvcliError: it cannot be read, is larger than any image may be, or is no regular file.
    """
    if isinstance(source, Path):
        with open_file(source, _BYTES_PER_PIXEL * max_pixels() + 64 * MEGA) as file:
            yield file
    else:
        yield source


@contextlib.contextmanager
def open_image(source: Path | BinaryIO, *formats: str) -> "Iterator[ImageFile]":
    """Open an image with Pillow, to be decoded inside the block; only its header is read so far.

    Args:
        source: the file.
        formats: the formats to read, as Pillow names them; none: ``FORMATS``.

    Raises:
        AdvcliError: it is of another format, is too large, or has no pixels.
        Exception: it is damaged; a decoder raises almost anything.
    """
    from PIL import Image, UnidentifiedImageError

    most = max_pixels()
    too_large = f"an image of more than {most:,} pixels (see --max-pixels)"
    before = Image.MAX_IMAGE_PIXELS
    with open_source(source) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Pillow warns from this size on, and refuses from twice this size on.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = most
        try:
            head = file.read(HEAD_BYTES)
            file.seek(0)
            _refuse_profiles(file, head)
            with Image.open(file, formats=formats or (*FORMATS, *register_reader(head))) as opened:
                width, height = opened.size
                if not width or not height:
                    raise AdvcliError(f"an image of {width} x {height} pixels")
                if width * height > most or _largest_tile(opened) > max(most, 1 << 24):
                    raise AdvcliError(too_large)
                yield opened
        except UnidentifiedImageError as error:
            raise UnknownFormat(_described(source, file)) from error
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise AdvcliError(too_large) from error
        except ValueError as error:
            if "MAX_TEXT" not in str(error):
                raise
            raise AdvcliError("a text in the image unpacks to more than 1 MB") from error
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _refuse_profiles(file: BinaryIO, head: bytes) -> None:
    """Refuse a PNG, or an ICO that holds some, with many colour profiles: each may unpack to 1 MB, and one is allowed.

    Raises:
        AdvcliError: it is such a file.
    """
    if not head.startswith((b"\x89PNG", b"\0\0\1\0")):
        return
    count, rest = 0, b""
    while block := file.read(MEGA):
        count += (rest + block).count(_PROFILE)
        rest = block[1 - len(_PROFILE) :]
        if count > _MOST_PROFILES:
            raise AdvcliError("an image with many colour profiles, where one is allowed")
    file.seek(0)


def _described(source: Path | BinaryIO, file: BinaryIO) -> str:
    """Say what a file is that Pillow does not know; an archive or HDF5 file by its path."""
    file.seek(0)
    kind = kind_of(source) if isinstance(source, Path) else kind_of_content(file.read(HEAD))
    if kind is None or kind.use == "image":
        return f"not a readable image: its content is none of {', '.join(FORMATS)}"
    return f"not an image but {kind.text}" + (f" ({kind.advice})" if kind.advice else "")


class UnknownFormat(AdvcliError):
    """Pillow knows the content of a file as none of the formats."""


def _largest_tile(opened: "ImageFile") -> int:
    """Return the pixels of a tile of a TIFF file, which may be larger than the image."""
    from PIL.TiffImagePlugin import TiffImageFile

    if not isinstance(opened, TiffImageFile):
        return 0
    return int(opened.tag_v2.get(322, 0)) * int(opened.tag_v2.get(323, 0))
