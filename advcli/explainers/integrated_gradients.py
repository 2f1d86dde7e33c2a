"""Gradients integrated along the path from a baseline image: contributions that sum to the change of the score.

Sundararajan, Taly and Yan 2017, https://arxiv.org/abs/1703.01365: (x - x0) * integral over t from 0 to 1 of
ds/dx(x0 + t (x - x0)), where s is the score, x the image and x0 the baseline.
"""

from dataclasses import dataclass

import numpy as np

from advcli.errors import UsageError
from advcli.explainers import Explainer
from advcli.explainers._path import integrated_gradient, missing_share
from advcli.model.classifier import Classifier

BASELINES = ("blur", "black", "mean")


@dataclass(frozen=True)
class IntegratedGradients(Explainer):
    """The pixels' change from the baseline times the mean gradient on the straight path, summed over the channels.

    Args:
        steps: points at which the gradient is taken, each in the middle of its part of the path.
        baseline: where the path starts: ``blur``, the image blurred; ``black``; ``mean``, its mean colour.
    """

    steps: int = 32
    baseline: str = "blur"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        if self.baseline not in BASELINES:
            raise UsageError(f"unknown baseline '{self.baseline}'", f"choose from: {', '.join(BASELINES)}")

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, H, W, C) in [0, 1], (N,) -> (N, H, W) signed relevance."""
        return integrated_gradient(classifier, self.start(images), images, classes, against, self.steps)

    def completeness(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        relevance: np.ndarray,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the share of the score's change from the baseline that the sum of the relevance misses: -> (N,)."""
        return missing_share(classifier, self.start(images), images, classes, against, relevance)

    def start(self, images: np.ndarray) -> np.ndarray:
        """Return the baselines: (N, H, W, C) -> (N, H, W, C)."""
        if self.baseline == "black":
            return np.zeros_like(images)
        if self.baseline == "mean":
            return np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
        return _blurred(images)


def _blurred(images: np.ndarray) -> np.ndarray:
    """Blur with a Gaussian cut off at the border, of sigma 10 for 224 pixels as in Fong and Vedaldi 2017."""
    sigma = max(2.0, max(images.shape[1:3]) * 10 / 224)
    down, right = (_gaussian(side, sigma) for side in images.shape[1:3])
    return np.einsum("ij,njkc,lk->nilc", down, images, right, optimize=True)


def _gaussian(side: int, sigma: float) -> np.ndarray:
    """Return the weights of a blur along one axis: -> (side, side), each row with the sum one."""
    places = np.arange(side, dtype=np.float32)
    weights = np.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
    return weights / weights.sum(axis=1, keepdims=True)


COMPONENT = IntegratedGradients
