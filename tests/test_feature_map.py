from typing import Any

import numpy as np
import pytest

import foreign
import transformers
from advcli import registry
from advcli.backend import keras, tf
from advcli.errors import AdvcliError, UsageError
from advcli.explainers.gradcam import GradCAM
from advcli.explainers.saliency import Saliency
from advcli.model.classifier import Classifier
from advcli.model.feature_map import _found, feature_map, listed
from advcli.model.layer_maps import ShownLayer
from advcli.model.load import wrap
from conftest import make_classifier

CLASSES = np.array([1, 3, 0])


def classify(model: Any, edge: int = foreign.EDGE, channels: int = 3) -> Classifier:
    return Classifier("m", model, tuple("abcdefghij")[: model.output_shape[-1]], (edge, edge), channels)


def what(classifier: Classifier, name: str = "") -> tuple[str, int, int]:
    """Return the layer that is shown, and the rows and columns of its map."""
    shown = feature_map(classifier, name).shown
    return shown.layer, shown.rows, shown.columns


def shown_by(*layers: Any, edge: int = 32) -> tuple[str, int, int]:
    image = keras.Input((edge, edge, 3))
    return what(classify(keras.Model(image, foreign.chain(image, list(layers))), edge))


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
            ("fine", 16, 16),
            id="4 x 4 is too coarse if there is a finer one",
        ),
        pytest.param(
            lambda: [_conv("a", stride=8), keras.layers.ReLU(name="fine"), _conv("b", stride=2), keras.layers.ReLU()],
            ("fine", 4, 4),
            id="4 x 4 is better than 2 x 2",
        ),
        pytest.param(
            lambda: [
                _conv("a", stride=2, activation="relu"),
                keras.layers.AveragePooling2D(16, name="mean"),
                keras.layers.Conv2D(4, 1, name="classifier"),
                keras.layers.Flatten(),
            ],
            ("a", 16, 16),
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
            ("fine", 8, 8),
            id="the last activation of the stage, before what only moves it",
        ),
        pytest.param(
            lambda: [
                _conv("a", stride=2),
                keras.layers.ReLU(),
                _conv("b", stride=2),
                keras.layers.ReLU(max_value=6, name="r"),
            ],
            ("r", 8, 8),
            id="the deepest of several that are fine enough",
        ),
        pytest.param(
            lambda: [keras.layers.Rescaling(2.0), _conv("a", stride=2)],
            ("a", 16, 16),
            id="without an activation the deepest",
        ),
        pytest.param(
            lambda: [_conv("a", stride=4), _Residual(name="block0"), _Residual(name="block1")],
            ("block1", 8, 8),
            id="not the branch inside a block",
        ),
    ],
)
def test_which_layer_is_shown(layers: Any, expected: tuple[str, int, int]) -> None:
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
    assert what(classify(model, 32))[0] == "start"
    model = keras.Model(image, foreign.chain(layers.ReLU(name="joined_relu")(joined), _end()))
    assert what(classify(model, 32))[0] == "joined_relu"


def test_a_layer_that_is_called_twice_is_shown_at_its_last_call() -> None:
    relu = keras.layers.ReLU(name="relu")
    image = keras.Input((32, 32, 3))
    fine = relu(_conv("a", stride=2)(image))
    coarse = relu(_conv("b", stride=2)(fine))
    classifier = classify(keras.Model(image, foreign.chain(coarse, _end())), 32)
    assert what(classifier) == ("relu", 8, 8)
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
    assert first(classifier, foreign.images(edge=28), CLASSES, 0).shape == (3, 14, 14)
    assert GradCAM()(classifier, foreign.images(edge=28), CLASSES, 0).shape == (3, 7, 7)
    with pytest.raises(UsageError, match="has no layer 'cnov'") as caught:
        GradCAM("cnov").shown(classifier)
    assert caught.value.hint
    with pytest.raises(UsageError, match="layer 'logits' is not a feature map"):
        GradCAM("logits").shown(classifier)


def test_a_model_without_a_feature_map_is_refused() -> None:
    with pytest.raises(AdvcliError, match="no feature map of 4 x 4 cells or more to show") as caught:
        GradCAM().shown(make_classifier("linear"))
    for method in ("saliency", "occlusion", "integrated-gradients"):
        assert f"--method {method}" in caught.value.hint
    assert "cam" not in caught.value.hint
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
    assert what(classify(model, 32)) == ("end", 4, 4)


def test_a_map_that_is_too_coarse_is_shown_only_if_it_is_asked_for() -> None:
    layers = [_conv("a", stride=16), keras.layers.Activation("swish", name="coarse")]
    image = keras.Input((32, 32, 3))
    classifier = classify(keras.Model(image, foreign.chain(image, [*layers, *_end()])), 32)
    with pytest.raises(AdvcliError, match="no feature map of 4 x 4 cells") as caught:
        feature_map(classifier)
    assert "name a layer" in caught.value.hint
    assert what(classifier, "coarse") == ("coarse", 2, 2)
    assert feature_map(classifier, "coarse").shown.reason == "requested"


def test_why_a_layer_is_shown_is_said() -> None:
    fine = ShownLayer("relu", 12, 12, 6, "the last activation whose map has at least 7 x 7 cells", only_way=True)
    assert GradCAM().shown(classify(foreign.build("flat", "logits"))) == fine
    image = keras.Input((32, 32, 3))
    model = keras.Model(image, foreign.chain(image, [_conv("a", stride=8), *_end()]))
    reason = "the last layer whose map has at least 4 x 4 cells"
    assert GradCAM().shown(classify(model, 32)) == ShownLayer("a", 4, 4, 8, reason, only_way=True)


@pytest.mark.parametrize("shape", foreign.SHAPES)
def test_layers_are_listed_in_order_wherever_they_are(shape: str) -> None:
    maps = listed(wrap(foreign.build(shape, "dense"), "m", input_range=(0.0, 1.0)))
    assert maps == [ShownLayer(name, foreign.EDGE, foreign.EDGE, 6) for name in ("conv", "relu")]


def test_the_list_says_which_layers_are_led_around() -> None:
    layers = keras.layers
    image = keras.Input((32, 32, 3))
    start = layers.ReLU(name="start")(_conv("a", stride=4)(image))
    joined = layers.Add(name="joined")([layers.ReLU(name="branch")(_conv("b")(start)), start])
    found = {one.layer: one.only_way for one in listed(classify(keras.Model(image, foreign.chain(joined, _end())), 32))}
    assert found == {"a": True, "start": True, "b": False, "branch": False, "joined": True}


@pytest.mark.parametrize("heads", [2, 4, 8])
def test_the_heads_of_a_transformer_are_no_map(heads: int) -> None:
    classifier = classify(transformers.transformer(heads=heads), 32)
    found = [one.layer for one in listed(classifier)]
    assert {"patches", "tokens", "block0", "block1", "norm"} <= set(found)
    assert not {"query", "key", "value"} & set(found)
    assert {(one.rows, one.columns) for one in listed(classifier)} == {(8, 8)}
    assert what(classifier, "patches") == ("patches", 8, 8)
    for name in ("query", "key", "value"):
        with pytest.raises(
            UsageError, match=rf"layer '{name}' \(64 x {heads} x .* is not a feature map: its axes do not follow"
        ):
            feature_map(classifier, name)


@pytest.mark.parametrize(("token", "first"), [("none", 0), ("first", 1), ("last", 0)])
@pytest.mark.parametrize("size", [(24, 24), (12, 20), (64, 64)])
def test_the_patches_are_found_among_the_tokens(token: str, first: int, size: tuple[int, int]) -> None:
    classifier = transformers.classify(transformers.transformer(token, size))
    rows, columns = size[0] // transformers.PATCH, size[1] // transformers.PATCH
    found = feature_map(classifier, "positions")
    assert found.grid is not None
    assert (found.grid.rows, found.grid.columns, found.grid.first) == (rows, columns, first)
    assert found.grid.class_token == {"none": None, "first": 0, "last": rows * columns}[token]
    shown = {one.layer: one for one in listed(classifier)}
    # Whatever the last block makes of the patches is not read where a class token is.
    read = token == "none"
    assert {"block0", "norm1"} <= set(shown)
    assert ("block1" in shown) == ("norm" in shown) == read
    assert shown["norm1"].only_way == (not read)
    if not read:
        with pytest.raises(UsageError, match="do not depend on the patch tokens of layer 'block1'"):
            feature_map(classifier, "block1")
    if min(rows, columns) >= 4:
        assert what(classifier) == ("norm" if read else "norm1", rows, columns)


def test_heads_whose_features_follow_the_image_are_no_map_either() -> None:
    classifier = transformers.classify(transformers.planted("first", (32, 32)))
    assert {(one.rows, one.columns) for one in listed(classifier)} == {(8, 8)}


def test_tokens_in_another_order_are_no_map() -> None:
    layers = keras.layers
    order = np.random.default_rng(0).permutation(64)
    image = keras.Input((32, 32, 3))
    tokens = layers.Reshape((-1, 8), name="tokens")(_conv("a", stride=4)(image))
    mixed = layers.Lambda(lambda x: tf.gather(x, order, axis=1), name="mixed")(tokens)
    end = layers.Dense(4)(layers.GlobalAveragePooling1D()(layers.Dense(8, "gelu", name="later")(mixed)))
    classifier = classify(keras.Model(image, end), 32)
    assert [one.layer for one in listed(classifier)] == ["a", "tokens"]
    with pytest.raises(UsageError, match=r"layer 'mixed' .* is not a feature map"):
        feature_map(classifier, "mixed")


def _rearranged(name: str) -> list[Any]:
    layers = keras.layers
    return {
        "transposed": [layers.Permute((2, 1, 3), name=name)],
        "channels_first": [layers.Permute((3, 1, 2), name=name)],
        "flipped": [layers.Lambda(lambda x: x[:, ::-1], name=name)],
        "two_rows_in_one": [layers.Reshape((4, 16, 8), name=name)],
        "the_same_everywhere": [layers.GlobalAveragePooling2D(keepdims=True), layers.UpSampling2D(8, name=name)],
        "windows": [layers.Lambda(lambda x: tf.reshape(x, (-1, 4, 4, 8)), name=name)],
    }[name]


def _put_right(name: str) -> list[Any]:
    layers = keras.layers
    return {
        "two_rows_in_one": [layers.Reshape((8, 8, 8), name="back")],
        "windows": [layers.Lambda(lambda x: tf.reshape(x, (-1, 8, 8, 8)), name="back")],
    }.get(name, [])


@pytest.mark.parametrize(
    "name", ["transposed", "channels_first", "flipped", "two_rows_in_one", "the_same_everywhere", "windows"]
)
def test_four_axes_make_no_map(name: str) -> None:
    keras.utils.set_random_seed(3)
    image = keras.Input((32, 32, 3))
    before = [_conv("a", stride=4, activation="relu"), _conv("b")]
    end = foreign.chain(image, [*before, *_rearranged(name), *_put_right(name), *_end()])
    classifier = classify(keras.Model(image, end), 32)
    found = [one.layer for one in listed(classifier)]
    assert {"a", "b"} <= set(found)
    assert name not in found
    with pytest.raises(UsageError, match=f"layer '{name}' .* is not a feature map"):
        feature_map(classifier, name)
    assert what(classifier) == ("a", 8, 8)


@pytest.mark.parametrize("context", ["squeeze and excite", "pooled and concatenated", "positions", "normalised"])
def test_global_context_leaves_a_map_a_map(context: str) -> None:
    layers = keras.layers
    keras.utils.set_random_seed(3)
    image = keras.Input((32, 32, 3))
    features = layers.ReLU(name="before")(_conv("a", stride=4)(image))
    mean = layers.GlobalAveragePooling2D(keepdims=True)(features)
    if context == "squeeze and excite":
        features = layers.Multiply(name="with")([features, layers.Dense(8, activation="sigmoid")(mean)])
    elif context == "pooled and concatenated":
        features = layers.Concatenate(name="with")([features, layers.UpSampling2D(8)(mean)])
    elif context == "positions":
        where = np.random.default_rng(0).normal(size=(8, 8, 8)).astype(np.float32)
        features = layers.Lambda(lambda x: x + 3 * where, name="with")(features)
    else:
        features = layers.GroupNormalization(1, name="with")(features)
    after = layers.ReLU(name="after")(_conv("b")(features))
    classifier = classify(keras.Model(image, foreign.chain(after, _end())), 32)
    found = [one.layer for one in listed(classifier)]
    assert {"before", "with", "after"} <= set(found)
    assert what(classifier)[0] == "after"


def test_a_model_of_another_input_range_is_moved_too() -> None:
    model = foreign.build("flat", "logits", before=keras.layers.Rescaling(1 / 255))
    assert [one.layer for one in listed(wrap(model, "m", input_range=(0.0, 255.0)))][-2:] == ["conv", "relu"]


def test_a_model_that_ignores_its_input_has_no_feature_map() -> None:
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Lambda(lambda x: tf.ones((tf.shape(x)[0], 4)))(image))
    with pytest.raises(AdvcliError, match="no feature map"):
        feature_map(classify(model, 8))
    assert listed(classify(model, 8)) == []


@pytest.mark.parametrize(
    ("backbone", "edge", "expected"),
    [
        ("mobilenetv2", 64, ("block_13_expand_relu", 8, 8)),
        pytest.param("mobilenetv2", 224, ("out_relu", 7, 7), marks=pytest.mark.slow),
        pytest.param("densenet121", 64, ("pool4_relu", 8, 8), marks=pytest.mark.slow),
        pytest.param("resnext50", 64, ("stage2_block5_relu", 8, 8), marks=pytest.mark.slow),
        ("small:width=4", 28, ("relu2", 7, 7)),
        ("small:width=4", 8, ("relu0", 4, 4)),
    ],
)
def test_the_layer_shown_of_the_backbones(backbone: str, edge: int, expected: tuple[str, int, int]) -> None:
    assert what(make_classifier(backbone, edge, classes=10)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [name for name in registry.names("backbones") if name not in ("linear", "small")])
def test_every_backbone_has_a_map_to_show(backbone: str) -> None:
    shown = feature_map(make_classifier(backbone, 64)).shown
    assert 4 <= min(shown.rows, shown.columns) <= 16
    assert shown.channels >= 64
    assert shown.only_way
    assert shown.reason.startswith("the last activation")


@pytest.mark.slow
@pytest.mark.parametrize("backbone", [name for name in registry.names("backbones") if name != "linear"])
def test_every_map_of_every_backbone_is_proven(backbone: str) -> None:
    found = [one for one in _found(make_classifier(backbone, 64)) if min(one.call.size) >= 4]
    unproven = [one for one in found if not one.spatial]
    # Inside NASNet's cells, a few branches of 5 x 5 convolutions on 4 x 4 cells answer alike wherever the spot is.
    assert len(unproven) <= 0.01 * len(found)
    assert not [one.call.layer.name for one in unproven if one.only_way]
