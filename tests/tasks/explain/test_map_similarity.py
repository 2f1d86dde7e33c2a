from typing import Any

import numpy as np
import pytest
from scipy import stats
from skimage.metrics import structural_similarity

from advcli.tasks.explain.map_similarity import ComparedMap, map_similarity, rank_correlation


def maps(edge: int = 16) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    first = generator.normal(size=(edge, edge))
    return first, first + 0.7 * generator.normal(size=(edge, edge))


def scipys(first: np.ndarray, second: np.ndarray) -> float:
    result: Any = stats.spearmanr(first.ravel(), second.ravel())
    return result.statistic


def test_a_map_is_like_itself_whatever_its_scale_and_sign() -> None:
    first, _ = maps()
    moved = map_similarity(first, -3 * first)
    assert moved is not None
    assert moved.spearman == pytest.approx(1)
    assert moved.ssim == pytest.approx(1)
    assert moved.overlap == 1
    assert moved.distance == pytest.approx(0)


def test_the_numbers_are_those_of_scipy_and_scikit_image() -> None:
    first, second = (np.abs(values) for values in maps())
    moved = map_similarity(first, second)
    assert moved is not None
    assert moved.spearman == pytest.approx(scipys(first, second))
    expected = structural_similarity(
        first / first.max(),
        second / second.max(),
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert moved.ssim == pytest.approx(expected)


def test_ranks_of_equal_pixels_are_shared_as_spearman_does() -> None:
    generator = np.random.default_rng(2)
    first, second = (np.maximum(generator.normal(size=(9, 9)), 0) for _ in range(2))
    assert rank_correlation(first, second) == pytest.approx(scipys(first, second))


def test_overlap_and_distance_by_hand() -> None:
    before, after = np.zeros((10, 10)), np.zeros((10, 10))
    before[0, :] = 1
    after[0, 5:] = 1
    after[9, 5:] = 1
    moved = map_similarity(before, after)
    assert moved is not None
    assert moved.overlap == 5 / 15, "ten pixels each, five in common"
    assert moved.distance == pytest.approx(np.hypot(4.5, 2.5) / np.hypot(10, 10))


def test_unrelated_maps_overlap_by_chance() -> None:
    generator = np.random.default_rng(3)
    found = [map_similarity(*generator.random((2, 32, 32)), seed=seed) for seed in range(20)]
    assert np.mean([moved.overlap for moved in found if moved]) == pytest.approx(0.053, abs=0.01)
    assert abs(np.mean([moved.spearman for moved in found if moved])) < 0.02


def test_equal_pixels_are_not_taken_from_the_same_corner_in_both() -> None:
    before, after = np.zeros((20, 20)), np.zeros((20, 20))
    before[0, 0] = after[19, 19] = 1
    moved = map_similarity(before, after)
    assert moved is not None
    assert moved.overlap < 0.2


def test_a_tenth_is_taken_of_maps_with_many_equal_pixels() -> None:
    generator = np.random.default_rng(4)
    for values in (generator.random((20, 20)), generator.integers(0, 4, (20, 20)), np.eye(20)):
        top = ComparedMap(values.astype(float)).top
        assert top.sum() == 40
        assert values.ravel()[top].min() >= values.ravel()[~top].max(), "no pixel left out is greater"


@pytest.mark.parametrize("flat", [np.zeros((8, 8)), np.full((8, 8), 3.0)])
def test_a_flat_map_has_no_shift(flat: np.ndarray) -> None:
    other = maps(8)[0]
    assert map_similarity(flat, other) is map_similarity(other, flat) is None


def test_small_maps_have_a_similarity_too() -> None:
    moved = map_similarity(*maps(8))
    assert moved is not None
    assert 0 < moved.ssim < 1
