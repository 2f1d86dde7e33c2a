"""How far the confidence of a classifier is from its accuracy.

The expected calibration error (Naeini, Cooper and Hauskrecht 2015; Guo et al. 2017, https://arxiv.org/abs/1706.04599)
with bins of equal mass (Nguyen and O'Connor 2015, https://arxiv.org/abs/1508.05154).
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy
from scipy.stats import rankdata

BINS = 15
COVERAGE = 0.9
# The smallest normal number of float32, in which models compute.
_LEAST = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Beliefs:
    """What a classifier believes of some images; NaN where it returned NaN.

    Args:
        confidence: (N,) the score of the predicted class.
        log_loss: (N,) -log p_y for the true class y; where each class has a sigmoid of its own, the sum of the binary
            cross-entropies, -log p_y - sum over k != y of log(1 - p_k).
        squared_error: (N,) the sum over classes k of (p_k - [k = y])^2.
    """

    confidence: np.ndarray
    log_loss: np.ndarray
    squared_error: np.ndarray


def beliefs_of(scores: np.ndarray, labels: np.ndarray, *, independent: bool = False) -> Beliefs:
    """Compute what a classifier believes of images.

    Args:
        scores: (N, K) its score of each class.
        labels: (N,) the true classes.
        independent: whether each class has a sigmoid of its own.
    """
    scores = np.asarray(scores, np.float64)
    rows = np.arange(len(scores))
    truth = np.zeros_like(scores)
    truth[rows, labels] = 1
    # Rounding may take a sum of probabilities beyond one.
    scores = np.minimum(scores, 1)
    loss = np.abs(np.log(np.maximum(scores[rows, labels], _LEAST)))
    if independent:
        loss = loss - xlogy(1 - truth, np.maximum(1 - scores, _LEAST)).sum(axis=1)
    confidence, squared = scores.max(axis=1), np.square(scores - truth).sum(axis=1)
    known = np.isfinite(scores).all(axis=1)
    return Beliefs(*(np.where(known, values, np.nan) for values in (confidence, loss, squared)))


@dataclass(frozen=True)
class Reliability:
    """Images in bins of equal mass, in the order of their confidence.

    Args:
        images: (B,) their number.
        confidence: (B,) their mean confidence.
        accuracy: (B,) the share of correct images.
        variance: (B,) the variance of their confidence.
    """

    images: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    variance: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean over images of |confidence - accuracy| of their bin."""
        return float(self.images @ np.abs(self.confidence - self.accuracy) / self.images.sum())


def reliability(confidence: np.ndarray, correct: np.ndarray) -> Reliability:
    """Put images into bins of equal mass: sorted by confidence, cut into parts whose sizes differ by one at most.

    Images of equal confidence count with the mean of their accuracy, so that their order does not matter.

    Args:
        confidence: (N,), N > 0.
        correct: (N,) bool.
    """
    order = np.argsort(confidence, kind="stable")
    parts = np.array_split(order, min(BINS, len(order)))
    shared = _averaged_over_ties(confidence, correct)
    return Reliability(
        np.array([len(part) for part in parts]),
        np.array([confidence[part].mean() for part in parts]),
        np.array([shared[part].mean() for part in parts]),
        np.array([confidence[part].var() for part in parts]),
    )


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the expected calibration error in 15 bins of equal mass: (N,), (N,) bool -> a number in [0, 1]."""
    return reliability(confidence, correct).error


def selective_accuracy(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the accuracy on the 90% of the images with the highest confidence: (N,), (N,) bool -> in [0, 1]."""
    kept = np.argsort(-confidence, kind="stable")[: int(np.ceil(COVERAGE * len(confidence) - 1e-9))]
    return float(_averaged_over_ties(confidence, correct)[kept].mean())


def auroc(confidence: np.ndarray, correct: np.ndarray) -> float | None:
    """Return P(a correct image's confidence > a wrong one's) + P(equal) / 2; None if all or no images are correct."""
    right = int(correct.sum())
    wrong = len(correct) - right
    if right == 0 or wrong == 0:
        return None
    ranks = rankdata(confidence)[correct].sum()
    return float((ranks - right * (right + 1) / 2) / (right * wrong))


def _averaged_over_ties(confidence: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Return the mean accuracy of the images that have the confidence of each image: -> (N,)."""
    _, group = np.unique(confidence, return_inverse=True)
    return (np.bincount(group, weights=correct) / np.bincount(group))[group]
