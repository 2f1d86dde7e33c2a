"""The size that images have in common, for a model that takes images of any size and does not say of which."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from advcli.data import images

# How many images are looked at, over the whole: reading all of a large data set takes minutes.
_LOOKED_AT = 32

# Pixels; larger images are photos, which were resized before the model learnt from them.
_LARGEST = 256


def uniform_size(count: int, size_of: Callable[[int], tuple[int, int]]) -> tuple[int, int] | None:
    """Return the height and width of images, if up to 32 of them have the same, of at most 256 pixels a side.

    Args:
        count: how many images there are.
        size_of: index -> height and width; (0, 0) for an image that cannot be read.
    """
    looked_at = np.unique(np.linspace(0, count - 1, min(count, _LOOKED_AT)).astype(int))
    sizes = {size_of(int(index)) for index in looked_at} - {(0, 0)}
    size = sizes.pop() if len(sizes) == 1 else None
    return size if size is not None and max(size) <= _LARGEST else None


def uniform_size_of_files(files: Sequence[Path]) -> tuple[int, int] | None:
    """Return the height and width that image files have in common; None if they differ or are large."""
    return uniform_size(len(files), lambda index: images.size(files[index]))
