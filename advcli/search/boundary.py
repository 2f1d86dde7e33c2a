"""Move points that a copy of the model found across the boundary of the model itself."""

from dataclasses import dataclass

import numpy as np

from advcli.backend import tf
from advcli.model.classifier import Classifier, predicted_classes
from advcli.threat.threat import Threat

# So near the boundary, as a part of the score, a point may be across it for a copy of the model and not for the model.
_AT_THE_BOUNDARY = 1e-3
_ROUNDING = 1e-6
_LENGTHENED = (1.0003, 1.001, 1.003, 1.01, 1.03, 1.1)


@dataclass(frozen=True)
class Boundary:
    """The boundary between a model's classes, at which an inference copy of it may decide otherwise.

    Args:
        classifier: the inference copy.
        threat: the ball, in which moved points stay.
    """

    classifier: Classifier
    threat: Threat

    def lengthen(
        self,
        points: np.ndarray,
        scores: np.ndarray,
        pixels: np.ndarray,
        labels: np.ndarray,
        left: np.ndarray,
        found: np.ndarray,
    ) -> np.ndarray:
        """Go a little further to points found for some rows until the model is fooled: -> the rows that are left."""
        for factor in (1.0, *_LENGTHENED):
            if len(left) == 0:
                break
            longer = tf.constant(pixels[left] + factor * (found - pixels[left]), tf.float32)
            tried = self.threat.project(longer, tf.constant(pixels[left], tf.float32)).numpy()
            rest = self._take(points, scores, labels, left, tried)
            found, left = found[np.isin(left, rest)], rest
        return left

    def _take(
        self, points: np.ndarray, scores: np.ndarray, labels: np.ndarray, rows: np.ndarray, tried: np.ndarray
    ) -> np.ndarray:
        """Replace points by candidates that fool the model itself, in place, and return the remaining rows."""
        found = self.classifier.answers(tried)
        across = self.threat.is_adversarial_class(predicted_classes(found), labels[rows])
        points[rows[across]] = tried[across]
        scores[rows[across]] = found[across]
        return rows[~across]

    def adversarial_for_the_copy(self, points: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return which points near the model's boundary are adversarial for the copy, up to rounding: -> (N,) bool."""
        near = self._leads(self.classifier.itself.logits_of(points), labels) >= -_AT_THE_BOUNDARY
        if near.any():
            near[near] = self._leads(self.classifier.logits_of(points[near]), labels[near]) >= -_ROUNDING
        return near

    def _leads(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return how far the adversary's class leads, as a part of the largest score: (N, K), (N,) -> (N,)."""
        scores = np.array(scores, np.float64)
        largest = np.abs(scores).max(axis=1)
        if self.threat.target is not None:
            lead = scores[:, self.threat.target] - scores.max(axis=1)
        else:
            rows = np.arange(len(scores))
            own = scores[rows, labels]
            scores[rows, labels] = -np.inf
            lead = scores.max(axis=1) - own
        return lead / np.maximum(largest, 1e-30)
