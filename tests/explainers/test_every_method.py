"""What holds for every method: models of every shape, batches, seeds, refusals."""

from functools import cache
from typing import Any

import numpy as np
import pytest

import foreign
from advcli import registry
from advcli.backend import keras, tf
from advcli.errors import AdvcliError, UsageError
from advcli.explainers import is_evidence
from advcli.model import output_head
from advcli.model.classifier import Classifier
from advcli.model.introspection import operations
from advcli.model.load import wrap
from conftest import make_classifier

# The networks here have no attention.
METHODS = tuple(
    method for method in registry.names("explainers") if not registry.component("explainers", method).needs_attention
)
PICTURES = ("activation-maximization",)
MAPS = tuple(method for method in METHODS if method not in PICTURES)
# Few draws and steps: what they converge to is tested elsewhere.
QUICK = {"rise": "rise:masks=60", "activation-maximization": "activation-maximization:steps=8"}
RANGE = (0.0, 1.0)
CLASSES = np.array([1, 3, 0])
SHAPES = [(shape, 3) for shape in foreign.SHAPES] + [("flat", 1), ("subclassed", 1), ("lambda", 3), ("augmented", 3)]


def explainer(method: str) -> Any:
    return registry.build("explainers", QUICK.get(method, method))


def foreign_model(shape: str, channels: int, kind: str = "layer") -> Any:
    if shape == "lambda":
        return foreign.build("flat", kind, channels, before=keras.layers.Lambda(lambda x: x * 1.0))
    if shape == "augmented":
        before = keras.Sequential(
            [keras.layers.Rescaling(1.0), keras.layers.RandomFlip(), keras.layers.RandomRotation(0.5)]
        )
        return foreign.build("sequential", kind, channels, before=before)
    return foreign.build(shape, kind, channels)


@pytest.fixture(scope="module", params=SHAPES, ids=lambda one: f"{one[0]} {one[1]}")
def made(request: pytest.FixtureRequest) -> Classifier:
    """A classifier of some shape with a softmax that is taken off."""
    classifier = wrap(foreign_model(*request.param), "m", input_range=RANGE)
    assert classifier.head.name == "softmax removed"
    return classifier


@cache
def on_the_twin(method: str, channels: int) -> np.ndarray:
    """Explain the flat classifier of logits with the same weights."""
    twin = twins(channels)
    return explainer(method)(twin, foreign.images(channels=channels), CLASSES, 0)


@cache
def twins(channels: int) -> Classifier:
    return wrap(foreign.build("flat", "logits", channels), "twin", input_range=RANGE)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_every_model_as_the_flat_one(method: str, made: Classifier) -> None:
    classifier = made
    pictures = foreign.images(channels=classifier.channels)
    before = classifier.predict(pictures)
    relevance = explainer(method)(classifier, pictures, CLASSES, 0)
    size = (3, foreign.EDGE, foreign.EDGE)
    assert relevance.shape == ((*size, classifier.channels) if method in PICTURES else size)
    assert relevance.dtype == np.float32
    assert is_evidence(relevance).all()
    assert (relevance.min() < 0) == explainer(method).signed
    expected = on_the_twin(method, classifier.channels)
    np.testing.assert_allclose(relevance, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    # Whatever a method put into the model is out of it again.
    np.testing.assert_array_equal(classifier.predict(pictures), before)
    assert sum("call" in vars(layer) for layer in operations(classifier.model)) == 1, "the softmax that was taken off"


@pytest.fixture
def flat() -> Classifier:
    return twins(3)


@pytest.mark.parametrize("method", METHODS)
def test_an_image_is_explained_alone_as_among_others_and_the_same_twice(method: str, flat: Classifier) -> None:
    pictures = foreign.images()
    relevance = explainer(method)(flat, pictures, CLASSES, 5)
    assert explainer(method)(flat, pictures, CLASSES, 5).tobytes() == relevance.tobytes()
    one = explainer(method)(flat, pictures[1:2], CLASSES[1:2], 5)[0]
    np.testing.assert_allclose(one, relevance[1], rtol=1e-3, atol=1e-4 * np.abs(relevance).max())
    turned = explainer(method)(flat, pictures[::-1], CLASSES[::-1], 5)[::-1]
    np.testing.assert_allclose(turned, relevance, rtol=1e-3, atol=1e-4 * np.abs(relevance).max())


@pytest.mark.parametrize("method", ["smoothgrad", "rise", "activation-maximization"])
def test_another_seed_gives_other_draws(method: str, flat: Classifier) -> None:
    first, second = (explainer(method)(flat, foreign.images(), CLASSES, seed) for seed in (0, 1))
    assert not np.allclose(first, second)


@pytest.mark.parametrize("method", METHODS)
def test_another_class_and_a_contrast_are_explained_otherwise(method: str, flat: Classifier) -> None:
    pictures = foreign.images(1)
    first, second = (explainer(method)(flat, pictures, np.array([label]), 0) for label in (0, 1))
    ahead = explainer(method)(flat, pictures, np.array([0]), 0, np.array([1]))
    for one, other in ((first, second), (first, ahead), (second, ahead)):
        assert np.abs(one - other).max() > 0.02 * np.abs(one).max()


@pytest.mark.parametrize("method", ["saliency", "smoothgrad", "integrated-gradients", "occlusion"])
def test_a_contrast_is_the_difference_of_two_maps(method: str, flat: Classifier) -> None:
    pictures = foreign.images()
    others = np.array([2, 2, 1])
    first, second = (explainer(method)(flat, pictures, labels, 0) for labels in (CLASSES, others))
    ahead = explainer(method)(flat, pictures, CLASSES, 0, others)
    np.testing.assert_allclose(ahead, first - second, rtol=1e-3, atol=1e-5 * np.abs(first).max())


@cache
def half_blind(side: str) -> Classifier:
    """Return a classifier of which everything but one half of the image is hidden."""
    layers = keras.layers
    edge = foreign.EDGE
    left, right = ((0, edge // 2), (edge // 2, 0)) if side == "right" else ((edge // 2, 0), (0, edge // 2))
    keras.utils.set_random_seed(4)
    image = keras.Input((edge, edge, 3))
    cropped = layers.Cropping2D(((0, 0), (left[1], right[1])))(image)
    hidden = layers.ZeroPadding2D(((0, 0), (left[1], right[1])))(cropped)
    model = keras.Model(image, foreign.chain(hidden, [*foreign.body(), *foreign.head("logits")]))
    return Classifier("m", model, tuple("abcd"), (edge, edge))


# The windows of RISE and of occlusion are wider than a pixel: what they say reaches over the border.
@pytest.mark.parametrize("method", [method for method in MAPS if method != "rise"])
@pytest.mark.parametrize("side", ["left", "right"])
def test_relevance_is_only_where_the_model_looks(method: str, side: str) -> None:
    classifier = half_blind(side)
    spec = {"occlusion": "occlusion:window=1", "scorecam": "scorecam:fill=black"}.get(method, method)
    relevance = np.abs(registry.build("explainers", spec)(classifier, foreign.images(), CLASSES, 0))
    halves = np.split(relevance, 2, axis=2)
    seen, hidden = halves[::-1] if side == "right" else halves
    # A 3 x 3 convolution sees one pixel across the border.
    hidden = hidden[:, :, 1:] if side == "left" else hidden[:, :, :-1]
    assert seen.max() > 0
    assert hidden.max() <= 1e-6 * seen.max()


@cache
def ignorant() -> Classifier:
    """Return a classifier that gives the same scores whatever it sees."""
    model = foreign.build("flat", "logits")
    model.get_layer("scores").kernel.assign(np.zeros((6, foreign.CLASSES)))
    model.get_layer("scores").bias.assign([0.1, 0.7, 0.3, 0.2])
    return wrap(model, "m", input_range=RANGE)


@pytest.mark.parametrize("method", [method for method in MAPS if method != "scorecam"])
def test_a_model_that_ignores_its_input_gives_no_evidence(method: str) -> None:
    relevance = explainer(method)(ignorant(), foreign.images(), CLASSES, 0)
    assert not relevance.any()
    assert not is_evidence(relevance).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_image_of_one_colour_has_no_undefined_values(method: str, value: float, flat: Classifier) -> None:
    picture = np.full((1, foreign.EDGE, foreign.EDGE, 3), value, np.float32)
    assert np.isfinite(explainer(method)(flat, picture, CLASSES[:1], 0)).all()


def test_what_is_evidence() -> None:
    maps = np.zeros((5, 4, 4), np.float32)
    maps[0, 1, 1] = 1e-20
    maps[2] = 3
    maps[3] = 3 + 1e-7 * np.arange(16).reshape(4, 4)
    maps[4, 0, 0] = np.nan
    assert is_evidence(maps).tolist() == [True, False, False, False, False]


def test_a_thousand_images_leave_nothing_behind() -> None:
    classifier = wrap(foreign.build("flat", "logits"), "m", input_range=RANGE)
    methods = {method: explainer(method) for method in METHODS if method not in PICTURES}
    pictures = foreign.images(1005)
    classes = np.arange(1005) % foreign.CLASSES
    quick = ("saliency", "guided-backprop", "gradcam", "gradcam-plus-plus", "layercam")
    for size in (1, 7):
        for method in methods:
            methods[method](classifier, pictures[:size], classes[:size], 0)
    kept = set(classifier._made)
    for start in range(0, len(pictures), 15):
        for method in quick:
            methods[method](classifier, pictures[start : start + 15], classes[start : start + 15], 0)
    functions = [made for made in classifier._made.values() if hasattr(made, "experimental_get_tracing_count")]
    assert len(functions) == 4, "the gradient, the guided gradient, a feature map with its gradient, the scores"
    assert [function.experimental_get_tracing_count() for function in functions] == [1] * len(functions)
    assert set(classifier._made) == kept


def test_more_images_than_a_batch_are_all_explained() -> None:
    classifier = make_classifier("small:width=4", edge=16)
    pictures = foreign.images(300, edge=16)
    classes = np.arange(300) % 4
    for method, size in (("saliency", 16), ("gradcam", 8)):
        relevance = explainer(method)(classifier, pictures, classes, 0)
        assert relevance.shape == (300, size, size)
        last = explainer(method)(classifier, pictures[-1:], classes[-1:], 0)
        np.testing.assert_allclose(relevance[-1:], last, rtol=1e-3, atol=1e-4 * np.abs(last).max())


def test_a_softmax_that_stays_is_explained_through_its_logarithm() -> None:
    class Softmaxed(foreign.Subclassed):
        def call(self, inputs: Any) -> Any:
            return keras.ops.softmax(super().call(inputs) / 100)

    model = Softmaxed(foreign.head("logits"), foreign.body())
    model(foreign.images())
    classifier = wrap(model, "m", input_range=RANGE)
    assert classifier.head == output_head.LOGARITHM
    inputs = tf.constant(foreign.images())
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        score = tf.math.log(tf.gather(model(inputs, training=False), CLASSES, axis=1, batch_dims=1))
    expected = tape.gradient(score, inputs).numpy().sum(axis=-1)
    saliency = explainer("saliency")(classifier, foreign.images(), CLASSES, 0)
    np.testing.assert_allclose(saliency, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())
    for method in METHODS:
        assert is_evidence(explainer(method)(classifier, foreign.images(), CLASSES, 0)).all()


@pytest.mark.parametrize("method", METHODS)
def test_probabilities_are_not_taken_for_logits(method: str) -> None:
    with pytest.raises(AdvcliError, match="'m' returns probabilities instead of logits"):
        explainer(method)(unsuspected(), foreign.images(), CLASSES, 0)


@cache
def unsuspected() -> Classifier:
    """Return a classifier whose softmax nobody has noticed."""
    return Classifier("m", foreign.build("flat", "dense"), tuple("abcd"), (foreign.EDGE, foreign.EDGE))


@pytest.mark.parametrize("shape", foreign.SHAPES)
def test_the_head_is_proven(shape: str) -> None:
    assert wrap(foreign.build(shape, "layer"), "m", input_range=RANGE).proven_head.name == "softmax removed"
    assert wrap(foreign.build(shape, "logits"), "m", input_range=RANGE).proven_head == output_head.LOGITS


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_is_explained(method: str, halved: Classifier) -> None:
    relevance = explainer(method)(halved, foreign.images(), CLASSES, 0)
    assert relevance.dtype == np.float32
    assert is_evidence(relevance).all()


@pytest.fixture(scope="module")
def halved() -> Classifier:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        return wrap(foreign.build("flat", "dense"), "m", input_range=RANGE)
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_the_name_of_the_paper_is_understood() -> None:
    assert type(registry.build("explainers", "GradCAM++:layer=x")) is type(
        registry.build("explainers", "gradcam-plus-plus")
    )
    assert registry.canonical("gradcam++") == "gradcam-plus-plus"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("smoothgrad:samples=0", "samples is less than one: 0"),
        ("smoothgrad:noise=-1", "noise is less than zero: -1"),
        ("integrated-gradients:steps=0", "steps is less than one: 0"),
        ("integrated-gradients:baseline=white", "unknown baseline 'white'"),
        ("scorecam:channels=-1", "channels is less than zero: -1"),
        ("scorecam:fill=red", "unknown fill 'red'"),
        ("occlusion:window=-2", "window is less than zero: -2"),
        ("occlusion:window=4,stride=5", "a stride of 5 leaves gaps"),
        ("occlusion:fill=red", "unknown fill 'red'"),
        ("rise:masks=0", "masks is less than one: 0"),
        ("rise:cells=0", "cells is less than one: 0"),
        ("rise:keep=1", "keep is not a share of the cells: 1"),
        ("rise:fill=red", "unknown fill 'red'"),
        ("activation-maximization:steps=0", "steps is less than one: 0"),
        ("activation-maximization:rate=-1", "rate is less than zero: -1"),
    ],
)
def test_wrong_options_are_refused(spec: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        registry.build("explainers", spec)
