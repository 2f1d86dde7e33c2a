"""Confidence intervals of an accuracy, and McNemar's test for two models."""

import math
from statistics import NormalDist

import numpy as np
from scipy.stats import beta, binom

from advcli.records.base import Fields


def wilson(correct: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of p = correct / n, with n = images and z the normal quantile.

    (p + z^2/2n +- z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n); [0, 1] for n = 0.
    """
    if images == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = correct / images, z * z / images
    centre = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / images + spread / (4 * images))
    # If all or none are correct, rounding could move the end off 0 or 1.
    low = 0.0 if correct == 0 else (centre - half) / (1 + spread)
    high = 1.0 if correct == images else (centre + half) / (1 + spread)
    return low, high


def counted(correct: np.ndarray) -> Fields:
    """Return the fields of a record that counts correct images: (N,) bool -> images, correct, accuracy, low, high."""
    count = int(correct.sum())
    low, high = wilson(count, len(correct))
    accuracy = count / max(1, len(correct))
    return {"images": len(correct), "correct": count, "accuracy": accuracy, "low": low, "high": high}


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Compare two models on the same images with McNemar's exact test.

    Args:
        first: (N,) bool, whether each image is correct for the first model.
        second: (N,) bool, the same for the second model.

    Returns:
        b, the images that only the first model predicts correctly, c, those that only the second does, and the
        two-sided p-value min(1, 2 P(X <= min(b, c))) for X ~ Binomial(b + c, 1/2).
    """
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    tail = binom.cdf(min(only_first, only_second), only_first + only_second, 0.5)
    return only_first, only_second, min(1.0, 2 * float(tail))


def clopper_pearson_low(successes: int, trials: int, alpha: float) -> float:
    """Return the one-sided Clopper-Pearson lower bound of a probability with confidence 1 - alpha.

    It is the alpha quantile of Beta(successes, trials - successes + 1), and 0 without a success.
    """
    return float(beta.ppf(alpha, successes, trials - successes + 1)) if successes else 0.0
