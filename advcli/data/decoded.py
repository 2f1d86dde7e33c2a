"""Decoded images: all of one size, in an array in memory or in a mapped file."""

import hashlib
import logging
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from advcli.data import images
from advcli.data.split import Split
from advcli.errors import AdvcliError
from advcli.files.download import cache_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """Decoded images: pixels (N, H, W, C) uint8 or float32 in [0, 1], labels (N,) int32.

    Args:
        pixels: the pixels.
        labels: the classes.
        places: (N,) the index of each image in the split, if some images could not be read.
    """

    pixels: np.ndarray
    labels: np.ndarray
    places: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, indices: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """Return some images as float32 in [0, 1], with their labels."""
        return to_float(self.pixels[indices]), self.labels[indices]

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield batches of all images in order, as float32 in [0, 1] with their labels."""
        for start in range(0, len(self), size):
            yield self.at(slice(start, start + size))

    def take(self, indices: np.ndarray) -> "Images":
        """Return the images at some indices, in that order."""
        places = np.arange(len(self)) if self.places is None else self.places
        return Images(self.pixels[indices], self.labels[indices], places[indices])

    def parted_fingerprint(self, rows: np.ndarray) -> int:
        """Return a hash of pixels, labels and places; the hash of a whole is the sum over its parts modulo 2^64.

        Args:
            rows: (N,) the images' indices in the whole.
        """
        total = 0
        for start in range(0, len(self), 1024):
            part = zip(rows[start : start + 1024], self.labels[start:], self.pixels[start : start + 1024], strict=False)
            for row, label, image in part:
                digest = hashlib.blake2b(f"{row} {label} {image.shape}".encode(), digest_size=8)
                digest.update(np.ascontiguousarray(image).data)
                total += int.from_bytes(digest.digest(), "little")
        return total % 2**64

    def fingerprint(self) -> str:
        """Return a hash of pixels and labels, to check whether two runs used the same data."""
        digest = hashlib.sha256(f"{self.pixels.shape} {self.pixels.dtype}".encode())
        digest.update(np.ascontiguousarray(self.labels).data)
        for block in np.array_split(self.pixels, max(1, len(self) // 1024)):
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()[:16]


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Convert pixels to float32 in [0, 1]: uint8 is divided by 255, float32 is unchanged."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    return pixels.astype(np.float32, copy=False)


def to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Convert pixels in [0, 1] to uint8: round and clip."""
    return np.rint(pixels * 255).clip(0, 255).astype(np.uint8)


def decode(
    split: Split,
    size: tuple[int, int],
    channels: int,
    skip_bad: bool = False,
    memory: int | None = None,
    fit: images.Fit = "squash",
) -> Images:
    """Decode all images of a split at one size.

    Args:
        split: the images.
        size: height and width of the images in pixels.
        channels: 3, or 1 for grey.
        skip_bad: whether more than 1% may be unreadable.
        memory: maximum number of bytes in memory; larger arrays are memory-mapped files. None: no maximum.
        fit: how images are brought to this size.

    Raises:
        AdvcliError: more than 1% of the images are unreadable, without ``skip_bad``.
    """
    pixels: np.ndarray | None = None
    good: list[int] = []
    others: dict[str, str] = {}
    for index in range(len(split)):
        try:
            if (other := split.format(index)) is not None:
                others[split.name(index)] = other
            image = images.resize(images.to_channels(split.read(index), channels), size, fit)
        except (AdvcliError, OSError) as error:
            name = split.name(index)
            log.warning("unreadable image '%s': %s", name, str(error).removeprefix(f"cannot read '{name}': "))
            continue
        if pixels is None:
            pixels = _room((len(split), *size, channels), image.dtype, memory)
        pixels[len(good)] = image
        good.append(index)
    bad = len(split) - len(good)
    if others:
        first = next(iter(others))
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(others.values()).items()))
        what = "file has" if len(others) == 1 else "files have"
        log.warning("%d %s another format than the suffix says: %s; such as '%s'", len(others), what, kinds, first)
    if pixels is None:
        raise AdvcliError("no readable image in the data" if bad else "no images are left in the data")
    if bad > 0.01 * len(split) and not skip_bad:
        raise AdvcliError(f"{bad} of {len(split)} images are unreadable", "repair or remove them, or give --skip-bad")
    if bad:
        log.warning("%d of %d images are unreadable and left out", bad, len(split))
    return Images(pixels[: len(good)], split.labels[good].astype(np.int32), np.array(good) if bad else None)


def _room(shape: tuple[int, ...], dtype: np.dtype, memory: int | None) -> np.ndarray:
    """Return an empty array, in memory if it is small enough, else in a temporary file that is deleted with it."""
    size = math.prod(shape) * dtype.itemsize
    if memory is None or size <= memory:
        return np.empty(shape, dtype)
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < size:
        raise AdvcliError(
            f"the decoded images take {size / 1e9:.1f} GB, more than the free space of '{folder}'", "see --memory"
        )
    log.info("decoded images: %.1f GB, kept on disk in '%s'", size / 1e9, folder)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape)
