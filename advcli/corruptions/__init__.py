"""Common corruptions of images, at five severities: one file a corruption."""

import re
import zlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from advcli import registry
from advcli.backend import Nest
from advcli.corruptions._parameters import table
from advcli.errors import UsageError, nearest
from advcli.threat.rng import hash_pixels

# In the order in which benchmarks list them. The group "extra" of ImageNet-C is for validation; "bar" is
# ImageNet-C-bar, which was chosen to be dissimilar from ImageNet-C. The last four have physical parameters.
GROUPS = ("noise", "blur", "weather", "digital", "extra", "bar", "optics", "sensor", "scene", "codec")

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

    @property
    def has_severities(self) -> bool:
        """Whether a severity sets its strength; not where its options do."""
        return True

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


class PhysicalCorruption(Corruption):
    """A corruption whose strength is a physical quantity: an option of its own, such as ``defocus:radius=2.5``.

    Its fields are physical parameters. The field that ``parameter`` names is None by default: the severity then sets
    it, from ``levels``. If it is given, the severity plays no part. The other fields have fixed defaults.

    ``parameter``: the name of the field that a severity sets and that a sweep varies.
    ``unit``: the unit of that field, for people: pixels, photons, kelvin.
    ``levels``: its values for severities 1 to 5, by image size; see ``_parameters.table``.
    ``increasing``: whether a greater value is a stronger corruption.
    """

    parameter: ClassVar[str]
    unit: ClassVar[str]
    levels: ClassVar[Mapping[int, Sequence[float]]]
    increasing: ClassVar[bool] = True

    @property
    def has_severities(self) -> bool:
        """Whether its parameter is left to the severity."""
        return getattr(self, self.parameter) is None

    def strength(self, side: int, severity: int) -> float:
        """Return the value of its parameter.

        Args:
            side: image size in pixels.
            severity: from 1 to 5; ignored if the parameter is given.
        """
        given = getattr(self, self.parameter)
        return float(table(side, severity, self.levels)[0]) if given is None else float(given)


@dataclass(frozen=True)
class Composed(Corruption):
    """Corruptions one after another: ``defocus:radius=2+low_light:photons=50``."""

    parts: tuple[Corruption, ...]

    @property
    def has_severities(self) -> bool:
        """Whether a severity sets the strength of any part."""
        return any(part.has_severities for part in self.parts)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Corrupt images by one part after the other: (N, H, W, C) -> (N, H, W, C)."""
        for part in self.parts:
            images = np.clip(part(images, severity, generators), 0, 1)
        return images


def build_corruption(spec: str) -> Corruption:
    """Build a corruption from its spec, or several from specs joined by a plus sign.

    Raises:
        UsageError: a name or an option is unknown, or an option has a wrong value.
    """
    parts = tuple(registry.build("corruptions", part) for part in spec_parts(spec))
    return parts[0] if len(parts) == 1 else Composed(parts)


def spec_parts(spec: str) -> list[str]:
    """Split a spec at its plus signs, except those of a number such as 1e+5."""
    return re.split(r"\+(?=\s*[A-Za-z])", spec)


def corrupted(name: str, images: np.ndarray, severity: int | None, seed: int) -> np.ndarray:
    """Corrupt images; the random numbers of each depend on its pixels and the seed, not on the other images.

    Args:
        name: the spec of the corruption.
        images: (N, H, W, C) float32 in [0, 1], at least 8 pixels a side. Images that are not square are reflected to
            a square, which is corrupted as images of that size are, and cut back.
        severity: from 1 to 5; None if its options set its strength. Its random numbers are then the same for every
            value of its options, so that a curve over one of them is not ragged by chance.
        seed: the seed of the random numbers.

    Returns:
        (N, H, W, C) float32, multiples of 1/255: truncated to 8 bits, not rounded, as in the published sets.
    """
    if len(images) == 0:
        return images.copy()
    use = zlib.crc32("+".join(registry.canonical(part) for part in spec_parts(name)).encode())
    square, inside = _squared(images)
    level = severity or 0
    changed = build_corruption(name)(square, level, _Generators(images, (seed, use, level)))[inside]
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
    """Read ``--corruptions``: ``all`` (the published 15), groups, ``unseen``, names and specs, separated by commas.

    Returns:
        The names, with underscores and without duplicates; those of ``PUBLISHED`` first, in its order, then by group;
        then those with options or of several parts, as they are written.

    Raises:
        UsageError: an item is neither a group nor a corruption, or the list is empty.
    """
    every = tuple(name.replace("-", "_") for name in registry.names("corruptions"))
    groups = {group: [name for name in every if _group(name) == group] for group in GROUPS}
    ordered = (*PUBLISHED, *(name for group in GROUPS for name in groups[group]), *every)
    groups |= {"all": list(PUBLISHED), "unseen": groups[UNSEEN]}
    wanted: set[str] = set()
    specs: list[str] = []
    # A comma also parts the options of one corruption: what follows it is then key=value.
    for item in filter(None, (part.strip() for part in re.split(r",(?!\s*[\w-]+=)", text))):
        if ":" in item or "+" in item:
            specs.append("+".join(_spelled(part) for part in spec_parts(item)))
            continue
        name = item.lower().replace("-", "_")
        if name not in groups and name not in every:
            raise UsageError(f"unknown corruption '{item}'", nearest(name, (*groups, *PUBLISHED, *every)))
        wanted.update(groups.get(name, [name]))
    if not wanted and not specs:
        raise UsageError("--corruptions is empty", f"give all, unseen, {', '.join(GROUPS)}, or names")
    return tuple(dict.fromkeys([*(name for name in dict.fromkeys(ordered) if name in wanted), *specs]))


def _spelled(spec: str) -> str:
    name, separator, options = spec.partition(":")
    return name.strip().lower().replace("-", "_") + separator + "".join(options.split())


def _group(name: str) -> str:
    return registry.component("corruptions", name).group
