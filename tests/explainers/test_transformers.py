"""Maps of vision transformers: on the patches that decide, with and without a class token."""

import numpy as np
import pytest

import foreign
import transformers
from advcli import registry
from advcli.backend import keras
from advcli.errors import AdvcliError
from advcli.explainers.attention_rollout import AttentionRollout
from advcli.model.classifier import Classifier
from advcli.model.feature_map import feature_map, listed, share_feature_maps

SIZE = (24, 24)
TOKENS = ("none", "first", "last")


def inside(maps: np.ndarray) -> float:
    """Return the share of the maps' mass in the upper left quadrant."""
    rows, columns = maps.shape[1] // 2, maps.shape[2] // 2
    return float(maps[:, :rows, :columns].sum() / max(maps.sum(), 1e-12))


def shown_layer(classifier: Classifier) -> str:
    return [one.layer for one in listed(classifier) if one.only_way][-1]


@pytest.mark.parametrize("size", [SIZE, pytest.param((12, 20), marks=pytest.mark.slow)])
@pytest.mark.parametrize("token", TOKENS)
def test_the_map_is_on_the_quadrant_that_decides(token: str, size: tuple[int, int]) -> None:
    model = transformers.planted(token, size)
    classifier = transformers.classify(model)
    pictures, classes = transformers.one_quadrant(16, size, 2)
    assert (classifier.classes(pictures) == classes).all()
    layer = shown_layer(classifier)
    methods = {
        **{name: f"{name}:layer={layer}" for name in ("gradcam", "gradcam-plus-plus", "layercam")},
        "attention-rollout": "attention-rollout",
    }
    for name, spec in methods.items():
        maps = registry.build("explainers", spec)(classifier, pictures, classes, 0)
        assert maps.shape == (16, size[0] // transformers.PATCH, size[1] // transformers.PATCH)
        assert maps.dtype == np.float32
        # Half of what a mean token attends to through two layers is itself, wherever it is: 3/4 + 1/4 * 1/4.
        assert inside(maps) > (0.75 if name == "attention-rollout" else 0.8), name
    transformers.shuffle_weights(model)
    shuffled = transformers.classify(model)
    share_feature_maps(classifier, shuffled)
    for name, spec in methods.items():
        assert inside(registry.build("explainers", spec)(shuffled, pictures, classes, 0)) < 0.6, name


@pytest.mark.parametrize("token", TOKENS)
def test_rollout_is_the_product_of_the_attention_of_the_layers(token: str) -> None:
    model = transformers.transformer(token, SIZE)
    pictures, classes = transformers.one_quadrant(3, SIZE, 2)
    found = AttentionRollout()(transformers.classify(model), pictures, classes, 0)
    product = np.eye(36 + (token != "none"))
    for block in range(2):
        tokens = keras.Model(model.input, model.get_layer(f"norm{block}").output)(pictures)
        _, scores = model.get_layer(f"attention{block}")(tokens, tokens, return_attention_scores=True)
        product = (0.5 * np.asarray(scores).mean(axis=1) + 0.5 * np.eye(product.shape[-1])) @ product
    rows = {"none": product.mean(axis=1), "first": product[:, 0, 1:], "last": product[:, -1, :-1]}
    np.testing.assert_allclose(found, rows[token].reshape(3, 6, 6), rtol=1e-4)
    assert np.ptp(found) > 0.001


def test_rollout_leaves_the_model_as_it_was_and_depends_on_no_other_image() -> None:
    model = transformers.transformer("first", SIZE)
    classifier = transformers.classify(model)
    pictures, classes = transformers.one_quadrant(3, SIZE, 2)
    before = classifier.predict(pictures)
    maps = AttentionRollout()(classifier, pictures, classes, 0)
    np.testing.assert_array_equal(classifier.predict(pictures), before)
    assert not [layer for layer in model.layers if "call" in vars(layer)]
    np.testing.assert_allclose(AttentionRollout()(classifier, pictures[1:2], classes[1:2], 0)[0], maps[1], rtol=1e-4)
    shown = AttentionRollout().shown(classifier)
    assert (shown.layer, shown.rows, shown.columns) == ("attention1", 6, 6)
    assert shown.reason == "the attention of 2 layers, multiplied"


def test_rollout_reads_the_attention_of_a_layer_whose_caller_asks_for_it() -> None:
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = keras.Input((*SIZE, 3))
    tokens = layers.Reshape((-1, 8))(layers.Conv2D(8, 4, 4)(image))
    attended, _ = layers.MultiHeadAttention(2, 4)(tokens, tokens, return_attention_scores=True)
    logits = layers.Dense(4)(layers.GlobalAveragePooling1D()(layers.Add()([tokens, attended])))
    classifier = transformers.classify(keras.Model(image, logits))
    pictures, classes = transformers.one_quadrant(2, SIZE, 2)
    maps = AttentionRollout()(classifier, pictures, classes, 0)
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, rtol=1e-4)


def test_rollout_is_refused_without_attention() -> None:
    classifier = Classifier("m", foreign.build("flat", "logits"), tuple("abcd"), (foreign.EDGE, foreign.EDGE))
    for ask in (AttentionRollout().shown, lambda one: AttentionRollout()(one, foreign.images(1), np.array([0]), 0)):
        with pytest.raises(AdvcliError, match="'m' has no MultiHeadAttention layer") as caught:
            ask(classifier)
        assert caught.value.hint


def test_rollout_is_refused_where_only_one_token_asks() -> None:
    layers = keras.layers
    image = keras.Input((*SIZE, 3))
    tokens = layers.Reshape((-1, 8))(layers.Conv2D(8, 4, 4)(image))
    token = layers.Lambda(lambda x: x[:, :1])(tokens)
    read = layers.MultiHeadAttention(2, 4, name="reader")(token, tokens)
    classifier = transformers.classify(keras.Model(image, layers.Dense(4)(layers.Flatten()(read))))
    with pytest.raises(AdvcliError, match="layer 'reader' of 'vit' attends from 1 to 36 tokens"):
        AttentionRollout().shown(classifier)


def test_half_precision_is_explained() -> None:
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        classifier = transformers.classify(transformers.transformer("first", SIZE))
    finally:
        keras.mixed_precision.set_global_policy("float32")
    pictures, classes = transformers.one_quadrant(2, SIZE, 2)
    for method in ("gradcam", "layercam", "attention-rollout"):
        maps = registry.build("explainers", method)(classifier, pictures, classes, 0)
        assert maps.dtype == np.float32
        assert np.ptp(maps) > 0
    assert feature_map(classifier).shown.layer == "norm1"
