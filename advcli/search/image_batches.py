"""Read image files lazily, in groups of equal size."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.data import images
from advcli.errors import AdvcliError
from advcli.model.classifier import Classifier

# An attack needs memory for about ten copies of the images of a batch.
_PIXELS_AT_ONCE = 16_000_000


@dataclass(frozen=True)
class Picture:
    """An image file and its pixels: (H, W, C) uint8."""

    file: Path
    pixels: np.ndarray


def by_size(files: Iterable[Path]) -> list[Path]:
    """Sort files so that equal sizes are adjacent; only headers are read."""
    files = list(files)
    return sorted(files, key=lambda file: images.size(file)) if len(files) > 1 else files


def groups(
    files: Iterable[Path], classifier: Classifier, resize: bool, batch: int
) -> Iterator[list[Picture] | tuple[Path, str]]:
    """Read files and group adjacent files of equal size; yield an unreadable file with the reason."""

    def read() -> Iterator[Picture | tuple[Path, str]]:
        for file in files:
            try:
                pixels = images.read(file, classifier.channels)
            except (AdvcliError, OSError) as error:
                yield file, str(error)
            else:
                yield Picture(
                    file, images.resize(pixels, classifier.image_size, classifier.fitting) if resize else pixels
                )

    def shape(item: Picture | tuple[Path, str]) -> tuple[int, ...]:
        return item.pixels.shape if isinstance(item, Picture) else ()

    for size, group in itertools.groupby(read(), key=shape):
        if not size:
            yield from (item for item in group if not isinstance(item, Picture))
            continue
        together = min(batch, max(1, _PIXELS_AT_ONCE // (size[0] * size[1])))
        while pictures := [item for item in itertools.islice(group, together) if isinstance(item, Picture)]:
            yield pictures
