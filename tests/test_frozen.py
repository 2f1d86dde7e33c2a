"""The copy that is searched computes what the model computes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import foreign
from advcli import linear_head, registry
from advcli.backend import keras, tf
from advcli.frozen import FrozenNetwork

LAYERS = keras.layers


def unsettled(model: Any) -> Any:
    """Give every BatchNorm statistics and weights of a trained network's kind."""
    generator = np.random.default_rng(0)
    for layer in model._flatten_layers():
        if isinstance(layer, LAYERS.BatchNormalization):
            shape = layer.moving_mean.shape
            layer.moving_mean.assign(generator.normal(0, 0.1, shape))
            layer.moving_variance.assign(generator.uniform(0.5, 1.5, shape))
            for weight, low, high in ((layer.gamma, 0.5, 1.5), (layer.beta, -0.1, 0.1)):
                if weight is not None:
                    weight.assign(generator.uniform(low, high, shape))
    return model


def check(model: Any, images: np.ndarray) -> None:
    frozen = FrozenNetwork(model)
    pixels = tf.constant(images)
    outputs, gradients = [], []
    for network in (model, frozen):
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            logits = network(pixels, training=False)
        outputs.append(np.asarray(logits))
        gradients.append(np.asarray(tape.gradient(logits, pixels)))
    scale = np.abs(outputs[0]).max()
    np.testing.assert_allclose(outputs[1] / scale, outputs[0] / scale, atol=1e-5)
    steepest = max(np.abs(gradients[0]).max(), 1e-3)
    np.testing.assert_allclose(gradients[1] / steepest, gradients[0] / steepest, atol=1e-4)


def pictures(edge: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).random((2, edge, edge, channels), dtype=np.float32)


@pytest.mark.parametrize("name", ["mobilenetv2", "resnext50", "small"])
def test_backbones(name: str) -> None:
    keras.utils.set_random_seed(0)
    check(unsettled(registry.build("backbones", name)(5, 32, 3, None)), pictures(32))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["densenet121", "nasnetmobile", "efficientnetb2"])
def test_large_backbones(name: str) -> None:
    keras.utils.set_random_seed(0)
    check(unsettled(registry.build("backbones", name)(5, 32, 3, None)), pictures(32))


@pytest.mark.parametrize("shape", foreign.SHAPES)
@pytest.mark.parametrize("kind", foreign.HEADS)
def test_foreign_models_with_their_softmax_taken_off(shape: str, kind: str) -> None:
    if shape.startswith("sequential") and kind == "function":
        return
    model = foreign.build(shape, kind)
    images = foreign.images()
    assert linear_head.make_linear(model, images) != linear_head.LOGITS
    check(model, images)


def branched(inputs: Any) -> Any:
    """Convolutions whose output is wanted beside the BatchNorm that follows them."""
    x = LAYERS.Conv2D(4, 3, use_bias=False)(inputs)
    return LAYERS.Add()([x, LAYERS.BatchNormalization()(x), LAYERS.BatchNormalization(scale=False)(x)])


def shared(inputs: Any) -> Any:
    """One convolution and one BatchNorm that are called twice each."""
    convolution, normalization = LAYERS.Conv2D(3, 3, padding="same"), LAYERS.BatchNormalization(center=False)
    return normalization(convolution(normalization(convolution(inputs))))


def activated(inputs: Any) -> Any:
    """An activation between a convolution and its BatchNorm, which must not be folded."""
    x = LAYERS.Conv2D(4, 3, strides=2, padding="same", activation="tanh")(inputs)
    return LAYERS.BatchNormalization()(x)


def folded(inputs: Any) -> Any:
    """All that is folded, with and without a bias."""
    x = LAYERS.BatchNormalization()(LAYERS.Conv2D(4, 3, dilation_rate=2)(inputs))
    x = LAYERS.BatchNormalization()(LAYERS.DepthwiseConv2D(3, depth_multiplier=2)(LAYERS.ReLU(max_value=3.0)(x)))
    x = LAYERS.BatchNormalization()(LAYERS.SeparableConv2D(6, 3, use_bias=False, padding="same")(LAYERS.ReLU()(x)))
    x = LAYERS.Concatenate()([x, LAYERS.Activation("sigmoid")(x)])
    x = LAYERS.Flatten()(LAYERS.AveragePooling2D(2)(LAYERS.ZeroPadding2D(((1, 0), (0, 2)))(x)))
    return LAYERS.BatchNormalization()(LAYERS.Dense(7)(LAYERS.Dropout(0.5)(x)))


def operated(inputs: Any) -> Any:
    """Bare operations beside layers."""
    return LAYERS.Conv2D(4, 3)(inputs * 2 - 1) + 0.5


@pytest.mark.parametrize("build", [branched, shared, activated, folded, operated])
@pytest.mark.parametrize("nested", [False, True])
def test_graphs_of_layers(build: Callable[..., Any], nested: bool) -> None:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((12, 12, 3))
    model = keras.Model(inputs, build(inputs))
    if nested:
        outer = keras.Input((12, 12, 3))
        x = model(LAYERS.GaussianNoise(0.3)(outer))
        model = keras.Model(outer, LAYERS.BatchNormalization()(x))
    check(unsettled(model), pictures(12))


def test_two_convolutions_of_one_stride_each_way_are_left_to_keras() -> None:
    model = keras.Sequential([keras.Input((12, 12, 3)), LAYERS.Conv2D(4, 3, strides=(1, 2)), LAYERS.Flatten()])
    check(model, pictures(12))


def test_a_subclass_computes_in_its_own_way() -> None:
    class Negated(keras.Model):
        def call(self, inputs: Any) -> Any:
            return -super().call(inputs)

    inputs = keras.Input((8, 8, 3))
    check(Negated(inputs, LAYERS.Flatten()(LAYERS.Conv2D(2, 3)(inputs))), pictures(8))


def test_half_precision_is_left_to_keras() -> None:
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), LAYERS.Conv2D(4, 3, dtype="mixed_float16"), LAYERS.Flatten(dtype="float32")]
    )
    np.testing.assert_array_equal(FrozenNetwork(model)(pictures(8)), model(pictures(8), training=False))


def test_it_keeps_the_weights_it_was_made_with() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), LAYERS.Conv2D(2, 3), LAYERS.BatchNormalization()])
    frozen = FrozenNetwork(model)
    before = np.asarray(frozen(pictures(8)))
    model.layers[0].kernel.assign(model.layers[0].kernel * 2)
    np.testing.assert_array_equal(frozen(pictures(8)), before)
