"""Bit errors: flip bits of the raw pixel data, as on a noisy channel without error correction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._ranges import require_within


@dataclass(frozen=True)
class BitErrors(PhysicalCorruption):
    """Flip each of the 8 bits of a value independently: a binary symmetric channel.

    At a greater rate the same bits are flipped, and more.

    Args:
        rate: probability with which a bit is flipped; at 0.5 nothing of the image is left.
    """

    rate: float | None = None

    group: ClassVar[str] = "codec"
    parameter: ClassVar[str] = "rate"
    unit: ClassVar[str] = "bit error rate"
    levels: ClassVar[Mapping[int, Sequence[float]]] = {224: (0.01, 0.02, 0.04, 0.07, 0.12)}

    def __post_init__(self) -> None:
        require_within("rate", self.rate, 0, 0.5)

    def __call__(self, images: np.ndarray, severity: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Flip bits: (N, H, W, C) -> (N, H, W, C)."""
        rate = self.strength(images.shape[1], severity)
        pixels = np.rint(images * np.float32(255)).astype(np.uint8)
        for image, generator in zip(pixels, generators, strict=True):
            image ^= np.packbits(generator.random((*image.shape, 8), np.float32) < rate, axis=-1)[..., 0]
        return pixels / np.float32(255)


COMPONENT = BitErrors
