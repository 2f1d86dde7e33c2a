"""Grad-CAM, Grad-CAM++, Layer-CAM and Score-CAM beside their papers' equations and tf-keras-vis."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.saliency import Saliency as TheirSaliency
from tf_keras_vis.scorecam import Scorecam

import foreign
from advcli import registry
from advcli.backend import keras, tf
from advcli.data import images
from advcli.data.decoded import to_float
from advcli.explainers import enlarge_maps
from advcli.explainers.gradcam import GradCAM
from advcli.explainers.gradcam_plus_plus import GradCAMPlusPlus
from advcli.explainers.layercam import LayerCAM
from advcli.explainers.saliency import Saliency
from advcli.explainers.scorecam import ScoreCAM
from advcli.model.classifier import Classifier
from advcli.model.load import wrap
from conftest import make_classifier

CLASSES = np.array([1, 3, 0])


def classify(model: Any, edge: int = foreign.EDGE, channels: int = 3) -> Classifier:
    return Classifier("m", model, tuple("abcdefghij")[: model.output_shape[-1]], (edge, edge), channels)


@pytest.fixture(scope="module")
def flat() -> Classifier:
    return classify(foreign.build("flat", "logits"))


@pytest.fixture(scope="module")
def coarse() -> Classifier:
    """A network whose feature map is smaller than the image, with other weights than its initial ones."""
    return make_classifier("small:width=8", edge=28)


def cut_open(model: Any, layer: str, pictures: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute a layer's map and the gradient of the score by it with a model cut in two at the layer."""
    cut = keras.Model(model.inputs[0], model.get_layer(layer).output)
    rest = keras.Model(model.get_layer(layer).output, model.outputs[0])
    with tf.GradientTape() as tape:
        feature = cut(pictures, training=False)
        tape.watch(feature)
        score = tf.gather(rest(feature, training=False), classes, axis=1, batch_dims=1)
    return feature.numpy(), tape.gradient(score, feature).numpy()


def test_gradcam_is_that_of_the_paper(flat: Classifier) -> None:
    feature, slope = cut_open(flat.model, "relu", foreign.images(), CLASSES)
    weights = slope.sum(axis=(1, 2)) / foreign.EDGE**2
    expected = np.maximum(np.einsum("nijk,nk->nij", feature, weights), 0)
    relevance = GradCAM()(flat, foreign.images(), CLASSES, 0)
    assert expected.max() > 0
    np.testing.assert_allclose(relevance, expected, rtol=1e-5, atol=1e-5 * expected.max())


def test_layercam_is_that_of_the_paper(coarse: Classifier) -> None:
    feature, slope = cut_open(coarse.model, "relu2", foreign.images(edge=28), CLASSES)
    small = np.maximum((np.maximum(slope, 0) * feature).sum(axis=-1), 0)
    relevance = LayerCAM()(coarse, foreign.images(edge=28), CLASSES, 0)
    np.testing.assert_allclose(relevance, small, rtol=1e-4, atol=1e-5 * small.max())


def test_gradcam_plus_plus_is_that_of_the_paper(coarse: Classifier) -> None:
    feature, slope = cut_open(coarse.model, "relu2", foreign.images(edge=28), CLASSES)
    maps = []
    for a, g in zip(feature.astype(float), slope.astype(float), strict=True):
        small = np.zeros(a.shape[:2])
        for k in range(a.shape[-1]):
            weight = 0.0
            for i in range(a.shape[0]):
                for j in range(a.shape[1]):
                    below = 2 * g[i, j, k] ** 2 + a[:, :, k].sum() * g[i, j, k] ** 3
                    alpha = g[i, j, k] ** 2 / below if below else 0.0
                    weight += alpha * max(g[i, j, k], 0.0)
            small += weight * a[:, :, k]
        maps.append(np.maximum(small, 0))
    relevance = GradCAMPlusPlus()(coarse, foreign.images(edge=28), CLASSES, 0)
    np.testing.assert_allclose(relevance, np.stack(maps), rtol=1e-4, atol=1e-5 * np.max(maps))


def test_gradcam_plus_plus_by_hand() -> None:
    image = keras.Input((4, 4, 4))
    pooled = keras.layers.Flatten()(keras.layers.ReLU(name="map")(image))
    model = keras.Model(image, keras.layers.Dense(2, name="scores")(pooled))
    kernel = np.zeros((4, 4, 4, 2), np.float32)
    kernel[0, 0, 0, 0], kernel[0, 1, 0, 0], kernel[1, 0, 1, 0], kernel[2, 2, 2, 0] = 1, 2, 3, -5
    model.get_layer("scores").set_weights([kernel.reshape(64, 2), np.zeros(2, np.float32)])
    feature = np.zeros((1, 4, 4, 4), np.float32)
    feature[0, 0, 0, 0], feature[0, 3, 3, 0], feature[0, 1, 1, 1], feature[0, 2, 2, 2] = 1, 1, 4, 7
    relevance = GradCAMPlusPlus("map")(Classifier("m", model, ("a", "b"), (4, 4), 4), feature, np.array([0]), 0)[0]
    # The first channel sums to 2, its gradients by the map are 1 and 2: 1 / (2 + 2 * 1) * 1 + 1 / (2 + 2 * 2) * 2.
    first = 1 / 4 + 2 / 6
    # The second sums to 4: 1 / (2 + 4 * 3) * 3. The third has no positive gradient.
    second = 3 / 14
    expected = np.zeros((4, 4))
    expected[0, 0] = expected[3, 3] = first
    expected[1, 1] = 4 * second
    np.testing.assert_allclose(relevance, expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_gradcam_plus_plus_does_not_overflow(scale: float) -> None:
    model = foreign.build("flat", "logits")
    scores = model.get_layer("scores")
    scores.kernel.assign(scores.kernel * scale)
    relevance = GradCAMPlusPlus()(classify(model), foreign.images(), CLASSES, 0)
    assert np.isfinite(relevance).all()
    assert relevance.max() > 0


def test_a_map_of_both_signs_makes_no_share_without_bound() -> None:
    model = foreign.build("flat", "logits")
    relevance = GradCAMPlusPlus("conv")(classify(model), foreign.images(), CLASSES, 0)
    slope = cut_open(model, "conv", foreign.images(), CLASSES)
    most = (np.abs(slope[0]) * (np.maximum(slope[1], 0).sum(axis=(1, 2), keepdims=True) / 2)).sum(axis=-1)
    assert (relevance <= most + 1e-5).all()


@pytest.mark.parametrize("method", ["gradcam", "gradcam-plus-plus", "layercam", "scorecam"])
@pytest.mark.parametrize(("layer", "size"), [("", 7), ("relu0", 14)])
def test_a_map_has_the_size_of_its_layer(method: str, layer: str, size: int, coarse: Classifier) -> None:
    explainer = registry.build("explainers", f"{method}:layer={layer}" if layer else method)
    relevance = explainer(coarse, foreign.images(edge=28), CLASSES, 0)
    assert relevance.shape == (3, size, size)
    assert (explainer.shown(coarse).rows, explainer.shown(coarse).columns) == (size, size)


def test_a_map_is_enlarged_with_cells_as_areas() -> None:
    maps = np.array([[[0.0, 4.0], [8.0, 0.0]]], np.float32)
    # Linear between the centres of the cells, constant outside them.
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(enlarge_maps(maps, (4, 4))[0], weights @ maps[0] @ weights.T, rtol=1e-6)
    assert enlarge_maps(maps, (2, 2)) is maps


@pytest.mark.parametrize("method", ["gradcam", "gradcam-plus-plus", "layercam", "scorecam"])
def test_another_layer_is_shown_if_it_is_named(method: str, coarse: Classifier) -> None:
    named = registry.build("explainers", f"{method}:layer=relu0")
    assert (named.shown(coarse).layer, named.shown(coarse).rows) == ("relu0", 14)
    pictures = foreign.images(1, edge=28)
    default = registry.build("explainers", method)
    first, second = (enlarge_maps(one(coarse, pictures, CLASSES[:1], 0), (28, 28)) for one in (named, default))
    assert not np.allclose(first, second)


@pytest.mark.slow
def test_the_bird_is_where_the_maps_are(shared: Path) -> None:
    network = keras.applications.MobileNetV2(weights=str(shared / "models/mobilenet_v2_1.0_224.weights.h5"))
    classifier = wrap(network, "mobilenetv2", input_range=(-1.0, 1.0))
    # A hummingbird at the left border, turned to the right; three fifths of the photo are empty background.
    photo = to_float(images.read(shared / "data/photos/d4c817db6be62b71.png", 3))[None]
    seen = np.asarray(classifier.fit(photo))
    assert classifier.predict(seen)[0].argmax() == 94
    for method in ("gradcam", "gradcam-plus-plus", "layercam", "scorecam:channels=16", "smoothgrad:samples=8"):
        values = registry.build("explainers", method)(classifier, seen, np.array([94]), 0)
        relevance = np.maximum(enlarge_maps(values, (224, 224))[0], 0)
        assert relevance[:, :112].sum() > 0.85 * relevance.sum(), method


def their_score(outputs: Any) -> Any:
    return tf.gather(outputs, CLASSES[: len(outputs)], axis=1, batch_dims=1)


@pytest.mark.parametrize(("ours", "theirs"), [(GradCAM, Gradcam), (LayerCAM, Layercam)])
def test_the_maps_are_those_of_tf_keras_vis(ours: Any, theirs: Any, flat: Classifier) -> None:
    expected = theirs(flat.model, clone=False)(
        their_score,
        foreign.images(),
        penultimate_layer=flat.model.get_layer("relu"),
        seek_penultimate_conv_layer=False,
        normalize_cam=False,
    )
    relevance = ours()(flat, foreign.images(), CLASSES, 0)
    np.testing.assert_allclose(relevance, expected, rtol=1e-6, atol=1e-6 * np.max(expected))


@pytest.mark.filterwarnings("ignore:[\\s\\S]*The structure of `inputs`:UserWarning")
def test_saliency_is_that_of_tf_keras_vis_on_the_keras_model(flat: Classifier) -> None:
    expected = TheirSaliency(flat.model, clone=False)(
        their_score, foreign.images(), gradient_modifier=None, keepdims=True, normalize_map=False
    )
    relevance = Saliency()(flat, foreign.images(), CLASSES, 0)
    expected = np.sum(expected, axis=-1)
    np.testing.assert_allclose(relevance, expected, rtol=1e-6, atol=1e-6 * np.abs(expected).max())


@pytest.mark.filterwarnings("ignore:[\\s\\S]*The structure of `inputs`:UserWarning")
def test_scorecam_is_that_of_tf_keras_vis(flat: Classifier, capsys: pytest.CaptureFixture[str]) -> None:
    expected = Scorecam(flat.model, clone=False)(
        their_score,
        foreign.images(),
        penultimate_layer=flat.model.get_layer("relu"),
        seek_penultimate_conv_layer=False,
        normalize_cam=False,
    )
    capsys.readouterr()
    relevance = ScoreCAM(channels=0, fill="black")(flat, foreign.images(), CLASSES, 0)
    assert capsys.readouterr() == ("", "")
    np.testing.assert_allclose(relevance, expected, rtol=1e-5, atol=1e-6 * np.max(expected))


def test_scorecam_weights_channels_by_the_probability_they_leave(coarse: Classifier) -> None:
    pictures = foreign.images(1, edge=28)
    feature, _ = cut_open(coarse.model, "relu2", pictures, CLASSES[:1])
    expected = np.zeros((7, 7))
    for k in range(feature.shape[-1]):
        channel = feature[0, :, :, k]
        if np.ptp(channel) == 0:
            continue
        mask = tf.image.resize(channel[..., None], (28, 28)).numpy()
        mask = (mask - mask.min()) / np.ptp(mask)
        colour = pictures[0].mean(axis=(0, 1))
        masked = colour * (1 - mask) + pictures[0] * mask
        expected += coarse.predict(masked[None].astype(np.float32))[0, 1] * channel
    relevance = ScoreCAM(channels=0)(coarse, pictures, CLASSES[:1], 0)[0]
    np.testing.assert_allclose(relevance, expected, rtol=1e-3, atol=1e-4 * expected.max())


def test_scorecam_asks_about_the_channels_that_vary_most(flat: Classifier) -> None:
    pictures = foreign.images(1)
    feature, _ = cut_open(flat.model, "relu", pictures, CLASSES[:1])
    strongest = feature[0, :, :, feature[0].std(axis=(0, 1)).argmax()]
    relevance = ScoreCAM(channels=1)(flat, pictures, CLASSES[:1], 0)[0]
    weight = relevance.max() / strongest.max()
    assert 0 < weight <= 1
    np.testing.assert_allclose(relevance, weight * strongest, rtol=1e-4, atol=1e-6)
