"""What guessing gets right, and when a count is more than that."""

from scipy.stats import binom


def beyond_chance(correct: int, images: int, classes: int, significance: float = 0.01) -> bool:
    """Tell whether so many right answers are improbable for someone who guesses among so many classes."""
    return bool(binom.sf(correct - 1, images, 1 / classes) < significance)
