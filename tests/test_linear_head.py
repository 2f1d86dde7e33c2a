from typing import Any

import numpy as np
import pytest

import foreign
from advcli.backend import keras, tf
from advcli.model import output_head
from advcli.model.load import wrap


@pytest.mark.parametrize("kind", foreign.HEADS)
@pytest.mark.parametrize("shape", foreign.SHAPES)
def test_a_softmax_is_found_and_taken_off(shape: str, kind: str) -> None:
    if shape.startswith("subclassed") and kind == "function":
        pytest.skip("a softmax that is no part of the model cannot be taken off")
    model = foreign.build(shape, kind)
    pictures = foreign.images()
    before = model(pictures, training=False).numpy()
    classifier = wrap(model, "m", input_range=(0, 1))
    assert classifier.head.name == "softmax removed"
    logits = classifier.logits(tf.constant(pictures)).numpy()
    np.testing.assert_allclose(tf.nn.softmax(logits), before, atol=1e-5)
    np.testing.assert_allclose(classifier.predict(pictures), before, atol=1e-5)
    # The very logits, not merely something with the same softmax.
    twin = foreign.build(shape, "logits")
    np.testing.assert_allclose(logits, twin(pictures, training=False), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", foreign.SHAPES)
def test_logits_are_left_alone(shape: str) -> None:
    model = foreign.build(shape, "logits")
    before = model(foreign.images(), training=False).numpy()
    classifier = wrap(model, "m", input_range=(0, 1))
    assert classifier.head == output_head.LOGITS
    np.testing.assert_array_equal(classifier.logits(tf.constant(foreign.images())), before)


@pytest.mark.parametrize("activation", ["relu", "softplus", "log_softmax"])
def test_logits_that_happen_to_have_one_sign_are_left_alone(activation: str) -> None:
    model = foreign.build("flat", "logits", before=keras.layers.Rescaling(0.01))
    model = keras.Model(model.inputs[0], keras.layers.Activation(activation)(model.outputs[0]))
    assert wrap(model, "m", input_range=(0, 1)).head == output_head.LOGITS


def test_the_gradient_comes_back_where_the_model_is_sure() -> None:
    model = foreign.build("flat", "dense")
    scores = model.get_layer("scores")
    scores.kernel.assign(scores.kernel * 50)
    pictures = tf.constant(foreign.images())

    def gradient(function: Any) -> float:
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            score = tf.reduce_max(function(pictures), axis=1)
        return float(tf.reduce_max(tf.abs(tape.gradient(score, pictures))))

    assert gradient(model) < 1e-6
    assert gradient(wrap(model, "m", input_range=(0, 1)).logits) > 1


class SoftmaxInCall(foreign.Subclassed):
    def call(self, inputs: Any) -> Any:
        return keras.ops.softmax(super().call(inputs))


def _share(scores: Any) -> Any:
    positive = keras.ops.sigmoid(scores / 100)
    return positive / keras.ops.sum(positive, axis=-1, keepdims=True)


def _softmax_in_call() -> Any:
    model = SoftmaxInCall(foreign.head("logits"), foreign.body())
    model(foreign.images())
    return model


def _normalised() -> Any:
    model = foreign.build("flat", "logits")
    return keras.Model(model.inputs[0], _share(model.outputs[0]))


@pytest.mark.parametrize("build", [_softmax_in_call, _normalised])
def test_other_probabilities_become_their_logarithm(build: Any) -> None:
    model = build()
    before = model(foreign.images(), training=False).numpy()
    classifier = wrap(model, "m", input_range=(0, 1))
    assert classifier.head == output_head.LOGARITHM
    np.testing.assert_allclose(classifier.predict(foreign.images()), before, atol=1e-6)
    np.testing.assert_allclose(
        classifier.logits(tf.constant(foreign.images())), np.log(np.maximum(before, 1e-30)), rtol=1e-5
    )
    np.testing.assert_array_equal(model(foreign.images(), training=False), before)


def _with_attention(scale: float) -> Any:
    layers = keras.layers
    keras.utils.set_random_seed(3)
    image = keras.Input((foreign.EDGE, foreign.EDGE, 3))
    features = foreign.chain(image, foreign.body())
    weighed = layers.Multiply()([features, layers.Softmax(name="attention")(layers.Dense(6)(features))])
    initializer = keras.initializers.RandomNormal(stddev=scale, seed=1)
    return keras.Model(image, layers.Dense(4, activation="softmax", kernel_initializer=initializer)(weighed))


@pytest.mark.parametrize("scale", [0.0, 1e-4, 30.0])
def test_a_softmax_further_up_stays(scale: float) -> None:
    model = _with_attention(scale)
    before = model(foreign.images(), training=False).numpy()
    classifier = wrap(model, "m", input_range=(0, 1))
    assert classifier.head.name == "softmax removed"
    np.testing.assert_allclose(classifier.predict(foreign.images()), before, atol=1e-6)
    assert "call" not in vars(model.get_layer("attention"))
    assert model.layers[-1].activation is keras.activations.linear


def test_half_precision_is_verified_at_its_own_precision() -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = foreign.build("flat", "dense")
    finally:
        keras.mixed_precision.set_global_policy("float32")
    classifier = wrap(model, "m", input_range=(0, 1))
    assert classifier.head.name == "softmax removed"
    assert classifier.logits(tf.constant(foreign.images())).dtype == tf.float32


@pytest.mark.parametrize("kind", ["one sigmoid", "one sigmoid operation", "one sigmoid in its code", "one logit"])
def test_both_classes_of_one_output_can_be_explained(kind: str) -> None:
    """What speaks for one class speaks as much against the other."""
    build, input_range = foreign.ZOO[kind]
    pictures = tf.constant(foreign.images())
    scores = (model := build())(pictures, training=False).numpy()
    classifier = wrap(model, "m", input_range=input_range)
    expected = scores if kind != "one logit" else 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(tf.nn.softmax(classifier.logits(pictures))[:, 1:], expected, atol=1e-5)
    gradients = []
    for number in range(2):
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            logit = classifier.logits(pictures)[:, number]
        gradients.append(tape.gradient(logit, pictures).numpy())
    assert np.abs(gradients[0]).max(axis=(1, 2, 3)).min() > 0
    np.testing.assert_array_equal(gradients[0], -gradients[1])


@pytest.mark.parametrize("bias", [-40.0, -6.0, 6.0, 40.0])
def test_one_sigmoid_that_is_sure_of_the_same_class_on_all_images_is_no_logit(bias: float) -> None:
    model = foreign.ZOO["one sigmoid in its code"][0]()
    pictures = tf.constant(foreign.images())
    model(pictures)
    model.scores.bias.assign([bias])
    model.scores.kernel.assign(tf.abs(model.scores.kernel) * np.sign(bias) * 0.01)
    scores = model(pictures, training=False).numpy()
    classifier = wrap(model, "m", input_range=(0, 1))
    assert classifier.head.name == "inverse of its sigmoid"
    np.testing.assert_allclose(tf.nn.softmax(classifier.logits(pictures))[:, 1:], scores, atol=1e-5)
