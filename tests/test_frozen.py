"""What is searched computes what the model computes, before and after training."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import foreign
from advcli import registry
from advcli.attacks.pgd import PGD
from advcli.backend import keras, tf
from advcli.model import layer_ops, output_head
from advcli.model.inference import InferenceCopy, TrainingInferenceCopy
from advcli.model.linear_output import make_linear
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Threat
from conftest import make_classifier

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


def passed(network: Callable[..., Any], pixels: Any) -> tuple[Any, Any]:
    """Return a network's outputs and their gradient by the images."""
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        outputs = network(pixels, training=False)
    return outputs, tape.gradient(outputs, pixels)


def compare(ours: tuple[Any, Any], theirs: tuple[Any, Any]) -> None:
    for own, expected, floor in zip(ours, theirs, (0.0, 1e-3), strict=True):
        scale = max(np.abs(expected).max(), floor)
        np.testing.assert_allclose(own / scale, expected / scale, atol=1e-5)


def train(model: Any, images: np.ndarray) -> None:
    """Change weights and statistics by one step that is longer than any of real training."""
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(images, training=True) ** 2)
    gradients = tape.gradient(loss, model.trainable_variables)
    for weight, gradient in zip(model.trainable_variables, gradients, strict=True):
        weight.assign_sub(0.1 * gradient / (tf.norm(gradient) + 1e-6) * (tf.norm(weight) + 0.1))


def check(model: Any, images: np.ndarray) -> None:
    pixels = tf.constant(images)
    before = passed(model, pixels)
    compare(passed(InferenceCopy(model), pixels), before)
    live = tf.function(partial(passed, TrainingInferenceCopy(model)))
    compare(live(pixels), before)
    train(model, images)
    after = passed(model, pixels)
    with pytest.raises(AssertionError):
        compare(before, after)
    compare(live(pixels), after)
    assert live.experimental_get_tracing_count() == 1


def pictures(edge: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(1).random((2, edge, edge, channels), dtype=np.float32)


@pytest.mark.parametrize("name", ["mobilenetv2", "small"])
def test_backbones(name: str) -> None:
    keras.utils.set_random_seed(0)
    check(unsettled(registry.build("backbones", name)(5, 32, 3, None)), pictures(32))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["densenet121", "nasnetmobile", "efficientnetb2", "resnext50"])
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
    assert make_linear(model, images) != output_head.LOGITS
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


def grouped(inputs: Any) -> Any:
    """Convolutions whose gradient TensorFlow has as one operation on some processors only."""
    x = LAYERS.Conv2D(6, 3, groups=3, padding="same", activation="relu")(inputs)
    x = LAYERS.BatchNormalization()(LAYERS.Conv2D(4, 3, groups=2, dilation_rate=2, use_bias=False)(x))
    return LAYERS.Conv2D(4, 3, strides=2, groups=4)(LAYERS.Conv2D(4, 3, dilation_rate=(1, 2))(x))


def operated(inputs: Any) -> Any:
    """Bare operations beside layers."""
    return LAYERS.Conv2D(4, 3)(inputs * 2 - 1) + 0.5


@pytest.mark.parametrize("build", [branched, shared, activated, folded, grouped, operated])
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
    np.testing.assert_array_equal(InferenceCopy(model)(pictures(8)), model(pictures(8), training=False))


@pytest.mark.parametrize("half", ["mixed_float16", "mixed_bfloat16", "float64"])
def test_a_layer_casts_what_it_is_given(half: str) -> None:
    """The guide to mixed precision ends its models in float32, in Dense itself or in a layer of its own."""
    ends = [
        lambda x: LAYERS.Dense(3, activation="softmax")(LAYERS.GlobalAveragePooling2D(dtype=half)(x)),
        lambda x: LAYERS.Dense(3)(LAYERS.Flatten(dtype=half)(LAYERS.BatchNormalization()(LAYERS.Conv2D(4, 3)(x)))),
        lambda x: LAYERS.Flatten()(LAYERS.Add()([x, LAYERS.Conv2D(4, 1, dtype=half)(x)])),
    ]
    for end in ends:
        inputs = keras.Input((8, 8, 3))
        model = keras.Model(inputs, end(LAYERS.Conv2D(4, 3, dtype=half)(inputs)))
        pixels = tf.constant(pictures(8))
        ours, theirs = passed(InferenceCopy(model), pixels), passed(model, pixels)
        for own, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(own, expected, atol=1e-2 * np.abs(expected).max())


def test_a_copy_that_fails_is_not_used(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def wrong(part: Any, kernel: Any) -> Callable[[Any], Any]:
        return lambda x: tf.matmul(x, tf.zeros([1, 1]))

    monkeypatch.setitem(layer_ops._WEIGHTED, "Dense", wrong)
    classifier = make_classifier("linear")
    pixels = np.random.default_rng(0).random((2, 8, 8, 3), dtype=np.float32)
    assert classifier.inference_copy is classifier
    assert "no inference copy" in caplog.text
    assert np.isfinite(
        CompiledAttack(classifier.inference_copy, PGD(steps=2), Threat())(pixels, np.array([0, 1]))[0]
    ).all()


def test_it_keeps_the_weights_it_was_made_with() -> None:
    model = keras.Sequential([keras.Input((8, 8, 3)), LAYERS.Conv2D(2, 3), LAYERS.BatchNormalization()])
    frozen = InferenceCopy(model)
    before = np.asarray(frozen(pictures(8)))
    kernel = model.layers[0].kernel
    kernel.assign(kernel * 2)
    kernel.value.assign_add(kernel)
    np.testing.assert_array_equal(frozen(pictures(8)), before)


def test_held_before_a_loop_it_has_the_weights_of_each_run() -> None:
    classifier = make_classifier("small:width=4")
    kernel = classifier.model.trainable_variables[0]
    pixels = tf.constant(pictures(8))

    @tf.function
    def run() -> tuple[Any, Any]:
        held = classifier.current_copy()
        total = tf.zeros((2, 4))
        for _ in tf.range(3):
            total += held.logits(pixels)
        kernel.assign(kernel * 2)
        return total / 3, held.logits(pixels)

    for _ in range(2):
        before = np.asarray(classifier.logits(pixels))
        in_loop, after_loop = run()
        np.testing.assert_allclose(in_loop, before, atol=1e-5)
        np.testing.assert_allclose(after_loop, before, atol=1e-5)
        assert np.abs(classifier.logits(pixels) - before).max() > 1e-3
    assert run.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("name", ["training_copy", "inference_copy"])
def test_no_weight_gets_a_gradient(name: str) -> None:
    classifier = make_classifier("small:width=4")
    searched = getattr(classifier, name)
    with tf.GradientTape() as tape:
        logits = searched.logits(tf.constant(pictures(8)))
    assert set(tape.gradient(logits, classifier.model.trainable_variables)) == {None}


def test_an_adversary_follows_a_live_classifier_without_being_traced_anew() -> None:
    classifier = make_classifier("small:width=4")
    images, labels, threat = pictures(8), np.zeros(2, np.int32), Threat(eps=0.1)
    compiled_attack = CompiledAttack(classifier.training_copy, PGD(steps=3), threat)
    first, _ = compiled_attack(images, labels)
    train(classifier.model, images)
    second, _ = compiled_attack(images, labels)
    assert compiled_attack.traces == 1
    anew, _ = CompiledAttack(classifier.current_copy(), PGD(steps=3), threat)(images, labels)
    np.testing.assert_allclose(second, anew, atol=1e-5)
    assert np.abs(second - first).max() > 1e-2


def test_frozen_while_something_is_traced_it_can_be_used_after() -> None:
    classifier = make_classifier("small:width=4")
    pixels = tf.constant(pictures(8))
    inside = tf.function(lambda: classifier.inference_copy.logits(pixels))()
    np.testing.assert_allclose(classifier.inference_copy.logits(pixels), inside, atol=1e-6)
