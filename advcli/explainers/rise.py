"""Mean probability of the class over random masks that keep a pixel; no gradient is needed.

Petsiuk, Das and Saenko 2018, https://arxiv.org/abs/1806.07421: sum over i of p_c(x * M_i) M_i / sum over i of M_i,
where M_i are random masks in [0, 1], less the mean of p_c(x * M_i).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.backend import tf
from advcli.errors import UsageError
from advcli.explainers import Explainer, MapKind
from advcli.explainers._perturbed import answers, check_fill, each
from advcli.model.classifier import Classifier
from advcli.threat.rng import image_generator


@dataclass(frozen=True)
class RISE(Explainer):
    """The mean probability of the class over the masks that keep a pixel, less that over all masks.

    The second term is one number an image, so that a pixel that does not matter has the value zero.

    Args:
        masks: their number; the noise of the map falls with its square root.
        cells: of a mask before it is enlarged, along each side.
        keep: the share of the cells that a mask keeps.
        fill: the value of hidden pixels: ``mean``, the image's mean colour, or ``black``.
    """

    kind: ClassVar[MapKind] = "map"
    needs_network: ClassVar[bool] = False

    masks: int = 500
    cells: int = 7
    keep: float = 0.5
    fill: str = "mean"

    def __post_init__(self) -> None:
        for option in ("masks", "cells"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")
        if not 0 < self.keep < 1:
            raise UsageError(f"keep is not a share of the cells: {self.keep:g}", "give a number between 0 and 1")
        check_fill(self.fill)

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, H, W, C) in [0, 1], (N,) -> (N, H, W) signed relevance."""
        return np.stack(
            [
                self._mean_gain(classifier, image, explained, other, seed)
                for image, explained, other in each(images, classes, against)
            ]
        )

    def _mean_gain(
        self, classifier: Classifier, image: np.ndarray, explained: int, against: int | None, seed: int
    ) -> np.ndarray:
        random = image_generator(image, seed)

        def masks(part: slice) -> np.ndarray:
            return self.draw(random, part.stop - part.start, classifier.image_size)

        first = None
        total, kept = np.zeros((2, *image.shape[:2]))
        gained = 0.0
        for keep, _, chances in answers(classifier, image, explained, against, self.fill, self.masks, masks):
            # Relative to the first probability, so that equal ones give exactly zero.
            first = chances[0] if first is None else first
            gains = chances.astype(np.float64) - first
            total += np.einsum("m,mhw->hw", gains, keep)
            kept += keep.sum(axis=0)
            gained += gains.sum()
        return (np.divide(total, kept, out=np.zeros_like(total), where=kept > 0) - gained / self.masks).astype(
            np.float32
        )

    def draw(self, random: np.random.Generator, count: int, size: tuple[int, int]) -> np.ndarray:
        """Draw masks: random cells, enlarged smoothly and shifted by less than a cell: -> (count, height, width)."""
        cells = min(self.cells, *size)
        height, width = -(-size[0] // cells), -(-size[1] // cells)
        # One cell more than the image has, so that a shift uncovers nothing.
        coarse = (random.random((count, cells + 1, cells + 1, 1)) < self.keep).astype(np.float32)
        large = tf.image.resize(coarse, [(cells + 1) * height, (cells + 1) * width])[..., 0].numpy()
        shifts = random.integers(0, (height, width), (count, 2))
        return np.stack(
            [
                mask[row : row + size[0], column : column + size[1]]
                for mask, (row, column) in zip(large, shifts, strict=True)
            ]
        )


COMPONENT = RISE
