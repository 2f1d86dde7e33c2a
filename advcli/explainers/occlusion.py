"""Decrease of the logit when a window of the image is hidden; no gradient is needed.

Zeiler and Fergus 2014, https://arxiv.org/abs/1311.2901: at a pixel, the mean of s(x) - s(x with window w hidden) over
the windows w that hold it.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.errors import UsageError
from advcli.explainers import Explainer, MapKind
from advcli.explainers._perturbed import answers, check_fill, each
from advcli.explainers._scores import asked
from advcli.model.classifier import Classifier


@dataclass(frozen=True)
class Occlusion(Explainer):
    """The mean fall of the logit over the windows that hide a pixel.

    Args:
        window: side of the window in pixels; 0 means a quarter of the image.
        stride: from one window to the next, in pixels; 0 means half a window.
        fill: the value of hidden pixels: ``mean``, the image's mean colour, or ``black``.
    """

    kind: ClassVar[MapKind] = "map"
    needs_network: ClassVar[bool] = False

    window: int = 0
    stride: int = 0
    fill: str = "mean"

    def __post_init__(self) -> None:
        for option in ("window", "stride"):
            if getattr(self, option) < 0:
                raise UsageError(f"{option} is less than zero: {getattr(self, option)}")
        if self.window and self.stride > self.window:
            raise UsageError(f"a stride of {self.stride} leaves gaps between windows of {self.window}")
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
        corners, window = self._corners(classifier.image_size)
        whole, _ = asked(classifier, images, classes, against)

        def masks(part: slice) -> np.ndarray:
            keep = np.ones((len(corners[part]), *classifier.image_size), np.float32)
            for mask, (row, column) in zip(keep, corners[part], strict=True):
                mask[row : row + window, column : column + window] = 0
            return keep

        hiding = sum(1 - masks(slice(i, i + 1))[0] for i in range(len(corners)))
        falls = np.zeros(images.shape[:3], np.float32)
        for i, one in enumerate(each(images, classes, against)):
            for keep, scores, _ in answers(classifier, *one, self.fill, len(corners), masks):
                falls[i] += np.einsum("m,mhw->hw", whole[i] - scores, 1 - keep)
        return falls / hiding

    def _corners(self, size: tuple[int, int]) -> tuple[list[tuple[int, int]], int]:
        """Place the windows, the last ones at the border: -> their upper left corners, and their side."""
        window = min(self.window or max(min(size) // 4, 1), *size)
        stride = min(self.stride or max(window // 2, 1), window)
        rows, columns = ([*range(0, side - window, stride), side - window] for side in size)
        return [(row, column) for row in rows for column in columns], window


COMPONENT = Occlusion
