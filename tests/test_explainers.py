from typing import Any

import numpy as np
import pytest

import foreign
from advcli import linear_head, registry
from advcli.backend import keras, tf
from advcli.errors import AdvcliError, UsageError
from advcli.explainers import Shown
from advcli.explainers._feature_map import feature_map
from advcli.explainers.gradcam import GradCAM, _by_recording, _by_tf_keras_vis, _is_flat
from advcli.explainers.saliency import Saliency
from advcli.layers import operations
from advcli.model import Classifier, wrap
from conftest import make_classifier

METHODS = registry.names("explainers")
RANGE = (0.0, 1.0)
CLASSES = np.array([1, 3, 0])


def classify(model: Any, edge: int = foreign.EDGE, channels: int = 3) -> Classifier:
    return Classifier("m", model, tuple("abcdefghij")[: model.output_shape[-1]], edge, channels)


def half_blind(side: str) -> Classifier:
    """Return a classifier of which everything but one half of the image is hidden."""
    layers = keras.layers
    edge = foreign.EDGE
    left, right = ((0, edge // 2), (edge // 2, 0)) if side == "right" else ((edge // 2, 0), (0, edge // 2))
    keras.utils.set_random_seed(4)
    image = keras.Input((edge, edge, 3))
    cropped = layers.Cropping2D(((0, 0), (left[1], right[1])))(image)
    hidden = layers.ZeroPadding2D(((0, 0), (left[1], right[1])))(cropped)
    return classify(keras.Model(image, foreign.chain(hidden, [*foreign.body(), *foreign.head("logits")])))


SHAPES = [(shape, 3) for shape in foreign.SHAPES] + [("flat", 1), ("subclassed", 1)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("shape", "channels"), SHAPES)
def test_every_method_explains_every_model(method: str, shape: str, channels: int) -> None:
    classifier = wrap(foreign.build(shape, "layer", channels), "m", input_range=RANGE)
    explainer = registry.build("explainers", method)
    pictures = foreign.images(channels=channels)
    before = classifier.predict(pictures)
    relevance = explainer(classifier, pictures, CLASSES, 0)
    assert relevance.shape == (3, foreign.EDGE, foreign.EDGE)
    assert relevance.dtype == np.float32
    assert np.isfinite(relevance).all()
    assert np.abs(relevance).max() > 0
    assert explainer(classifier, pictures, CLASSES, 0).tobytes() == relevance.tobytes()
    one = explainer(classifier, pictures[1:2], CLASSES[1:2], 0)[0]
    np.testing.assert_allclose(one, relevance[1], rtol=1e-3, atol=1e-4 * np.abs(relevance).max())
    # Whatever a method put into the model is out of it again.
    np.testing.assert_array_equal(classifier.predict(pictures), before)
    assert sum("call" in vars(layer) for layer in operations(classifier.model)) == 1, "the softmax that was taken off"


@pytest.mark.parametrize("method", METHODS)
def test_another_class_is_explained_otherwise(method: str) -> None:
    classifier = classify(foreign.build("flat", "logits"))
    explainer = registry.build("explainers", method)
    first, second = (explainer(classifier, foreign.images(1), np.array([label]), 0) for label in (0, 1))
    assert np.abs(first - second).max() > 0.1 * np.abs(first).max()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_relevance_is_only_where_the_model_looks(method: str, side: str) -> None:
    classifier = half_blind(side)
    relevance = np.abs(registry.build("explainers", method)(classifier, foreign.images(), CLASSES, 0))
    halves = np.split(relevance, 2, axis=2)
    seen, hidden = halves[::-1] if side == "right" else halves
    # A 3 x 3 convolution sees one pixel across the border.
    hidden = hidden[:, :, 1:] if side == "left" else hidden[:, :, :-1]
    assert seen.max() > 0
    assert hidden.max() <= 1e-6 * seen.max()


def gradient(function: Any, pictures: np.ndarray) -> np.ndarray:
    """Differentiate the scores of CLASSES by the pixels, in double steps of plain TensorFlow."""
    inputs = tf.constant(pictures)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        score = tf.gather(function(inputs), CLASSES, axis=1, batch_dims=1)
    return tape.gradient(score, inputs).numpy().sum(axis=-1)


@pytest.mark.parametrize(("shape", "channels"), SHAPES)
def test_saliency_is_the_gradient(shape: str, channels: int) -> None:
    model = foreign.build(shape, "logits", channels)
    pictures = foreign.images(channels=channels)
    relevance = Saliency()(wrap(model, "m", input_range=RANGE), pictures, CLASSES, 0)
    expected = gradient(lambda x: model(x, training=False), pictures)
    np.testing.assert_allclose(relevance, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("kind", foreign.HEADS)
@pytest.mark.parametrize("low_high", [(0.0, 255.0), (-1.0, 1.0)])
def test_saliency_is_that_of_logits_and_of_pixels_from_0_to_1(low_high: tuple[float, float], kind: str) -> None:
    low, high = low_high
    scaling = keras.layers.Rescaling(1 / (high - low), -low / (high - low))
    classifier = wrap(foreign.build("flat", kind, before=scaling), "m", input_range=low_high)
    assert classifier.head == linear_head.REMOVED
    twin = foreign.build("flat", "logits")
    expected = gradient(lambda x: twin(x, training=False), foreign.images())
    relevance = Saliency()(classifier, foreign.images(), CLASSES, 0)
    # The twin's weights are the same, the pixels' way to 0 .. 255 and back is rounded.
    np.testing.assert_allclose(relevance, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_a_softmax_that_stays_is_explained_through_its_logarithm() -> None:
    class Softmaxed(foreign.Subclassed):
        def call(self, inputs: Any) -> Any:
            return keras.ops.softmax(super().call(inputs) / 100)

    model = Softmaxed(foreign.head("logits"), foreign.body())
    model(foreign.images())
    classifier = wrap(model, "m", input_range=RANGE)
    assert classifier.head == linear_head.LOGARITHM
    expected = gradient(lambda x: tf.math.log(model(x, training=False)), foreign.images())
    np.testing.assert_allclose(
        Saliency()(classifier, foreign.images(), CLASSES, 0), expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max()
    )
    assert GradCAM()(classifier, foreign.images(), CLASSES, 0).max() > 0


def class_activation(model: Any, layer: str, pictures: np.ndarray) -> np.ndarray:
    """Compute Grad-CAM from its paper's equations 1 and 2, with a model cut open at a layer."""
    cut = keras.Model(model.inputs[0], [model.get_layer(layer).output, model.outputs[0]])
    with tf.GradientTape() as tape:
        feature, scores = cut(pictures, training=False)
        tape.watch(feature)
        again = keras.Model(model.get_layer(layer).output, model.outputs[0])(feature, training=False)
        score = tf.gather(again, CLASSES, axis=1, batch_dims=1)
    np.testing.assert_allclose(again, scores, rtol=1e-5)
    derivative = tape.gradient(score, feature).numpy()
    cells = derivative.shape[1] * derivative.shape[2]
    weights = derivative.sum(axis=(1, 2)) / cells
    return np.maximum(np.einsum("nijk,nk->nij", feature.numpy(), weights), 0)


def test_gradcam_is_that_of_the_paper() -> None:
    model = foreign.build("flat", "logits")
    expected = class_activation(model, "relu", foreign.images())
    relevance = GradCAM()(classify(model), foreign.images(), CLASSES, 0)
    assert expected.max() > 0
    np.testing.assert_allclose(relevance, expected, rtol=1e-5, atol=1e-5 * expected.max())


def test_gradcam_is_enlarged_with_pixels_as_areas() -> None:
    classifier = make_classifier("small:width=8", edge=28)
    pictures = foreign.images(edge=28)
    shown = GradCAM().shown(classifier)
    coarse = class_activation(classifier.model, shown.layer, pictures)
    assert coarse.shape[1:] == (shown.rows, shown.columns) == (7, 7)
    expected = tf.image.resize(coarse[..., None], (28, 28))[..., 0]
    relevance = GradCAM()(classifier, pictures, CLASSES, 0)
    np.testing.assert_allclose(relevance, expected, rtol=1e-4, atol=1e-5 * coarse.max())


@pytest.mark.parametrize("shape", foreign.SHAPES)
def test_gradcam_does_not_depend_on_how_a_model_is_built(shape: str) -> None:
    flat = GradCAM()(classify(foreign.build("flat", "logits")), foreign.images(), CLASSES, 0)
    classifier = wrap(foreign.build(shape, "dense"), "m", input_range=RANGE)
    np.testing.assert_allclose(
        GradCAM()(classifier, foreign.images(), CLASSES, 0), flat, rtol=1e-3, atol=1e-4 * flat.max()
    )
    assert GradCAM().shown(classifier) == Shown("relu", foreign.EDGE, foreign.EDGE)


def test_both_ways_to_gradcam_agree() -> None:
    classifier = make_classifier("small:width=8", edge=16)
    shown = feature_map(classifier)
    inputs = tf.constant(foreign.images(edge=16))
    assert _is_flat(classifier, shown)
    np.testing.assert_allclose(
        _by_recording(classifier, inputs, CLASSES, shown),
        _by_tf_keras_vis(classifier, inputs, CLASSES, shown),
        rtol=1e-5,
        atol=1e-7,
    )


def test_half_precision_is_explained() -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        classifier = wrap(foreign.build("flat", "dense"), "m", input_range=RANGE)
    finally:
        keras.mixed_precision.set_global_policy("float32")
    for method in METHODS:
        relevance = registry.build("explainers", method)(classifier, foreign.images(), CLASSES, 0)
        assert relevance.dtype == np.float32
        assert np.abs(relevance).max() > 0


def shown_by(*layers: Any, edge: int = 32) -> Shown:
    image = keras.Input((edge, edge, 3))
    return GradCAM().shown(classify(keras.Model(image, foreign.chain(image, list(layers))), edge))


def _conv(name: str, width: int = 8, stride: int = 1, **options: Any) -> Any:
    return keras.layers.Conv2D(width, 3, stride, padding="same", name=name, **options)


def _end() -> list[Any]:
    return [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4)]


class _Residual(keras.layers.Layer):
    """A block that says nothing of its shortcut."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.branch = _conv("branch")

    def call(self, inputs: Any) -> Any:
        return tf.nn.relu(inputs + self.branch(inputs))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        pytest.param(
            lambda: [_conv("a", stride=2), keras.layers.ReLU(name="fine"), _conv("b", stride=4), keras.layers.ReLU()],
            Shown("fine", 16, 16),
            id="4 x 4 is too coarse if there is a finer one",
        ),
        pytest.param(
            lambda: [_conv("a", stride=8), keras.layers.ReLU(name="fine"), _conv("b", stride=2), keras.layers.ReLU()],
            Shown("fine", 4, 4),
            id="4 x 4 is better than 2 x 2",
        ),
        pytest.param(
            lambda: [_conv("a", stride=16), keras.layers.Activation("swish", name="fine")],
            Shown("fine", 2, 2),
            id="2 x 2 is better than nothing",
        ),
        pytest.param(
            lambda: [
                _conv("a", stride=2, activation="relu"),
                keras.layers.AveragePooling2D(16, name="mean"),
                keras.layers.Conv2D(4, 1, name="classifier"),
                keras.layers.Flatten(),
            ],
            Shown("a", 16, 16),
            id="a classifier that is a convolution is no map",
        ),
        pytest.param(
            lambda: [
                _conv("a", stride=4),
                keras.layers.ReLU(name="fine"),
                _conv("linear"),
                keras.layers.BatchNormalization(),
                keras.layers.ZeroPadding2D(1),
                keras.layers.MaxPooling2D(4),
            ],
            Shown("fine", 8, 8),
            id="the last activation of the stage, before what only moves it",
        ),
        pytest.param(
            lambda: [
                _conv("a", stride=2),
                keras.layers.ReLU(),
                _conv("b", stride=2),
                keras.layers.ReLU(max_value=6, name="r"),
            ],
            Shown("r", 8, 8),
            id="the deepest of several that are fine enough",
        ),
        pytest.param(
            lambda: [keras.layers.Rescaling(2.0), keras.layers.Permute((2, 1, 3)), _conv("a", stride=2)],
            Shown("a", 16, 16),
            id="without an activation the deepest",
        ),
        pytest.param(
            lambda: [_conv("a", stride=4), _Residual(name="block0"), _Residual(name="block1")],
            Shown("block1", 8, 8),
            id="not the branch inside a block",
        ),
    ],
)
def test_which_layer_is_shown(layers: Any, expected: Shown) -> None:
    ends = [] if isinstance(layers()[-1], keras.layers.Flatten) else _end()
    assert shown_by(*layers(), *ends) == expected


@pytest.mark.parametrize("plus", [True, False])
def test_neither_a_shortcut_nor_a_branch_is_shown(plus: bool) -> None:
    layers = keras.layers
    image = keras.Input((32, 32, 3))
    start = layers.ReLU(name="start")(_conv("a", stride=4)(image))
    branch = layers.ReLU(name="branch")(_conv("b")(start))
    shortcut = layers.ReLU(name="shortcut")(layers.Conv2D(8, 1, name="c")(start))
    joined = branch + shortcut if plus else layers.Add(name="joined")([branch, shortcut])
    model = keras.Model(image, foreign.chain(joined, _end()))
    assert GradCAM().shown(classify(model, 32)).layer == "start"
    model = keras.Model(image, foreign.chain(layers.ReLU(name="joined_relu")(joined), _end()))
    assert GradCAM().shown(classify(model, 32)).layer == "joined_relu"


def test_a_layer_that_is_called_twice_is_shown_at_its_last_call() -> None:
    relu = keras.layers.ReLU(name="relu")
    image = keras.Input((32, 32, 3))
    fine = relu(_conv("a", stride=2)(image))
    coarse = relu(_conv("b", stride=2)(fine))
    classifier = classify(keras.Model(image, foreign.chain(coarse, _end())), 32)
    assert GradCAM().shown(classifier) == Shown("relu", 8, 8)
    own = keras.Model(coarse, foreign.chain(coarse, classifier.model.layers[-2:]))
    twin = keras.layers.ReLU(name="twin")
    assert GradCAM()(classifier, foreign.images(edge=32), CLASSES, 0).max() > 0
    image = keras.Input((32, 32, 3))
    first = keras.layers.ReLU()(classifier.model.get_layer("a")(image))
    second = twin(classifier.model.get_layer("b")(first))
    single = classify(keras.Model(image, own(second)), 32)
    np.testing.assert_allclose(
        GradCAM()(classifier, foreign.images(edge=32), CLASSES, 0),
        GradCAM("twin")(single, foreign.images(edge=32), CLASSES, 0),
        rtol=1e-5,
        atol=1e-6,
    )


def test_a_layer_can_be_named() -> None:
    classifier = make_classifier("small:width=8", edge=28)
    names = [layer.name for layer in classifier.model.layers if isinstance(layer, keras.layers.Conv2D)]
    first = registry.build("explainers", f"gradcam:layer={names[0]}")
    assert first.shown(classifier).layer == names[0]
    assert not np.allclose(
        first(classifier, foreign.images(edge=28), CLASSES, 0),
        GradCAM()(classifier, foreign.images(edge=28), CLASSES, 0),
    )
    with pytest.raises(UsageError, match="has no layer 'cnov'") as caught:
        GradCAM("cnov").shown(classifier)
    assert caught.value.hint
    with pytest.raises(UsageError, match="layer 'logits' is no map"):
        GradCAM("logits").shown(classifier)


def test_a_model_without_a_feature_map_is_refused() -> None:
    with pytest.raises(AdvcliError, match="no feature map to show") as caught:
        GradCAM().shown(make_classifier("linear"))
    assert "--method saliency" in caught.value.hint
    assert Saliency().shown(make_classifier("linear")) is None


def test_a_stem_is_not_shown_where_every_later_layer_is_led_around() -> None:
    image = keras.Input((32, 32, 3))
    before = latest = keras.layers.ReLU(name="stem")(_conv("stem_conv", stride=2)(image))
    for cell, stride in enumerate((1, 1, 2, 1, 2)):
        # As in NASNet, a cell sees the output of the cell before and of the one before that.
        both = [_conv(f"a{cell}", stride=stride)(latest), _conv(f"b{cell}", stride=stride)(before)]
        before = latest if stride == 1 else _conv(f"fit{cell}", stride=stride)(latest)
        latest = keras.layers.ReLU(name=f"cell{cell}")(keras.layers.Add()(both))
    end = keras.layers.ReLU(name="end")(keras.layers.Add()([latest, before]))
    model = keras.Model(image, foreign.chain(end, _end()))
    assert GradCAM().shown(classify(model, 32)) == Shown("end", 4, 4)


@pytest.mark.parametrize(
    ("backbone", "edge", "expected"),
    [
        ("mobilenetv2", 224, Shown("out_relu", 7, 7)),
        ("mobilenetv2", 64, Shown("block_13_expand_relu", 8, 8)),
        ("densenet121", 64, Shown("pool4_relu", 8, 8)),
        ("resnext50", 64, Shown("stage2_block5_relu", 8, 8)),
    ],
)
def test_the_layer_shown_of_the_backbones(backbone: str, edge: int, expected: Shown) -> None:
    assert GradCAM().shown(make_classifier(backbone, edge, classes=10)) == expected
