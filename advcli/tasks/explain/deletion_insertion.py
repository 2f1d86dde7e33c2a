"""Deletion and insertion: the area under a class's probability as pixels are removed or added by relevance.

Petsiuk, Das and Saenko 2018, https://arxiv.org/abs/1806.07421
"""

import numpy as np

from advcli.model.classifier import Classifier

_STEPS = 24


def deletion(
    classifier: Classifier, image: np.ndarray, relevance: np.ndarray, index: int, seed: int, batch: int = 8
) -> float:
    """Return the mean probability while the most relevant pixels become the image's mean colour; low is good.

    Args:
        classifier: the model.
        image: (H, W, C) in [0, 1].
        relevance: (H, W); negative values, against the class, go last.
        index: the class.
        seed: of the random order of equally relevant pixels.
        batch: how many images are classified together.
    """
    mean_colour = np.broadcast_to(image.mean(axis=(0, 1)), image.shape)
    return _area(classifier, image, mean_colour, relevance, index, seed, batch)


def insertion(
    classifier: Classifier, image: np.ndarray, relevance: np.ndarray, index: int, seed: int, batch: int = 8
) -> float:
    """Return the mean probability while the most relevant pixels of a blurred image become sharp; high is good."""
    return _area(classifier, blurred(image), image, relevance, index, seed, batch)


def blurred(image: np.ndarray) -> np.ndarray:
    """Blur an image until little of it can be recognised: (H, W, C) -> (H, W, C)."""
    from scipy.ndimage import gaussian_filter

    sigma = max(2.0, 5 * image.shape[0] / 224)
    return gaussian_filter(image, (sigma, sigma, 0))


def _area(
    classifier: Classifier,
    start: np.ndarray,
    end: np.ndarray,
    relevance: np.ndarray,
    index: int,
    seed: int,
    batch: int,
) -> float:
    # A map cut at zero has thousands of equal pixels; their order must favour no corner.
    order = np.lexsort((np.random.default_rng(seed).random(relevance.size), -relevance.ravel()))
    counts = [round(step * relevance.size / _STEPS) for step in range(_STEPS + 1)]
    scores: list[float] = []
    for first in range(0, len(counts), batch):
        mixed = np.repeat(start.reshape(1, relevance.size, -1), len(counts[first : first + batch]), axis=0)
        for row, count in zip(mixed, counts[first : first + batch], strict=True):
            row[order[:count]] = end.reshape(relevance.size, -1)[order[:count]]
        scores += classifier.predict(mixed.reshape(-1, *start.shape))[:, index].tolist()
    return (sum(scores) - (scores[0] + scores[-1]) / 2) / _STEPS
