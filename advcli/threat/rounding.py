"""Round perturbations to whole grey levels without making them longer."""

import numpy as np


def round_to_length(
    delta: np.ndarray, length: float, least: float | np.ndarray, most: float | np.ndarray
) -> np.ndarray:
    """Scale a perturbation so that, rounded, it is just as long in l2 as it may be, or a little shorter.

    Rounding alone may lengthen a perturbation or swallow it.

    Args:
        delta: the perturbation in grey levels.
        length: how long the result may be.
        least: the least that each value of the result may be.
        most: the greatest.

    Returns:
        Whole numbers.
    """

    def rounded(scale: float) -> np.ndarray:
        return np.rint(delta * scale).clip(least, most)

    low, high = 0.0, 8.0
    for _ in range(40):
        middle = (low + high) / 2
        if np.linalg.norm(rounded(middle)) <= length:
            low = middle
        else:
            high = middle
    return rounded(low)
