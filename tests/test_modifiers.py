"""Every modifier of the folder, held to what a modifier must do, and each to its own formula."""

from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.modifiers import Penalty, WeightPerturbation
from advcli.threat.inner_maximization import InnerMaximization
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier, make_inner_maximization

NAMES = registry.names("modifiers")
LABELS = np.array([0, 1, 2, 3, 0], np.int32)


def build(spec: str) -> Any:
    return registry.build("modifiers", spec)


def mean_loss(model: Any, images: Tensor, labels: Tensor) -> Tensor:
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True)))


def update(modifier: Any, classifier: Classifier, images: Tensor, labels: Tensor, inner: InnerMaximization) -> Any:
    """Return the loss and its gradients, both as the modifier makes them."""
    model, weights = classifier.model, classifier.model.trainable_variables
    with tf.GradientTape() as tape:
        total = mean_loss(model, images, labels)
        if isinstance(modifier, Penalty):
            total += tf.reduce_mean(modifier.penalty(model, inner, images, labels))
    gradients = tape.gradient(total, weights)
    if not isinstance(modifier, WeightPerturbation):
        return total, gradients
    moves = modifier.displacement(weights, gradients)
    for weight, move in zip(weights, moves, strict=True):
        weight.assign_add(move)
    with tf.GradientTape() as tape:
        total = mean_loss(model, images, labels)
    gradients = tape.gradient(total, weights)
    for weight, move in zip(weights, moves, strict=True):
        weight.assign_sub(move)
    return total, gradients


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_battery(name: str, channels: int) -> None:
    modifier, classifier = build(name), make_classifier(channels=channels)
    assert isinstance(modifier, Penalty) != isinstance(modifier, WeightPerturbation)
    assert set(modifier.uses) <= {"eps"}
    assert set(modifier.norms) <= set(Norm)
    signature = [
        tf.TensorSpec((None, 8, 8, channels), tf.float32),
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((None, 2), tf.int32),
        tf.TensorSpec((), tf.float32),
    ]

    @tf.function(input_signature=signature)
    def step(images: Tensor, labels: Tensor, seeds: Tensor, eps: Tensor) -> Any:
        plain = make_inner_maximization(classifier, Threat())
        inner = InnerMaximization(plain.logits, plain.attack, Threat(eps=eps), ImageRng(seeds))  # pyright: ignore[reportArgumentType]  a radius that grows
        plainly = mean_loss(classifier.model, images, labels)
        return plainly, *update(modifier, classifier, images, labels, inner)

    pictures = np.random.default_rng(3).uniform(0.3, 0.7, (5, 8, 8, channels)).astype(np.float32)
    seeds = np.arange(10, dtype=np.int32).reshape(5, 2)
    optimizer = tf.keras.optimizers.SGD(0.01)
    values = []
    for _ in range(4):
        plainly, total, gradients = step(pictures, LABELS, seeds, 0.05)
        assert float(total) > float(plainly) + 1e-5, "it adds nothing"
        for gradient in gradients:
            assert np.isfinite(gradient).all()
            assert np.abs(gradient).max() > 0
        optimizer.apply_gradients(zip(gradients, classifier.model.trainable_variables, strict=True))
        values.append(float(total))
    assert values[-1] < values[0]
    step(pictures[:3], LABELS[:3], seeds[:3], 0.02)
    assert step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("spec", ["awp:gamma=0", "awp:gamma=-1", "gradalign:weight=0"])
def test_values_without_a_meaning_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        build(spec)


def test_awp_moves_each_weight_uphill_by_a_fraction_of_its_norm() -> None:
    weights = make_classifier().model.trainable_variables
    generator = np.random.default_rng(0)
    for weight in weights:
        weight.assign(generator.normal(size=weight.shape))
    gradients = [tf.constant(generator.normal(size=weight.shape), tf.float32) for weight in weights]
    moves = build("awp:gamma=0.02").displacement(weights, gradients)
    assert {len(weight.shape) for weight in weights} == {1, 2, 4}
    for weight, gradient, move in zip(weights, gradients, moves, strict=True):
        w, g, v = weight.numpy().astype(float), gradient.numpy(), np.asarray(move)
        assert v.shape == w.shape
        if v.ndim == 1:
            assert not v.any()
        else:
            np.testing.assert_allclose(v, 0.02 * np.linalg.norm(w) * g / np.linalg.norm(g), rtol=1e-5)


def test_awp_leaves_a_weight_without_a_gradient() -> None:
    weight = tf.Variable(np.ones((3, 3), np.float32))
    (move,) = build("awp").displacement([weight], [tf.zeros((3, 3))])
    assert not np.asarray(move).any()


class Spy:
    """A network that keeps what it was asked."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.asked: list[tuple[np.ndarray, bool]] = []

    def __call__(self, images: Tensor, training: bool) -> Tensor:
        self.asked.append((np.asarray(images), training))
        return self.model(images, training=training)


def curved() -> Classifier:
    """Logistic regression: four classes bend the slope of its loss, and the slope has a formula."""
    classifier = make_classifier("linear")
    kernel, bias = classifier.model.trainable_variables
    generator = np.random.default_rng(2)
    kernel.assign(generator.normal(0, 0.3, kernel.shape))
    bias.assign(generator.normal(0, 0.3, bias.shape))
    return classifier


def slopes(kernel: np.ndarray, bias: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The gradient of each image's cross-entropy in logistic regression, by its formula."""
    logits = images.reshape(len(images), -1).astype(float) @ kernel + bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (odds / odds.sum(axis=1, keepdims=True) - np.eye(4)[LABELS]) @ kernel.T


def cosine(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return (first * second).sum(axis=1) / np.linalg.norm(first, axis=1) / np.linalg.norm(second, axis=1)


def test_gradalign_is_the_angle_between_two_slopes(pictures: np.ndarray) -> None:
    classifier, images = curved(), tf.constant(pictures)
    inner = make_inner_maximization(classifier, Threat(eps=0.1))
    spy, modifier = Spy(classifier.model), build("gradalign:weight=0.5")
    kernel, bias = classifier.model.trainable_variables
    with tf.GradientTape() as tape:
        penalty = modifier.penalty(spy, inner, images, tf.constant(LABELS))
        total = tf.reduce_sum(penalty)
    (at, _), (near, _) = spy.asked
    np.testing.assert_array_equal(at, pictures)
    assert 0.09 < np.abs(near - pictures).max() <= 0.1 + 1e-6
    weights = [kernel.numpy().astype(float), bias.numpy().astype(float)]
    first, second = slopes(weights[0], weights[1], at), slopes(weights[0], weights[1], near)
    np.testing.assert_allclose(penalty, 0.5 * (1 - cosine(first, second)), rtol=1e-3, atol=1e-6)
    assert penalty.numpy().max() > 1e-4

    # Through the second slope alone: the first is held where it was.
    gradients = tape.gradient(total, [kernel.value, bias.value])
    for which, index in ((0, 0), (0, 37), (0, 500), (1, 2)):
        values = []
        for sign in (1, -1):
            moved = [weight.copy() for weight in weights]
            moved[which].flat[index] += sign * 1e-5
            values.append((0.5 * (1 - cosine(first, slopes(moved[0], moved[1], near)))).sum())
        assert gradients[which].numpy().flat[index] == pytest.approx((values[0] - values[1]) / 2e-5, rel=0.01, abs=1e-6)


def test_gradalign_does_not_draw_what_the_objective_beside_it_draws(pictures: np.ndarray) -> None:
    classifier = make_classifier()
    inner, spy = make_inner_maximization(classifier, Threat(eps=0.1)), Spy(classifier.model)
    build("gradalign").penalty(spy, inner, tf.constant(pictures), tf.constant(LABELS))
    noise = (spy.asked[1][0] - pictures) / 0.1
    for rng in (inner.rng, inner.rng.fold(0), inner.rng.fold(1)):
        other = rng.uniform([8, 8, 3], -1.0, 1.0).numpy()
        assert abs(np.corrcoef(noise.ravel(), other.ravel())[0, 1]) < 0.2


def test_gradalign_is_zero_where_the_slope_never_turns(pictures: np.ndarray) -> None:
    classifier = make_classifier("linear", classes=2)
    kernel, _ = classifier.model.trainable_variables
    kernel.assign(np.random.default_rng(2).normal(0, 0.1, kernel.shape))
    labels = tf.constant([0, 1, 0, 1, 0])
    arguments = make_inner_maximization(classifier, Threat(eps=0.1)), tf.constant(pictures), labels
    np.testing.assert_allclose(build("gradalign").penalty(classifier.model, *arguments), 0, atol=1e-6)


@pytest.mark.parametrize("bias", [0.0, 60.0, 200.0])
def test_gradalign_leaves_images_without_a_slope(bias: float, pictures: np.ndarray) -> None:
    # Without weights there is no slope; where the network is sure, float32 has its squares no more, or not itself.
    classifier = make_classifier("linear")
    kernel, offset = classifier.model.trainable_variables
    if bias:
        kernel.assign(np.random.default_rng(2).normal(0, 0.1, kernel.shape))
        offset.assign([bias, 0, 0, 0])
    labels = tf.zeros(5, tf.int32)
    with tf.GradientTape() as tape:
        penalty = build("gradalign").penalty(
            classifier.model, make_inner_maximization(classifier, Threat(eps=0.1)), tf.constant(pictures), labels
        )
    gradient = tape.gradient(penalty, kernel.value)
    assert np.isfinite(penalty).all()
    assert np.isfinite(gradient).all()
    if bias != 60:
        assert not np.asarray(penalty).any()
        assert not np.asarray(gradient).any()
    else:
        assert np.asarray(penalty).all()


def test_gradalign_can_be_brought_down(pictures: np.ndarray) -> None:
    classifier, optimizer = make_classifier(), tf.keras.optimizers.SGD(0.02)
    arguments = make_inner_maximization(classifier, Threat(eps=0.1)), tf.constant(pictures), tf.constant(LABELS)
    weights, values = classifier.model.trainable_variables, []
    for _ in range(20):
        with tf.GradientTape() as tape:
            total = tf.reduce_mean(build("gradalign:weight=1").penalty(classifier.model, *arguments))
        optimizer.apply_gradients(zip(tape.gradient(total, weights), weights, strict=True))
        values.append(float(total))
    assert values[0] > 1e-3
    assert values[-1] < 0.9 * values[0]
