"""Which pixels made a classifier change its mind: integrated gradients from an image to its adversarial one.

Sundararajan, Taly and Yan 2017, https://arxiv.org/abs/1703.01365, with the clean image as the baseline and
the margin between the two classes as the function: the map's sum is the change of the margin.
"""

from dataclasses import dataclass, replace

import numpy as np

from advcli import registry
from advcli.explainers.integrated_gradients import IntegratedGradients
from advcli.model import Classifier

# More points on the way only where few leave more than this much of the change unexplained.
_STEPS, _MOST_STEPS, _TOLERANCE = 8, 64, 0.01
_SHARES = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
_SECTIONS = 8


@dataclass(frozen=True)
class Flip:
    """Why an adversarial image fools.

    Args:
        relevance: (edge, edge) how much each pixel's perturbation moved the margin of the wrong class over the other.
        before: the margin of the clean image, in logits.
        after: the margin of the adversarial image.
        share: the smallest share of the pixels found that, put back, restores the prediction; None if none does.
        restored: (edge, edge, C) the adversarial image with those pixels put back; None if none does.
        confidence: what the restored image gives the class it is restored to.
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
        """How much of the change of the margin the map's sum misses, as a share of it."""
        change = self.after - self.before
        return float(abs(self.relevance.sum() - change) / max(abs(change), 1e-12))


@dataclass(frozen=True)
class Flipping:
    """Explains flips of one classifier.

    Args:
        classifier: what was fooled.
        batch: how many images with pixels put back are looked at together.
    """

    classifier: Classifier
    batch: int = 8

    def __call__(self, clean: np.ndarray, adversarial: np.ndarray, origin: int, wrong: int) -> Flip:
        """Explain a flip: two images (edge, edge, C) in [0, 1] as the classifier sees them, two classes."""
        logits = self.classifier.logits_of(np.stack([clean, adversarial]))
        before, after = (float(margin) for margin in logits[:, wrong] - logits[:, origin])
        steps = _STEPS
        while True:
            way: IntegratedGradients = registry.build("explainers", f"integrated-gradients:steps={steps}")
            relevance = way.between(
                self.classifier, clean[None], adversarial[None], np.array([wrong]), np.array([origin])
            )[0]
            flip = Flip(relevance, before, after)
            if flip.completeness <= _TOLERANCE or steps >= _MOST_STEPS:
                return self._with_share(flip, clean, adversarial, origin)
            steps *= 2

    def _with_share(self, flip: Flip, clean: np.ndarray, adversarial: np.ndarray, origin: int) -> Flip:
        """Add how few pixels, those that moved the margin most first, have to be put back."""
        order = np.argsort(-flip.relevance, axis=None, kind="stable")
        pixels = order.size

        def put_back(count: int) -> np.ndarray:
            mixed = adversarial.reshape(pixels, -1).copy()
            mixed[order[:count]] = clean.reshape(pixels, -1)[order[:count]]
            return mixed.reshape(adversarial.shape)

        def restores(counts: list[int]) -> list[bool]:
            found: list[bool] = []
            for start in range(0, len(counts), self.batch):
                images = np.stack([put_back(count) for count in counts[start : start + self.batch]])
                found += list(self.classifier.predict(images).argmax(axis=1) == origin)
            return found

        counts = sorted({max(1, round(share * pixels)) for share in _SHARES})
        found = restores(counts)
        if not any(found):
            return flip
        first = found.index(True)
        low, high = counts[first - 1] if first else 0, counts[first]
        # The first of some points between that restores: nothing is taken for granted of those below it.
        while high - low > max(1, pixels // 2000):
            between = sorted({low + (high - low) * i // _SECTIONS for i in range(1, _SECTIONS)} - {low, high})
            if not between:
                break
            hits = restores(between)
            place = hits.index(True) if any(hits) else len(between)
            bounds = [low, *between, high]
            low, high = bounds[place], bounds[place + 1]
        restored = put_back(high)
        confidence = float(self.classifier.predict(restored[None])[0, origin])
        return replace(flip, share=high / pixels, restored=restored, confidence=confidence, monotone=all(found[first:]))
