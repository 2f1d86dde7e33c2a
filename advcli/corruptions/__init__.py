"""Common corruptions of images, at five severities: one file a corruption."""

import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from advcli import registry
from advcli.backend import Nest
from advcli.errors import UsageError, nearest
from advcli.threat.rng import hash_pixels

# In the order in which benchmarks list them. The group "extra" of ImageNet-C is for validation; "bar" is
# ImageNet-C-bar, which was chosen to be dissimilar from ImageNet-C.
GROUPS = ("noise", "blur", "weather", "digital", "extra", "bar")

# No augmentation or objective uses or imitates this group, so that no training has seen it.
UNSEEN = "bar"

# The corruptions of ImageNet-C, in its order.
PUBLISHED = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)


class Corruption(ABC):
    """A corruption of images at one of five severities.

    ``group`` is one of ``GROUPS``.
    """

    group: ClassVar[str] = "extra"

    @abstractmethod
    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Corrupt images: (N, H, W, C) float32 in [0, 1] -> (N, H, W, C) float32 in [0, 1].

        Args:
            images: square, with one channel or three, at least 8 pixels wide.
            severity: from 1 to 5; its parameters depend on the image size.
            generators: the only source of random numbers, one an image.

        Returns:
            A new array.
        """


def corrupted(name: str, images: np.ndarray, severity: int, seed: int) -> np.ndarray:
    """Corrupt images; the random numbers of each depend on its pixels and the seed, not on the other images.

    Args:
        name: the name of the corruption.
        images: (N, H, W, C) float32 in [0, 1], at least 8 pixels a side. Images that are not square are reflected to
            a square, which is corrupted as images of that size are, and cut back.
        severity: from 1 to 5.
        seed: the seed of the random numbers.

    Returns:
        (N, H, W, C) float32, multiples of 1/255: truncated to 8 bits, not rounded, as in the published sets.
    """
    if len(images) == 0:
        return images.copy()
    use = zlib.crc32(registry.canonical(name).encode())
    square, inside = _squared(images)
    changed = registry.build("corruptions", name)(square, severity, _Generators(images, (seed, use, severity)))[inside]
    # In place, which takes a third of the time.
    np.clip(changed, 0, 1, out=changed)
    changed *= 255
    # Floating-point errors can put a value just below an integer; it must not be truncated to the next lower one.
    changed += 2**-10
    np.floor(changed, out=changed)
    changed /= 255
    return changed


def _squared(images: np.ndarray) -> tuple[np.ndarray, tuple[slice, ...]]:
    """Reflect images to squares of the longer side: (N, H, W, C) -> (N, S, S, C), and where the images are in them."""
    height, width = images.shape[1:3]
    side = max(height, width)
    if height == width:
        return images, (slice(None),)
    margins = [((side - length) // 2, side - length - (side - length) // 2) for length in (height, width)]
    square = np.pad(images, ((0, 0), *margins, (0, 0)), mode="symmetric")
    return square, (slice(None), *(slice(before, side - after) for before, after in margins))


@dataclass(frozen=True)
class _Generators(Sequence[np.random.Generator]):
    """One generator an image, created on first use: half of the corruptions are deterministic."""

    images: np.ndarray
    key: tuple[int, ...]

    @cached_property
    def _made(self) -> list[np.random.Generator]:
        hashes = [hash_pixels(image) for image in self.images]
        return [np.random.default_rng((own, *self.key)) for own in hashes]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: Any) -> Nest:
        return self._made[index]


def chosen(text: str) -> tuple[str, ...]:
    """Read ``--corruptions``: ``all`` (the published 15), groups, ``unseen`` and names, separated by commas.

    Returns:
        The names, with underscores and without duplicates; those of ``PUBLISHED`` first, in its order, then by group.

    Raises:
        UsageError: an item is neither a group nor a corruption, or the list is empty.
    """
    every = tuple(name.replace("-", "_") for name in registry.names("corruptions"))
    groups = {group: [name for name in every if _group(name) == group] for group in GROUPS}
    ordered = (*PUBLISHED, *(name for group in GROUPS for name in groups[group]), *every)
    groups |= {"all": list(PUBLISHED), "unseen": groups[UNSEEN]}
    wanted: set[str] = set()
    for item in filter(None, (part.strip() for part in text.split(","))):
        name = item.lower().replace("-", "_")
        if name not in groups and name not in every:
            raise UsageError(f"unknown corruption '{item}'", nearest(name, (*groups, *PUBLISHED, *every)))
        wanted.update(groups.get(name, [name]))
    if not wanted:
        raise UsageError("--corruptions is empty", f"give all, unseen, {', '.join(GROUPS)}, or names")
    return tuple(name for name in dict.fromkeys(ordered) if name in wanted)


def _group(name: str) -> str:
    return registry.component("corruptions", name).group
