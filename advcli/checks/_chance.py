"""Whether a number of correct predictions exceeds chance."""

from scipy.stats import binom

_SIGNIFICANCE = 0.01


def beyond_chance(correct: int, images: int, classes: int) -> bool:
    """Return whether P(X >= correct) < 0.01 for X ~ Binomial(images, 1 / classes)."""
    return bool(binom.sf(correct - 1, images, 1 / classes) < _SIGNIFICANCE)
