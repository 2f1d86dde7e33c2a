"""The gradient by the image is TensorFlow's own."""

import numpy as np
import pytest

from advcli.backend import tf
from advcli.model.conv_gradient import of_few_channels


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(12, 12), (13, 10), (11, 17)])
@pytest.mark.parametrize("kernel", [(1, 1, 3, 5), (2, 3, 1, 4), (3, 3, 3, 6), (4, 4, 1, 3), (7, 7, 2, 4)])
def test_values_and_gradients(kernel: tuple[int, ...], size: tuple[int, int], stride: int, padding: str) -> None:
    generator = np.random.default_rng(0)
    weights = generator.normal(size=kernel).astype(np.float32)
    images = tf.constant(generator.normal(size=(2, *size, kernel[2])), tf.float32)
    ours = of_few_channels(tf.constant(weights), stride, padding)
    results = []
    for convolve in (ours, lambda x: tf.nn.conv2d(x, weights, stride, padding)):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = convolve(images)
            total = tf.reduce_sum(outputs**2)
        results.append((outputs, tape.gradient(total, images)))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_allclose(results[0][1], results[1][1], rtol=1e-4, atol=1e-3)
