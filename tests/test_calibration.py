"""The calibration of a classifier: against scikit-learn, the definition, and simulations whose truth is known."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score

from advcli.tasks.calibration import auroc, beliefs_of, calibration_error, reliability, selective_accuracy
from advcli.tasks.calibration_interval import error_interval


def sample(images: int, classes: int = 7, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(images, classes)) * 2
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return scores, rng.integers(0, classes, images)


def test_losses_equal_those_of_scikit_learn() -> None:
    scores, labels = sample(500)
    found = beliefs_of(scores, labels)
    assert found.log_loss.mean() == pytest.approx(log_loss(labels, scores))
    squared = brier_score_loss(labels, scores, scale_by_half=False)  # pyright: ignore[reportArgumentType]  its default is a text
    assert found.squared_error.mean() == pytest.approx(squared)
    np.testing.assert_array_equal(found.confidence, scores.max(axis=1))


def test_independent_scores_are_as_many_binary_predictions() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.uniform(0, 1, (300, 5)), rng.integers(0, 5, 300)
    found = beliefs_of(scores, labels, independent=True)
    by_class = [(labels == each).astype(int) for each in range(5)]
    binary = sum(log_loss(truth, scores[:, each], labels=[0, 1]) for each, truth in enumerate(by_class))
    assert found.log_loss.mean() == pytest.approx(binary)
    squared = sum(brier_score_loss(truth, scores[:, each]) for each, truth in enumerate(by_class))
    assert found.squared_error.mean() == pytest.approx(squared)


def test_impossible_and_undefined_probabilities() -> None:
    scores = np.array([[0.0, 1.0], [np.nan, np.nan], [1.0 + 1e-9, 0.0]])
    found = beliefs_of(scores, np.array([0, 0, 0]))
    assert np.isnan(found.confidence).tolist() == [False, True, False]
    assert np.isfinite(found.log_loss[0])
    assert found.log_loss[0] > 80
    assert np.isnan(found.log_loss[1])
    assert found.log_loss[2] == 0
    assert np.signbit(found.log_loss[2]) == np.False_


@pytest.mark.parametrize("images", [1, 7, 15, 100, 1009])
def test_the_error_is_that_of_the_definition(images: int) -> None:
    scores, labels = sample(images)
    confidence, correct = scores.max(axis=1), scores.argmax(axis=1) == labels
    pairs = sorted(zip(confidence.tolist(), correct.tolist(), strict=True))
    total, start = 0.0, 0
    bins = min(15, images)
    for number in range(bins):
        size = images // bins + (number < images % bins)
        part = pairs[start : start + size]
        start += size
        total += abs(sum(p for p, _ in part) - sum(c for _, c in part))
    assert start == images
    assert calibration_error(confidence, correct) == pytest.approx(total / images)


def test_the_order_of_equal_confidences_does_not_matter() -> None:
    confidence = np.full(300, 0.75)
    correct = np.arange(300) < 225
    assert calibration_error(confidence, correct) == pytest.approx(0)
    assert calibration_error(confidence, correct[::-1]) == pytest.approx(0)
    assert selective_accuracy(confidence, correct) == pytest.approx(0.75)


def test_ranking_equals_that_of_scikit_learn() -> None:
    scores, labels = sample(400)
    confidence, correct = np.round(scores.max(axis=1), 1), scores.argmax(axis=1) == labels
    assert auroc(confidence, correct) == pytest.approx(roc_auc_score(correct, confidence))
    assert auroc(confidence, np.ones(400, bool)) is None
    confidence = scores.max(axis=1)
    surest = np.argsort(-confidence)[:360]
    wanted = accuracy_score(labels[surest], scores[surest].argmax(axis=1))
    assert selective_accuracy(confidence, correct) == pytest.approx(wanted)


Confidences = Callable[[np.random.Generator, int], np.ndarray]
Accuracy = Callable[[np.ndarray], np.ndarray]


def usual(rng: np.random.Generator, images: int) -> np.ndarray:
    return expit(np.abs(rng.normal(1, 2, images)))


DESIGNS: dict[str, tuple[Confidences, Accuracy]] = {
    "calibrated": (lambda rng, n: expit(rng.normal(2, 1.5, n)), lambda p: p),
    "slightly overconfident": (usual, lambda p: expit(logit(p) / 1.3)),
    "overconfident": (usual, lambda p: expit(logit(p) / 2)),
    "underconfident": (lambda rng, n: expit(np.abs(rng.normal(1, 1, n))), lambda p: expit(logit(p) / 0.7)),
    "attacked": (lambda rng, n: rng.beta(5, 1, n), lambda p: np.full_like(p, 0.345)),
}


def coverage(design: str, images: int, simulations: int) -> float:
    """Return how often the interval covers the error of the bins in the whole distribution."""
    draw, accuracy = DESIGNS[design]
    population = np.sort(draw(np.random.default_rng(1), 600_000))
    gaps = population - accuracy(population)
    truth = np.mean([abs(part.mean()) for part in np.array_split(gaps, 15)])
    rng, covered = np.random.default_rng(0), 0
    for _ in range(simulations):
        confidence = draw(rng, images)
        low, high = error_interval(reliability(confidence, rng.random(images) < accuracy(confidence)))
        assert 0 <= low <= high <= 1
        covered += low - 1e-9 <= truth <= high + 1e-9
    return covered / simulations


@pytest.mark.slow
@pytest.mark.parametrize("images", [500, 2000])
@pytest.mark.parametrize("design", DESIGNS)
def test_intervals_cover_the_true_error(design: str, images: int) -> None:
    # The share of 1,000 simulations has a standard deviation of 0.7% itself.
    assert coverage(design, images, 1000) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize("design", ["calibrated", "attacked"])
def test_intervals_mostly_cover_the_true_error(design: str) -> None:
    assert coverage(design, 300, 100) == pytest.approx(0.95, abs=0.06)


def test_intervals_of_few_and_of_extreme_images() -> None:
    for confidence, correct in (
        (np.array([0.9]), np.array([True])),
        (np.ones(40), np.ones(40, bool)),
        (np.ones(40), np.zeros(40, bool)),
        (np.linspace(0.5, 1, 9), np.arange(9) % 2 == 0),
    ):
        low, high = error_interval(reliability(confidence, correct))
        assert 0 <= low <= high <= 1
    assert error_interval(reliability(np.ones(400), np.zeros(400, bool)))[0] > 0.9
