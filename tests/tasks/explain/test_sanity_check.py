from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from advcli import registry
from advcli.explainers import Explainer
from advcli.model.classifier import Classifier
from advcli.model.feature_map import feature_map
from advcli.tasks.explain.deletion_insertion import deletion, insertion
from advcli.tasks.explain.sanity_check import randomized, sanity_check, verdict_line
from conftest import make_classifier

COMMON = {"model": "m", "data": "files", "seed": 0}


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    made = make_classifier("small:width=8", edge=16)
    kernel = made.model.get_layer("logits").kernel
    kernel.assign(np.random.default_rng(5).normal(size=kernel.shape))
    return made


@pytest.fixture(scope="module")
def seen() -> np.ndarray:
    return np.random.default_rng(0).random((3, 16, 16, 3), dtype=np.float32)


@dataclass(frozen=True)
class Fixed(Explainer):
    """An explainer that only looks at the image: it depends on neither weights nor class."""

    signed: ClassVar[bool] = False

    def __call__(self, classifier: Any, images: np.ndarray, classes: Any, seed: int, against: Any = None) -> np.ndarray:
        return images.mean(axis=-1)


def test_a_map_that_only_looks_at_the_image_fails(classifier: Classifier, seen: np.ndarray) -> None:
    record = sanity_check(classifier, Fixed(), "fixed", seen, 0, COMMON)
    assert record.randomized == pytest.approx(1)
    assert record.other_class == pytest.approx(1)
    assert record.verdict == "fail"
    assert len(record.reasons) == 2
    assert "fixed: fail: the map hardly depends" in verdict_line(record)


def test_a_gradient_depends_on_weights_and_class(classifier: Classifier, seen: np.ndarray) -> None:
    record = sanity_check(classifier, registry.build("explainers", "saliency"), "saliency", seen, 0, COMMON)
    assert record.randomized is not None
    assert record.randomized < 0.8
    assert record.other_class is not None
    assert record.other_class < 0.95
    assert record.verdict != "fail"
    assert record.images == 3
    assert record.completeness is None


def test_completeness_is_measured_where_a_map_has_a_sum(classifier: Classifier, seen: np.ndarray) -> None:
    coarse = registry.build("explainers", "integrated-gradients:steps=1")
    fine = registry.build("explainers", "integrated-gradients:steps=16")
    with_coarse, with_fine = (sanity_check(classifier, one, "ig", seen[:1], 0, COMMON) for one in (coarse, fine))
    assert with_coarse.completeness is not None
    assert with_fine.completeness is not None
    assert with_fine.completeness < with_coarse.completeness


def test_the_upper_half_is_shuffled_and_put_back(classifier: Classifier, seen: np.ndarray) -> None:
    before = [np.array(weight) for weight in classifier.model.weights]
    expected = classifier.predict(seen)
    with randomized(classifier, 0) as other:
        changed = [not np.array_equal(old, new) for old, new in zip(before, classifier.model.weights, strict=True)]
        names = [w.path for w, differs in zip(classifier.model.weights, changed, strict=True) if differs]
        assert all("kernel" in name for name in names)
        assert names[-1].startswith("logits")
        assert not changed[0], "the first convolution keeps what it has learnt"
        for old, new in zip(before, classifier.model.weights, strict=True):
            np.testing.assert_array_equal(np.sort(old, axis=None), np.sort(np.array(new), axis=None))
        assert not np.allclose(other.predict(seen), expected, atol=1e-3)
    for old, new in zip(before, classifier.model.weights, strict=True):
        np.testing.assert_array_equal(old, np.array(new))
    np.testing.assert_array_equal(classifier.predict(seen), expected)


def test_the_same_layer_is_shown_with_shuffled_weights() -> None:
    made = make_classifier("small:width=8", edge=16)
    expected = feature_map(made)
    with randomized(made, 0) as other:
        # No layer would be proven to be a map with these.
        for weight in made.model.weights:
            weight.assign(np.zeros(weight.shape))
        assert feature_map(other).call is expected.call


def test_weights_are_put_back_after_an_error_too(classifier: Classifier) -> None:
    before = [np.array(weight) for weight in classifier.model.weights]
    with pytest.raises(RuntimeError), randomized(classifier, 0):
        raise RuntimeError
    assert all(np.array_equal(old, new) for old, new in zip(before, classifier.model.weights, strict=True))


def test_curves_of_a_model_that_looks_at_one_pixel(linear: Classifier) -> None:
    image = np.full((8, 8, 3), 0.2, np.float32)
    image[3, 4] = 1.0
    kernel, bias = (weight.numpy() for weight in linear.model.weights)
    try:
        wanted = np.zeros((8, 8, 3, 4), np.float32)
        wanted[3, 4, :, 1] = 50.0
        linear.model.weights[0].assign(wanted.reshape(kernel.shape))
        linear.model.weights[1].assign([60.0, 0, 0, 0])
        right, wrong = np.zeros((2, 8, 8))
        right[3, 4] = 1
        wrong[3, 4] = -1

        def areas(area: Callable[..., float]) -> tuple[float, float]:
            return area(linear, image, right, 1, 0), area(linear, image, wrong, 1, 0)

        early, late = areas(deletion)
        # Of 24 steps the first takes the pixel away, or the last: the trapezoid counts half of the ends.
        assert late - early > 0.5
        early, late = areas(insertion)
        assert early > late
    finally:
        linear.model.weights[0].assign(kernel)
        linear.model.weights[1].assign(bias)


def test_equal_pixels_are_taken_in_random_order(classifier: Classifier, seen: np.ndarray) -> None:
    flat = np.zeros((16, 16))
    found = {deletion(classifier, seen[0], flat, 0, seed) for seed in range(3)}
    assert len(found) == 3
    assert deletion(classifier, seen[0], flat, 0, 1) == deletion(classifier, seen[0], flat, 0, 1)
