"""The statistics of counts, against by-hand numbers and statsmodels."""

import math

import numpy as np
import pytest
from scipy.stats import binom
from statsmodels.stats.contingency_tables import mcnemar as reference_mcnemar
from statsmodels.stats.proportion import proportion_confint

from advcli.tasks.benchmark.intervals import clopper_pearson_low, mcnemar, wilson

COUNTS = [(0, 1), (1, 1), (0, 10), (3, 10), (10, 10), (269, 359), (1, 1000), (4999, 5000), (12_345, 50_000)]


@pytest.mark.parametrize(("correct", "images"), COUNTS)
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_wilson_agrees_with_statsmodels(correct: int, images: int, confidence: float) -> None:
    expected = proportion_confint(correct, images, alpha=1 - confidence, method="wilson")
    assert wilson(correct, images, confidence) == pytest.approx(expected, abs=1e-9)


def test_wilson_by_hand() -> None:
    # Half of four: centre 1/2, half-width z / (2 sqrt(4 + z^2)) with z = 1.959964.
    half = 1.959964 / (2 * math.sqrt(4 + 1.959964**2))
    assert wilson(2, 4) == pytest.approx((0.5 - half, 0.5 + half), abs=1e-7)
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1
    assert wilson(0, 0) == (0, 1)


def paired(both: int, first: int, second: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Make the verdicts of two models from the four counts of a table, in random order."""
    rows = np.repeat([[True, True], [True, False], [False, True], [False, False]], [both, first, second, neither], 0)
    np.random.default_rng(0).shuffle(rows)
    return rows[:, 0], rows[:, 1]


@pytest.mark.parametrize("table", [(50, 3, 12, 20), (0, 1, 0, 0), (500, 40, 41, 0), (9, 30, 30, 1), (0, 0, 200, 0)])
def test_mcnemar_agrees_with_statsmodels(table: tuple[int, int, int, int]) -> None:
    both, first, second, neither = table
    expected = reference_mcnemar([[both, first], [second, neither]], exact=True).pvalue  # pyright: ignore[reportAttributeAccessIssue]  a field of its result
    only_first, only_second, p_value = mcnemar(*paired(*table))
    assert (only_first, only_second) == (first, second)
    assert p_value == pytest.approx(min(1.0, expected), abs=1e-9)


def test_mcnemar_by_hand() -> None:
    # One of six: twice (1 + 6) / 2^6.
    assert mcnemar(*paired(5, 1, 5, 7)) == (1, 5, pytest.approx(14 / 64))
    assert mcnemar(*paired(5, 5, 1, 7)) == (5, 1, pytest.approx(14 / 64))
    assert mcnemar(*paired(5, 0, 0, 7)) == (0, 0, 1.0)


@pytest.mark.parametrize(("correct", "images"), COUNTS)
def test_clopper_and_pearson_agree_with_statsmodels(correct: int, images: int) -> None:
    # One side with alpha is the lower end of two sides with twice that.
    low, _ = proportion_confint(correct, images, alpha=0.002, method="beta")
    assert clopper_pearson_low(correct, images, 0.001) == pytest.approx(low, abs=1e-9)


def test_the_lower_bound_by_hand() -> None:
    # All of n: p^n = alpha. One of one: p = alpha.
    assert clopper_pearson_low(100, 100, 0.001) == pytest.approx(0.001 ** (1 / 100))
    assert clopper_pearson_low(1, 1, 0.05) == pytest.approx(0.05)
    assert clopper_pearson_low(0, 7, 0.05) == 0
    # At the bound itself, so many or more successes have probability alpha.
    low = clopper_pearson_low(60, 80, 0.01)
    assert binom.sf(59, 80, low) == pytest.approx(0.01)
