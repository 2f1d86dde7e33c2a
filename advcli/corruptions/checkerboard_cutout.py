"""Checkerboard cutout: make some fields of a rotated checkerboard grey.

Mintun, Kirillov and Xie 2021, https://arxiv.org/abs/2102.11273
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import Corruption
from advcli.corruptions._parameters import table

# The authors' levels, from 0 to 10; ImageNet-C-bar has them for 224 pixels, CIFAR-10-C-bar for 32.
_LEVEL = {224: (2, 3, 4, 5, 6), 32: (1, 2, 3, 4, 5)}


@dataclass(frozen=True)
class CheckerboardCutout(Corruption):
    """Each field of one colour is grey with probability ``level / 10``; fields are 0.1 to 0.25 of the side wide."""

    group: ClassVar[str] = "bar"

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Cut fields out: (N, H, W, C) -> (N, H, W, C)."""
        side = images.shape[1]
        (level,) = table(side, severity, _LEVEL)
        masks = np.stack([_mask(side, level / 10, generator) for generator in generators])
        return np.where(masks[..., None], np.float32(128 / 255), images)


def _mask(side: int, share: float, generator: np.random.Generator) -> np.ndarray:
    """Return where the image is grey: -> (side, side) bool."""
    angle = generator.uniform(0, 2 * np.pi)
    width = max(generator.uniform(0.1, 0.25) * side, 1)
    fields = int(4 * side // width)
    grey = generator.random((fields, fields)) < share
    places = np.arange(side) / width
    rows = np.cos(angle) * places[:, None] + np.sin(angle) * places
    columns = np.cos(angle) * places - np.sin(angle) * places[:, None]
    # As in the authors' code, the fields on both sides of 0 share their number; numbers below 0 count from the end.
    fate = grey[rows.astype(np.intp), columns.astype(np.intp)]
    same_colour = ((np.floor(rows).astype(np.intp) + np.floor(columns).astype(np.intp)) & 1) == 0
    return same_colour & fate


COMPONENT = CheckerboardCutout
