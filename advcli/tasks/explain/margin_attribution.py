"""Attribute the change of a margin, from a clean image x to its adversarial one x', to the pixels.

Sundararajan, Taly and Yan 2017, https://arxiv.org/abs/1703.01365. The function is the margin m = z_wrong - z_origin of
two logits, the baseline is x, and the relevance of a pixel is the sum over its channels of
(x' - x) * integral over t from 0 to 1 of dm/dx(x + t (x' - x)). All of them sum up to m(x') - m(x).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from advcli.explainers._path import integrated_gradient
from advcli.model.classifier import Classifier

# More points on the path only where few leave more than this share of the change unexplained.
_STEPS, _MOST_STEPS, _TOLERANCE = 8, 64, 0.01
_SHARES = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
_SECTIONS = 4


@dataclass(frozen=True, eq=False)
class MarginAttribution:
    """Which pixels make an adversarial image fool a model.

    Args:
        relevance: (H, W) how much each pixel's perturbation changes the margin of the wrong class.
        before: the margin of the clean image, in logits.
        after: the margin of the adversarial image.
        share: the smallest share of the pixels found that, put back, restores the prediction; None if none does.
        restored: (H, W, C) the adversarial image with those pixels put back; None if none does.
        confidence: the probability of the original class on the restored image.
        monotone: whether every larger share that was tried restores it too.
    """

    relevance: np.ndarray
    before: float
    after: float
    share: float | None = None
    restored: np.ndarray | None = None
    confidence: float | None = None
    monotone: bool = True

    @property
    def completeness(self) -> float:
        """The share of the change of the margin that the sum of the relevance misses."""
        change = self.after - self.before
        return float(abs(self.relevance.sum() - change) / max(abs(change), 1e-12))


def attribute_margin(
    classifier: Classifier, clean: np.ndarray, adversarial: np.ndarray, origin: int, wrong: int, batch: int = 8
) -> MarginAttribution:
    """Attribute the change of the margin, and find the fewest pixels that undo it.

    Args:
        classifier: the model that was fooled.
        clean: (H, W, C) in [0, 1].
        adversarial: (H, W, C) in [0, 1].
        origin: the class of the clean image.
        wrong: the class predicted for the adversarial image.
        batch: how many images with pixels put back are classified together.
    """
    logits = classifier.logits_of(np.stack([clean, adversarial]))
    before, after = (float(margin) for margin in logits[:, wrong] - logits[:, origin])
    steps = _STEPS
    while True:
        path = (clean[None], adversarial[None], np.array([wrong]), np.array([origin]))
        found = MarginAttribution(integrated_gradient(classifier, *path, steps)[0], before, after)
        if found.completeness <= _TOLERANCE or steps >= _MOST_STEPS:
            return _with_share(classifier, found, clean, adversarial, origin, batch)
        steps *= 2


def _with_share(
    classifier: Classifier,
    found: MarginAttribution,
    clean: np.ndarray,
    adversarial: np.ndarray,
    origin: int,
    batch: int,
) -> MarginAttribution:
    """Add the fewest pixels that restore the prediction, those of the greatest relevance put back first.

    The search uses the classifier given, which may be an inference copy. The model itself confirms what it finds; where
    the two disagree, the search is repeated on the model.
    """
    order = np.argsort(-found.relevance, axis=None, kind="stable")
    pixels = order.size

    def put_back(count: int) -> np.ndarray:
        mixed = adversarial.reshape(pixels, -1).copy()
        mixed[order[:count]] = clean.reshape(pixels, -1)[order[:count]]
        return mixed.reshape(adversarial.shape)

    def restores(counts: list[int]) -> list[bool]:
        correct: list[bool] = []
        for start in range(0, len(counts), batch):
            images = np.stack([put_back(count) for count in counts[start : start + batch]])
            correct += list(classifier.logits_of(images).argmax(axis=1) == origin)
        return correct

    least = _least_count(restores, pixels)
    if least is not None:
        count, monotone = least
        restored = put_back(count)
        probabilities = classifier.predict(restored[None])[0]
        if probabilities.argmax() == origin:
            confidence = float(probabilities[origin])
            return replace(found, share=count / pixels, restored=restored, confidence=confidence, monotone=monotone)
    if classifier.source is not None:
        return _with_share(classifier.source, found, clean, adversarial, origin, batch)
    return found


def _least_count(restores: Callable[[list[int]], list[bool]], pixels: int) -> tuple[int, bool] | None:
    """Search for the smallest count of pixels that restores the prediction.

    Returns:
        The count, and whether every larger one that was tried at first restores it too; None if none does.
    """
    counts = sorted({max(1, round(share * pixels)) for share in _SHARES})
    tried = restores(counts)
    if not any(tried):
        return None
    first = tried.index(True)
    low, high = counts[first - 1] if first else 0, counts[first]
    # The first of some counts in between that restores it; whether smaller ones restore is not assumed.
    while high - low > max(1, pixels // 2000):
        between = sorted({low + (high - low) * i // _SECTIONS for i in range(1, _SECTIONS)} - {low, high})
        if not between:
            break
        hits = restores(between)
        place = hits.index(True) if any(hits) else len(between)
        bounds = [low, *between, high]
        low, high = bounds[place], bounds[place + 1]
    return high, all(tried[first:])
