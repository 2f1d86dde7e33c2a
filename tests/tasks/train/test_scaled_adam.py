"""The optimizer with relative steps, against its formula and its purpose."""

import math

import numpy as np

from advcli.backend import KerasModel, keras, tf
from advcli.tasks.train.scaled_adam import filter_axes, make_scaled_adam


def network() -> KerasModel:
    inputs = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(4, 3, use_bias=True, name="plain")(inputs)
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, use_bias=False, name="one_by_one")(x)
    x = keras.layers.SeparableConv2D(5, 2, use_bias=False, name="apart")(x)
    return keras.Model(inputs, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(x)))


def expected(weight: np.ndarray, gradients: list[np.ndarray], axes: tuple[int, ...], rate: float) -> np.ndarray:
    """Follow the formula in float64."""
    weight = weight.astype(np.float64)
    mean = np.zeros_like(weight)
    square = np.zeros_like(weight)
    floor = 1e-3 if weight.ndim == 1 else 1e-5
    for step, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + 0.1 * gradient
        square = 0.999 * square + 0.001 * gradient**2
        corrected = math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        scale = np.maximum(np.sqrt((weight**2).mean(axis=axes, keepdims=True)), floor)
        weight = weight - rate * scale * corrected * mean / (np.sqrt(square) + 1e-7)
    return weight


def test_each_filter_moves_relative_to_its_own_size() -> None:
    keras.utils.set_random_seed(1)
    model = network()
    rng = np.random.default_rng(2)
    for weight in model.weights:
        # The filters of a layer differ in size by orders of magnitude.
        weight.assign(rng.normal(0, 1, weight.shape) * 10.0 ** rng.integers(-3, 3, weight.shape[-1:]))
    axes = {"one_by_one/kernel": (0, 1), "apart/depthwise_kernel": (0, 1)}
    before = {weight.path: weight.numpy() for weight in model.weights}
    gradients = [{path: rng.normal(0, 1, value.shape) for path, value in before.items()} for _ in range(4)]
    optimizer = make_scaled_adam(0.01, 0.0, filter_axes(model))
    optimizer.build(model.trainable_variables)
    for each in gradients:
        optimizer.apply([tf.constant(each[weight.path], tf.float32) for weight in model.trainable_variables])
    for weight in model.weights:
        usual = tuple(range(max(1, weight.shape.rank - 1))) if weight.shape.rank > 1 else (0,)
        of_filter = next((found for end, found in axes.items() if weight.path.endswith(end)), usual)
        found = expected(before[weight.path], [each[weight.path] for each in gradients], of_filter, 0.01)
        np.testing.assert_allclose(weight.numpy(), found, rtol=2e-4, err_msg=weight.path)


def test_the_scale_of_a_filter_changes_nothing_but_its_scale() -> None:
    small, large = (keras.Variable(np.full((3, 2), size, np.float32)) for size in (0.01, 100.0))
    for weight, factor in ((small, 0.01), (large, 100.0)):
        optimizer = make_scaled_adam(0.1, 0.0, {})
        optimizer.build([weight])
        for _ in range(3):
            # A weight that is c times larger has a gradient that is c times smaller.
            optimizer.apply([tf.constant([[1.0, -2.0]] * 3) / factor])
    np.testing.assert_allclose(small.numpy() * 1e4, large.numpy(), rtol=1e-3)


def test_weight_decay_is_decoupled() -> None:
    weight = keras.Variable(np.full((3, 2), 2.0, np.float32))
    optimizer = make_scaled_adam(0.1, 0.5, {})
    optimizer.build([weight])
    optimizer.apply([tf.zeros((3, 2))])
    np.testing.assert_allclose(weight.numpy(), 2.0 * (1 - 0.1 * 0.5), rtol=1e-6)


def test_what_is_zero_moves_too() -> None:
    weights = [keras.Variable(np.zeros(shape, np.float32)) for shape in ((3, 2), (2,))]
    optimizer = make_scaled_adam(0.1, 0.0, {})
    optimizer.build(weights)
    optimizer.apply([tf.ones((3, 2)), tf.ones(2)])
    assert all((weight.numpy() < 0).all() for weight in weights)
