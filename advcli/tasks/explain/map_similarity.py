"""How similar the maps of two images are, in the measures of the field.

Ghorbani, Abid and Zou 2019, https://arxiv.org/abs/1710.10547
"""

from typing import Any

import numpy as np

from advcli.explainers import is_evidence
from advcli.records import Shift
from advcli.records.base import Json

_TOP = 0.1
# The window of SSIM's authors is 11 pixels wide, a smaller image has room for the library's own of 7.
_WIDE = 11


def map_similarity(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Shift | None:
    """Compare the magnitudes of two maps: (H, W), (H, W) -> four numbers; None if one of them is constant.

    Args:
        before: the map that is compared with.
        after: the other map.
        seed: of the random order of equal pixels, where some of them are in the top tenth.
    """
    first, second = (_scaled(values) for values in (before, after))
    if not is_evidence(np.stack([first, second])).all():
        return None
    height, width = first.shape
    distance = np.linalg.norm(_centre(first) - _centre(second)) / np.hypot(height, width)
    return Shift(
        spearman=rank_correlation(first, second),
        ssim=_similarity(first, second),
        overlap=_overlap(first, second, seed),
        distance=float(distance),
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Compute Spearman's correlation of two maps' magnitudes: (H, W), (H, W) -> -1 to 1; NaN if one is constant."""
    from scipy.stats import rankdata

    ranks = [rankdata(np.abs(values).ravel()) for values in (first, second)]
    ranks = [values - values.mean() for values in ranks]
    length = np.sqrt(np.prod([values @ values for values in ranks]))
    return float(ranks[0] @ ranks[1] / length) if length > 0 else float("nan")


def _scaled(values: np.ndarray) -> np.ndarray:
    magnitudes = np.abs(values).astype(np.float64)
    return magnitudes / (magnitudes.max() or 1.0)


def _similarity(first: np.ndarray, second: np.ndarray) -> float:
    from skimage.metrics import structural_similarity

    wide = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    options: dict[str, Json] = wide if min(first.shape) >= _WIDE else {}
    similarity: Any = structural_similarity(first, second, data_range=1.0, **options)
    return float(similarity)


def _overlap(first: np.ndarray, second: np.ndarray, seed: int) -> float:
    """Divide what the top tenths of two maps share by what they cover together."""
    rng = np.random.default_rng(seed)
    count = max(1, round(first.size * _TOP))
    # Maps that are cut at zero have many equal pixels, which must not be taken from the same corner in both.
    tops = [set(np.lexsort((rng.random(values.size), -values.ravel()))[:count].tolist()) for values in (first, second)]
    return len(tops[0] & tops[1]) / len(tops[0] | tops[1])


def _centre(values: np.ndarray) -> np.ndarray:
    places = np.indices(values.shape).reshape(2, -1)
    return places @ values.ravel() / values.sum()
