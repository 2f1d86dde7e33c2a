"""How similar the maps of two images are, in the measures of the field.

Ghorbani, Abid and Zou 2019, https://arxiv.org/abs/1710.10547
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from advcli.explainers import is_evidence
from advcli.records import Shift
from advcli.records.base import Json

_TOP = 0.1
# The window of SSIM's authors is 11 pixels wide, a smaller image has room for the library's own of 7.
_WIDE = 11


@dataclass(frozen=True, eq=False)
class ComparedMap:
    """The magnitudes of a map, and what comparisons need of them, computed once for several comparisons.

    Args:
        values: (H, W).
        seed: of the random order of equal pixels, where some of them are in the top tenth.
        is_second: whether it is the second map of a comparison, whose random order is another one.
    """

    values: np.ndarray
    seed: int = 0
    is_second: bool = False

    @cached_property
    def magnitudes(self) -> np.ndarray:
        """The magnitudes as shares of the largest one: (H, W) float64."""
        magnitudes = np.abs(self.values).astype(np.float64)
        return magnitudes / (magnitudes.max() or 1.0)

    @cached_property
    def is_evidence(self) -> bool:
        """Whether the magnitudes differ at all."""
        return bool(is_evidence(self.magnitudes[None])[0])

    @cached_property
    def ranks(self) -> np.ndarray:
        """The ranks of the magnitudes about their mean: (H * W,)."""
        return _centred_ranks(self.magnitudes)

    @cached_property
    def top(self) -> np.ndarray:
        """Which pixels are in the top tenth: (H * W,) bool."""
        values = self.magnitudes.ravel()
        count = max(1, round(values.size * _TOP))
        # Maps that are cut at zero have many equal pixels, which must not be taken from the same corner in both.
        order = np.random.default_rng(self.seed).random((2, values.size))[int(self.is_second)]
        least = np.partition(values, values.size - count)[values.size - count]
        inside = values > least
        equal = np.flatnonzero(values == least)
        inside[equal[np.argsort(order[equal], kind="stable")[: count - inside.sum()]]] = True
        return inside

    @cached_property
    def centre(self) -> np.ndarray:
        """The row and the column of the centre of mass."""
        rows, columns = (self.magnitudes.sum(axis=axis) for axis in (1, 0))
        sums = [np.arange(len(sums)) @ sums for sums in (rows, columns)]
        return np.array(sums) / rows.sum()


def map_similarity(before: np.ndarray, after: np.ndarray, seed: int = 0) -> Shift | None:
    """Compare the magnitudes of two maps: (H, W), (H, W) -> four numbers; None if one of them is constant.

    Args:
        before: the map that is compared with.
        after: the other map.
        seed: of the random order of equal pixels, where some of them are in the top tenth.
    """
    return compare_maps(ComparedMap(before, seed), ComparedMap(after, seed, is_second=True))


def compare_maps(first: ComparedMap, second: ComparedMap) -> Shift | None:
    """Compare the magnitudes of two maps: four numbers; None if one of them is constant."""
    if not (first.is_evidence and second.is_evidence):
        return None
    return Shift(
        spearman=_correlation(first.ranks, second.ranks),
        ssim=_similarity(first.magnitudes, second.magnitudes),
        overlap=float((first.top & second.top).sum() / (first.top | second.top).sum()),
        distance=float(np.linalg.norm(first.centre - second.centre) / np.hypot(*first.magnitudes.shape)),
    )


def rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Compute Spearman's correlation of two maps' magnitudes: (H, W), (H, W) -> -1 to 1; NaN if one is constant."""
    return _correlation(_centred_ranks(first), _centred_ranks(second))


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    from scipy.stats import rankdata

    ranks = rankdata(np.abs(values).ravel())
    return ranks - ranks.mean()


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    length = np.sqrt((first @ first) * (second @ second))
    return float(first @ second / length) if length > 0 else float("nan")


def _similarity(first: np.ndarray, second: np.ndarray) -> float:
    from skimage.metrics import structural_similarity

    wide = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    options: dict[str, Json] = wide if min(first.shape) >= _WIDE else {}
    similarity: Any = structural_similarity(first, second, data_range=1.0, **options)
    return float(similarity)
