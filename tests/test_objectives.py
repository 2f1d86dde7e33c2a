"""Every objective of the folder, and the two whose formula the article rests on."""

import numpy as np
import pytest

from advcli import registry
from advcli.backend import Tensor, neural_structured_learning, tf
from advcli.model import Classifier
from conftest import make_classifier

OBJECTIVES = registry.names("objectives")


def nudge(images: Tensor, labels: Tensor) -> Tensor:
    return tf.clip_by_value(images + 0.05, 0, 1)


@pytest.fixture
def batch(pictures: np.ndarray) -> tuple[Tensor, Tensor]:
    return tf.constant(pictures), tf.constant([0, 1, 2, 3, 0])


@pytest.mark.parametrize("name", OBJECTIVES)
def test_battery(name: str, batch: tuple[Tensor, Tensor]) -> None:
    classifier = make_classifier()
    objective = registry.build("objectives", name)
    assert isinstance(objective.robust, bool)
    optimizer = tf.keras.optimizers.SGD(0.01)
    values = []
    for _ in range(2):
        with tf.GradientTape() as tape:
            loss, logits = objective(classifier.model, *batch, nudge)
            mean = tf.reduce_mean(loss)
        assert loss.shape == (5,)
        assert logits.shape == (5, 4)
        assert np.isfinite(loss).all()
        weights = classifier.model.trainable_variables
        gradients = tape.gradient(mean, weights)
        assert all(gradient is not None and np.isfinite(gradient).all() for gradient in gradients)
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        values.append(float(mean))
    assert values[1] < values[0]


def cross_entropy(classifier: Classifier, images: Tensor, labels: Tensor) -> np.ndarray:
    logits = classifier.model(images, training=True)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits).numpy()


def test_clean_is_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    classifier = make_classifier()
    loss, _ = registry.build("objectives", "clean")(classifier.model, *batch, nudge)
    np.testing.assert_allclose(loss, cross_entropy(classifier, *batch), rtol=1e-6)


def test_pgd_at_sees_only_what_the_adversary_made(batch: tuple[Tensor, Tensor]) -> None:
    classifier = make_classifier()
    loss, _ = registry.build("objectives", "pgd-at")(classifier.model, *batch, nudge)
    np.testing.assert_allclose(loss, cross_entropy(classifier, nudge(*batch), batch[1]), rtol=1e-6)


@pytest.mark.parametrize("norm", ["infinity", "l2"])
def test_nsl_is_the_clean_loss_and_a_part_of_the_loss_one_step_uphill(norm: str, batch: tuple[Tensor, Tensor]) -> None:
    classifier = make_classifier()
    images, labels = batch
    spec = f"nsl:multiplier=0.3,adv_step_size=0.1,adv_grad_norm={norm}"
    loss, _ = registry.build("objectives", spec)(classifier.model, images, labels, nudge)
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = classifier.model(images, training=True)
        mean = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    gradient = tape.gradient(mean, images)
    if norm == "infinity":
        step = tf.sign(gradient)
    else:
        step = gradient / tf.norm(tf.reshape(gradient, (5, -1)), axis=1)[:, None, None, None]
    neighbour = tf.clip_by_value(images + 0.1 * step, 0, 1)
    expected = cross_entropy(classifier, images, labels) + 0.3 * cross_entropy(classifier, neighbour, labels)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_nsl_keeps_its_neighbours_in_the_box() -> None:
    classifier = make_classifier("linear")
    edge = tf.zeros((2, 8, 8, 3)), tf.constant([0, 1])
    wide, _ = registry.build("objectives", "nsl:adv_step_size=50")(classifier.model, *edge, nudge)
    one, _ = registry.build("objectives", "nsl:adv_step_size=1")(classifier.model, *edge, nudge)
    np.testing.assert_allclose(wide, one, rtol=1e-6)


def test_neural_structured_learning_leaves_tensorflow_as_it_was() -> None:
    import tensorflow

    assert neural_structured_learning().lib.gen_adv_neighbor
    assert not hasattr(tensorflow, "estimator")
