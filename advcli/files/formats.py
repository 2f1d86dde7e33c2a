"""The format of an image file, by its content and by its suffix."""

import importlib
from collections.abc import Mapping

# First bytes of a file -> the format.
_BEGINNINGS: Mapping[bytes, str] = {
    b"\x89PNG": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\0\0\1\0": "ICO",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL": "JPEG XL",
    **{b"P%d" % number: "PNM" for number in range(1, 7)},
}
# Suffix -> the format of such a file.
FORMATS: Mapping[str, str] = {
    **dict.fromkeys((".jpg", ".jpeg", ".jpe", ".jfif"), "JPEG"),
    **dict.fromkeys((".tif", ".tiff"), "TIFF"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pnm"), "PNM"),
    **dict.fromkeys((".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"), "JPEG 2000"),
    **dict.fromkeys((".heic", ".heif"), "HEIF"),
    ".png": "PNG",
    ".tga": "TGA",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".ico": "ICO",
    ".avif": "AVIF",
    ".jxl": "JPEG XL",
}
# Of a file whose format is to be found.
HEAD_BYTES = 16


def format_of(head: bytes) -> str | None:
    """Return the image format that the first bytes of a file show; None if they show none."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        return "AVIF" if brand[:3] == b"avi" else "HEIF" if brand[:2] in (b"he", b"mi", b"ms") else None
    return next((name for beginning, name in _BEGINNINGS.items() if head.startswith(beginning)), None)


def other_format(suffix: str, head: bytes) -> str | None:
    """Return the format of a file's content if its suffix stands for another one, else None."""
    expected, found = FORMATS.get(suffix.lower()), format_of(head)
    # One container holds both, and its first bytes do not always say which.
    if not found or not expected or {found, expected} <= {"AVIF", "HEIF"}:
        return None
    return found if found != expected else None


def register_reader(head: bytes) -> tuple[str, ...]:
    """Let Pillow read a file of a format that an optional package reads, if that is installed.

    Args:
        head: the first bytes of the file.

    Returns:
        The format as Pillow names it; nothing for one that needs no package, or if there is none.
    """
    found = format_of(head)
    try:
        if found == "HEIF":
            importlib.import_module("pillow_heif").register_heif_opener()
            return ("HEIF",)
        if found == "JPEG XL":
            importlib.import_module("pillow_jxl")
            return ("JXL",)
    except ImportError:
        return ()
    return ()
