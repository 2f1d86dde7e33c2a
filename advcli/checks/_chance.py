"""Whether a number of correct predictions exceeds chance."""

from scipy.stats import binom


def beyond_chance(correct: int, images: int, classes: int, significance: float = 0.01) -> bool:
    """Return whether P(X >= correct) < significance for X ~ Binomial(images, 1 / classes)."""
    return bool(binom.sf(correct - 1, images, 1 / classes) < significance)
