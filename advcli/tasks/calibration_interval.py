"""A confidence interval of the expected calibration error.

What is covered is the error that the same bins would have with images without end: the sum over bins b of equal mass of
w_b |c_b - a_b|, with c_b the mean confidence and a_b the accuracy in the distribution that the images come from. The
estimate is biased upward, as a mean of absolute values is above zero also for a calibrated model. So the interval
inverts a test: it holds each error t for which the estimate is as near to its expectation as it is 95 times in 100.
"""

from functools import cache

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

from advcli.tasks.calibration import Reliability

_CONFIDENCE = 0.95
_TINY = 1e-12
_BISECTIONS = 40
# How many standard deviations a gap is away that does not fit to the others.
_UNLIKE = 3.5
# The square of a deviation up to which skewness is corrected.
_FAR = 9
# Multiples of the gaps that are tried as the true ones.
_SCALES = np.concatenate([[0.0], np.geomspace(0.01, 100, 250)])


def error_interval(found: Reliability) -> tuple[float, float]:
    """Return the 95% interval of the calibration error.

    The true gaps g_b = c_b - a_b are taken to be s times the gaps that were found, shrunk by what chance adds to them
    (``_shrunk``). For each s >= 0 the estimate has the mean sum w_b E|N(g_b, v_b)| and the variance
    sum w_b^2 Var|N(g_b, v_b)| + sum w_b (|g_b| - t)^2 / n, with t = sum w_b |g_b|: chance within the bins, and which
    images are in them. Its skewness is that of the first sum. With s = 0 at the boundary, the acceptance regions are
    those of Feldman and Cousins 1998, https://arxiv.org/abs/physics/9711021.
    """
    images = found.images.sum()
    weights = found.images / images
    gaps = _shrunk(found)
    slopes = np.clip(_SCALES[:, None] * _slopes(gaps, found.confidence), -1, 2)
    accuracies = np.clip(found.confidence - _SCALES[:, None] * gaps, 0, 1)
    # Where accuracies have reached their bounds, confidences may still be larger than those of these images.
    scaled = np.minimum(np.abs(_SCALES[:, None] * gaps), 1)
    # Of confidence - correct, where the gap changes within the bin by its slope.
    variances = accuracies * (1 - accuracies) + found.variance * (2 * slopes - 1)
    means, folded, third = _folded(scaled, np.sqrt(np.maximum(variances, 0) / found.images))
    errors = scaled @ weights
    between = (np.square(scaled - errors[:, None]) @ weights) / images
    deviations = np.sqrt(np.maximum(folded @ np.square(weights) + between, _TINY**2))
    expected = means @ weights
    skewness = (third @ weights**3) / deviations**3
    means = np.maximum((expected - expected[0]) / deviations, 0)
    # Away from zero the deviation depends on gaps that the bins estimate.
    wider = 1 + (_student(len(weights)) - 1) * np.minimum(means, 1)
    low, high = _accepted(means)
    measured = (found.error - expected) / (deviations * wider)
    # By Cornish and Fisher a skewed variable becomes a normal one.
    measured = means + measured - skewness * (np.minimum(np.square(measured), _FAR) - 1) / 6
    return _ends(errors, np.minimum(measured - low, high - measured))


def _ends(errors: np.ndarray, margins: np.ndarray) -> tuple[float, float]:
    """Return the least and the largest error whose margin is not negative, with linear interpolation."""
    inside = np.flatnonzero(margins >= 0)
    if len(inside) == 0:
        nearest = float(errors[margins.argmax()])
        return nearest, nearest
    first, last = inside[0], inside[-1]
    low, high = float(errors[first]), float(errors[last])
    if first > 0:
        low = float(np.interp(0, margins[first - 1 : first + 1], errors[first - 1 : first + 1]))
    if last + 1 < len(errors):
        high = float(np.interp(0, margins[[last + 1, last]], errors[[last + 1, last]]))
    return low, high


def _shrunk(found: Reliability) -> np.ndarray:
    """Return the gaps with the part of their variation removed that chance explains: (B,).

    The gaps are taken to be N(mean, tau^2) and chance N(0, sigma_b^2). What is left of their variation has the variance
    tau^2 (Louis 1984). Gaps that do not fit to the others stay as they are.
    """
    gaps = found.confidence - found.accuracy
    # One image more, that is correct as often as the confidence says, so that no variance is zero.
    accuracy = (found.accuracy * found.images + found.confidence) / (found.images + 1)
    noise = np.maximum(accuracy * (1 - accuracy) / found.images, _TINY)
    alike = np.ones(len(gaps), bool)
    while alike.sum() > max(len(gaps) // 2, 2):
        farthest = _farthest(gaps, noise, alike)
        others = alike.copy()
        others[farthest] = False
        mean, variance = _mean_and_variance(gaps[others], noise[others])
        if np.square(gaps[farthest] - mean) <= _UNLIKE**2 * (noise[farthest] + variance):
            break
        alike = others
    mean, variance = _mean_and_variance(gaps[alike], noise[alike])
    certainty = float((1 / (noise[alike] + variance)).sum()) * mean * mean
    centre = mean * np.sqrt(max(0.0, 1 - 1 / certainty)) if certainty > 0 else 0.0
    shrunk = np.where(alike, centre + (gaps - mean) * np.sqrt(variance / (variance + noise)), gaps)
    for each in (shrunk, gaps):
        if np.abs(each).sum() > _TINY:
            return each
    return np.full(len(gaps), 1e-3)


def _farthest(gaps: np.ndarray, noise: np.ndarray, alike: np.ndarray) -> int:
    """Return the bin that is the least like the others of its kind."""
    mean, variance = _mean_and_variance(gaps[alike], noise[alike])
    return int(np.where(alike, np.square(gaps - mean) / (noise + variance), -1).argmax())


def _mean_and_variance(gaps: np.ndarray, noise: np.ndarray) -> tuple[float, float]:
    """Return the mean, and tau^2 so that sum (gap_b - mean)^2 / (sigma_b^2 + tau^2) = B - 1 (Paule and Mandel 1982)."""

    def spread(variance: float) -> tuple[float, float]:
        precision = 1 / (noise + variance)
        mean = float(precision @ gaps / precision.sum())
        return mean, float(precision @ np.square(gaps - mean))

    low, high = 0.0, 1.0
    if spread(0.0)[1] <= len(gaps) - 1:
        return spread(0.0)[0], 0.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if spread(middle)[1] > len(gaps) - 1 else (low, middle)
    return spread(high)[0], high


def _slopes(gaps: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """Return how the gap changes with the confidence; 0 where the bins do not differ."""
    if len(gaps) < 2 or np.diff(confidence).min() < _TINY:
        return np.zeros(len(gaps))
    return np.gradient(gaps, confidence)


def _student(bins: int) -> float:
    """Return how many times wider Student's interval with 2 (B - 1) degrees of freedom is than the normal one.

    A bin has a mean and a variance. With this the coverage in simulations is 95%, without it about 94%.
    """
    tail = (1 + _CONFIDENCE) / 2
    return float(stdtrit(2 * max(bins - 1, 1), tail) / ndtri(tail))


def _folded(mean: np.ndarray, deviation: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean, the variance and the third central moment of |N(mean, deviation^2)|."""
    deviation = np.maximum(deviation, _TINY)
    ratio = mean / deviation
    bell, sign = deviation * np.sqrt(2 / np.pi) * np.exp(-ratio * ratio / 2), 1 - 2 * ndtr(-ratio)
    square = mean * mean + deviation * deviation
    first = bell + mean * sign
    third = bell * (square + deviation * deviation) + mean * (square + 2 * deviation * deviation) * sign
    return first, np.maximum(square - first * first, 0), third - 3 * first * square + 2 * first**3


def _accepted(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the acceptance region of each mean m >= 0 of a unit normal variable: -> its ends."""
    table, low, high = _unified()
    # Far from the boundary it is the usual region about the mean.
    inside = np.minimum(means, table[-1])
    return means + np.interp(inside, table, low), means + np.interp(inside, table, high)


@cache
def _unified() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means, and the ends of their regions less the mean.

    Values x are accepted in the order of the likelihood ratio p(x | m) / p(x | max(x, 0)) until they have 95%.
    """
    means = np.linspace(0, 6, 601)

    def lower(above: np.ndarray) -> np.ndarray:
        """Return the other end with the same likelihood ratio, less the mean."""
        with np.errstate(divide="ignore", invalid="ignore"):
            beyond = (means * means - above * above) / (2 * means) - means
        return np.where(above <= means, -above, np.maximum(np.nan_to_num(beyond, neginf=-np.inf), -100))

    low, high = np.zeros_like(means), np.full_like(means, 4.0)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        short = ndtr(middle) - ndtr(lower(middle)) < _CONFIDENCE
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    return means, lower(high), high
