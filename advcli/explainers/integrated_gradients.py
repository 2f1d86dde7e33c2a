"""Gradients added up on the way from a baseline image: shares of the score that sum up to its change.

Sundararajan, Taly and Yan 2017, https://arxiv.org/abs/1703.01365
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.errors import UsageError
from advcli.explainers import Kind
from advcli.explainers._perturbed import each
from advcli.explainers._scores import asked, batch_size, gradients
from advcli.model import Classifier

BASELINES = ("blur", "black", "mean")


@dataclass(frozen=True)
class IntegratedGradients:
    """The pixels' change from the baseline times the mean gradient on the straight way, summed over the channels.

    Args:
        steps: points at which the gradient is taken, each in the middle of its part of the way.
        baseline: what the way starts at: ``blur``, the image blurred; ``black``; ``mean``, its mean colour.
    """

    signed: ClassVar[bool] = True
    kind: ClassVar[Kind] = "pixels"

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
        """Explain: (N, edge, edge, C) in [0, 1], (N,) -> (N, edge, edge) signed relevance."""
        return self.between(classifier, self.start(images), images, classes, against)

    def shown(self, classifier: Classifier) -> None:
        """Say that no layer is shown: the relevance is that of the pixels."""

    def between(
        self,
        classifier: Classifier,
        start: np.ndarray,
        end: np.ndarray,
        classes: np.ndarray,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Share out what the score gains from one image to another: two (N, edge, edge, C) -> (N, edge, edge)."""
        size = batch_size(classifier.edge)
        relevance = np.zeros(end.shape[:3], np.float32)
        middles = ((np.arange(self.steps, dtype=np.float32) + 0.5) / self.steps)[:, None, None, None]
        for i, (image, explained, other) in enumerate(each(end, classes, against)):
            change = image - start[i]
            for first in range(0, self.steps, size):
                points = start[i] + middles[first : first + size] * change
                others = None if other is None else np.full(len(points), other)
                slopes = gradients(classifier, points, np.full(len(points), explained), others)
                relevance[i] += (slopes.sum(axis=0) / self.steps * change).sum(axis=-1)
        return relevance

    def completeness(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        relevance: np.ndarray,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return how far the relevance is from summing up to the score's change, relative to that: -> (N,) from 0 up.

        It is 0 where both are 0, and infinite where only the change is.
        """
        return self.completeness_between(classifier, self.start(images), images, classes, relevance, against)

    def completeness_between(
        self,
        classifier: Classifier,
        start: np.ndarray,
        end: np.ndarray,
        classes: np.ndarray,
        relevance: np.ndarray,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the same for the way between two images: -> (N,)."""
        last, first = (asked(classifier, images, classes, against)[0].astype(np.float64) for images in (end, start))
        change = last - first
        error = np.abs(relevance.sum(axis=(1, 2), dtype=np.float64) - change)
        return np.divide(error, np.abs(change), out=np.where(error > 0, np.inf, 0.0), where=change != 0)

    def start(self, images: np.ndarray) -> np.ndarray:
        """Return the images that the ways start at: (N, edge, edge, C) -> (N, edge, edge, C)."""
        if self.baseline == "black":
            return np.zeros_like(images)
        if self.baseline == "mean":
            return np.broadcast_to(images.mean(axis=(1, 2), keepdims=True), images.shape)
        return _blurred(images)


def _blurred(images: np.ndarray) -> np.ndarray:
    """Blur with a Gaussian that is cut off at the border: as strongly as Fong and Vedaldi 2017, 10 of 224 pixels."""
    edge = images.shape[1]
    sigma = max(2.0, edge * 10 / 224)
    places = np.arange(edge, dtype=np.float32)
    weights = np.exp(-((places[:, None] - places) ** 2) / (2 * sigma**2))
    weights /= weights.sum(axis=1, keepdims=True)
    return np.einsum("ij,njkc,lk->nilc", weights, images, weights, optimize=True)


COMPONENT = IntegratedGradients
