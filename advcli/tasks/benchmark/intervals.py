"""How far a count of right images can be trusted, and whether two models differ by more than chance."""

import math
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy.stats import beta, binom


def wilson(correct: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of an accuracy: everything from 0 to 1 if there are no images."""
    if images == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, spread = correct / images, z * z / images
    centre = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / images + spread / (4 * images))
    # Where all or none are right, rounding could leave the end just off 0 or 1.
    low = 0.0 if correct == 0 else (centre - half) / (1 + spread)
    high = 1.0 if correct == images else (centre + half) / (1 + spread)
    return low, high


def counted(correct: np.ndarray) -> dict[str, Any]:
    """Return the fields of a record that counts right images: (N,) bool -> images, correct, accuracy, low, high."""
    count = int(correct.sum())
    low, high = wilson(count, len(correct))
    accuracy = count / max(1, len(correct))
    return {"images": len(correct), "correct": count, "accuracy": accuracy, "low": low, "high": high}


def mcnemar(first: np.ndarray, second: np.ndarray) -> tuple[int, int, float]:
    """Compare two models on the same images with McNemar's exact test.

    Args:
        first: (N,) bool, which images the one model gets right.
        second: (N,) bool, the same of the other.

    Returns:
        How many images only the first gets right, how many only the second, and the two-sided p-value: how
        probable it is that images which one of them gets right fall at least as unevenly if neither is better.
    """
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    tail = binom.cdf(min(only_first, only_second), only_first + only_second, 0.5)
    return only_first, only_second, min(1.0, 2 * float(tail))


def clopper_pearson_low(successes: int, trials: int, alpha: float) -> float:
    """Return what a probability is at least, wrong in no more than ``alpha`` of all samples: Clopper and Pearson."""
    return float(beta.ppf(alpha, successes, trials - successes + 1)) if successes else 0.0
