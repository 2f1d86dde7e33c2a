"""Gradients integrated along the straight path between two images, and how much of the score's change they miss."""

import numpy as np

from advcli.explainers._perturbed import each
from advcli.explainers._scores import asked, batch_size, gradients
from advcli.model.classifier import Classifier


def integrated_gradient(
    classifier: Classifier,
    start: np.ndarray,
    end: np.ndarray,
    classes: np.ndarray,
    against: np.ndarray | None,
    steps: int,
) -> np.ndarray:
    """Attribute the change of the score to the pixels: two (N, H, W, C) -> (N, H, W).

    The sum over the channels of (x' - x) * mean over i of ds/dx(x + t_i (x' - x)), where x is the start, x' the end and
    t_i = (i + 1/2) / steps. As steps grow, the sum over the pixels goes to s(x') - s(x).
    """
    size = batch_size(classifier.image_size)
    relevance = np.zeros(end.shape[:3], np.float32)
    middles = ((np.arange(steps, dtype=np.float32) + 0.5) / steps)[:, None, None, None]
    for i, (image, explained, other) in enumerate(each(end, classes, against)):
        change = image - start[i]
        for first in range(0, steps, size):
            points = start[i] + middles[first : first + size] * change
            others = None if other is None else np.full(len(points), other)
            found = gradients(classifier, points, np.full(len(points), explained), others)
            relevance[i] += (found.sum(axis=0) / steps * change).sum(axis=-1)
    return relevance


def missing_share(
    classifier: Classifier,
    start: np.ndarray,
    end: np.ndarray,
    classes: np.ndarray,
    against: np.ndarray | None,
    relevance: np.ndarray,
) -> np.ndarray:
    """Return |sum of the relevance - change| / |change| of the score: -> (N,).

    It is 0 where both are 0, and infinite where only the change is.
    """
    last, first = (asked(classifier, images, classes, against)[0].astype(np.float64) for images in (end, start))
    change = last - first
    error = np.abs(relevance.sum(axis=(1, 2), dtype=np.float64) - change)
    return np.divide(error, np.abs(change), out=np.where(error > 0, np.inf, 0.0), where=change != 0)
