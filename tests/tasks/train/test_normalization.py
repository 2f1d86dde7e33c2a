"""BatchNorm by one operation: what Keras' own computes, its gradients and its statistics."""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from advcli.backend import keras, tf
from advcli.tasks.train.fused_batchnorm import fused_normalization
from advcli.tasks.train.proof import pass_agrees


def network(**options: Any) -> Any:
    inputs = keras.Input((5, 6, 3))
    x = keras.layers.BatchNormalization(momentum=0.7, **options)(keras.layers.Conv2D(4, 2)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    for i, weight in enumerate(model.weights):
        weight.assign(np.random.default_rng(i).uniform(0.5, 1.5, weight.shape))
    return model


def step(model: Any, images: Any, training: bool = True) -> list[np.ndarray]:
    """Return outputs, gradients by weights and images, and what becomes of the statistics."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = model(images, training=training)
        loss = tf.reduce_sum(tf.sin(outputs))
    gradients = tape.gradient(loss, [*model.trainable_variables, images])
    return [value.numpy() for value in (outputs, *gradients, *model.non_trainable_variables)]


@pytest.mark.parametrize("count", [7, 1])
def test_it_is_what_keras_computes(count: int) -> None:
    images = tf.random.stateless_normal((count, 5, 6, 3), (0, 1), 3.0, 2.0)
    expected, found = network(), network()
    for _ in range(2):
        own = step(expected, images)
        with fused_normalization(found):
            fused = step(found, images)
        for one, other in zip(own, fused, strict=True):
            np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)
    assert not np.allclose(expected.layers[2].moving_variance, network().layers[2].moving_variance)


def test_it_is_one_operation_and_only_in_the_block() -> None:
    model = network()

    def operations() -> set[str]:
        traced = tf.function(lambda images: model(images, training=True))
        return {
            operation.type for operation in traced.get_concrete_function(tf.zeros((2, 5, 6, 3))).graph.get_operations()
        }

    with fused_normalization(model):
        assert "FusedBatchNormV3" in operations()
    assert "FusedBatchNormV3" not in operations()


@pytest.mark.parametrize("frozen", [True, False])
def test_in_inference_mode_or_frozen_it_leaves_the_statistics(frozen: bool) -> None:
    model = network()
    model.layers[2].trainable = not frozen
    images = tf.random.stateless_normal((7, 5, 6, 3), (0, 1), 3.0, 2.0)
    expected = step(model, images, training=frozen)
    with fused_normalization(model):
        found = step(model, images, training=frozen)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(other, one)


def test_what_has_no_scale_is_left_to_keras() -> None:
    model = network(scale=False)
    own = model.layers[2].call
    with fused_normalization(model):
        assert model.layers[2].call == own


def test_a_form_of_another_result_is_not_proven() -> None:
    images = tf.random.stateless_normal((4, 5, 6, 3), (0, 1), 3.0, 2.0)
    model = network()
    before = [variable.numpy() for variable in model.variables]
    assert pass_agrees(model, images, lambda: fused_normalization(model), 1e-3)

    @contextlib.contextmanager
    def slower_statistics() -> Iterator[None]:
        layer = model.layers[2]
        layer.momentum = 0.69
        yield
        layer.momentum = 0.7

    @contextlib.contextmanager
    def other_outputs() -> Iterator[None]:
        model.layers[2].epsilon = 1.0
        yield
        model.layers[2].epsilon = 1e-3

    assert not pass_agrees(model, images, slower_statistics, 1e-3)
    assert not pass_agrees(model, images, other_outputs, 1e-3)
    for variable, value in zip(model.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_means_of_zero_are_the_same_but_for_rounding() -> None:
    inputs = x = keras.Input((8, 8, 32))
    for _ in range(3):
        # The mean of a linear function of normalized values is that of rounding errors.
        x = keras.layers.BatchNormalization()(keras.layers.Conv2D(64, 1, use_bias=False)(x))
    model = keras.Model(inputs, x)
    images = tf.random.stateless_normal((16, 8, 8, 32), (0, 1), 3.0, 2.0)
    assert pass_agrees(model, images, lambda: fused_normalization(model), 1e-3)

    @contextlib.contextmanager
    def other_means() -> Iterator[None]:
        layer = model.layers[-1]
        own = layer.call

        def call(*arguments: Any, **options: Any) -> Any:
            outputs = own(*arguments, **options)
            layer.moving_mean.assign_add(tf.fill(layer.moving_mean.shape, 0.01))
            return outputs

        layer.call = call
        yield
        del layer.call

    assert not pass_agrees(model, images, other_means, 1e-3)


def test_dropout_is_the_same_in_both_passes() -> None:
    inputs = keras.Input((5, 6, 3))
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(0.5)(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    images = tf.random.stateless_normal((4, 5, 6, 3), (0, 1), 3.0, 2.0)
    assert pass_agrees(model, images, lambda: fused_normalization(model), 1e-3)
