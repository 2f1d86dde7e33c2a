"""Every network: what it takes and gives, its options, and weights from files."""

import csv
import functools
import logging
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backbones import _applications, efficientnet, resnext50
from advcli.backend import keras, tf
from advcli.data import images
from advcli.errors import AdvcliError, UsageError

LARGE = ("densenet121", "efficientnetb2", "efficientnetb4", "efficientnetb6", "nasnetlarge", "nasnetmobile")
EDGE = 32
CLASSES = 7
# Module of keras.applications, then function.
APPLICATIONS = {
    "densenet121": ("densenet", "DenseNet121"),
    "efficientnetb2": ("efficientnet", "EfficientNetB2"),
    "efficientnetb4": ("efficientnet", "EfficientNetB4"),
    "efficientnetb6": ("efficientnet", "EfficientNetB6"),
    "mobilenetv2": ("mobilenet_v2", "MobileNetV2"),
    "nasnetlarge": ("nasnet", "NASNetLarge"),
    "nasnetmobile": ("nasnet", "NASNetMobile"),
}


def networks(names):
    return [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in names]


every_network = pytest.mark.parametrize("name", networks(registry.names("backbones")))
every_application = pytest.mark.parametrize("name", networks(APPLICATIONS))


def build(
    spec: str, classes: int | None = CLASSES, edge: int = EDGE, channels: int = 3, weights: str | Path | None = None
) -> Any:
    keras.utils.set_random_seed(0)
    return registry.build("backbones", spec)(classes, edge, channels, weights)


@functools.cache
def built(name):
    """A network shared by the tests that leave it as it is."""
    return build(name)


@pytest.fixture(scope="module", autouse=True)
def nothing_kept():
    yield
    built.cache_clear()


def pixels(count=4, edge=EDGE, channels=3):
    return np.random.default_rng(0).random((count, edge, edge, channels), np.float32)


def settle(model, inputs):
    """Make an untrained network tell images apart: BatchNorm takes its statistics from the inputs."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(inputs, training=True)
    head = model.layers[-1]
    head.set_weights([head.get_weights()[0] * 10, head.get_weights()[1]])


def application(name, **arguments):
    module, function = APPLICATIONS[name]
    return getattr(keras.applications, function)(**arguments), getattr(keras.applications, module).preprocess_input


# --- the battery ---


def test_the_networks_of_the_paper_are_there():
    assert {"densenet121", "mobilenetv2", "resnext50", "nasnetlarge", *APPLICATIONS} < set(registry.names("backbones"))


@pytest.mark.parametrize("name", registry.names("backbones"))
def test_summary_is_a_sentence(name):
    summary = registry.summary("backbones", name)
    assert summary.endswith(".")
    assert len(summary) <= 100


@every_network
def test_output_is_logits(name):
    model = built(name)
    assert model.name == name
    assert model.input_shape == (None, EDGE, EDGE, 3)
    assert model.output_shape == (None, CLASSES)
    head = model.layers[-1]
    assert head.name == "logits"
    assert head.activation is keras.activations.linear
    outputs = model(pixels(), training=False)
    assert outputs.dtype == tf.float32
    assert np.isfinite(outputs).all()


@every_network
def test_is_flat_and_of_standard_layers(name):
    for layer in built(name).layers:
        assert not isinstance(layer, keras.Model | keras.layers.Lambda)
        assert type(layer).__module__.startswith("keras.")


@every_network
def test_gradient_reaches_every_weight(name):
    model = built(name)
    with tf.GradientTape() as tape:
        logits = model(pixels(), training=True)
        loss = keras.losses.sparse_categorical_crossentropy(np.arange(4), logits, from_logits=True)
    for weight, gradient in zip(model.trainable_weights, tape.gradient(loss, model.trainable_weights), strict=True):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        assert np.any(gradient), weight.path


@every_network
def test_saved_and_loaded_is_the_same(name, tmp_path):
    model = built(name)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(pixels(), training=False), model(pixels(), training=False))
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]


@pytest.mark.parametrize("name", ["mobilenetv2", "small", "linear"])
def test_takes_grey_images(name):
    assert build(name, channels=1, edge=28)(pixels(2, 28, 1), training=False).shape == (2, CLASSES)


# --- options ---


@pytest.mark.parametrize("name", registry.names("backbones"))
def test_resolved_options(name):
    small, large = (registry.build("backbones", name).resolved(edge) for edge in (64, 65))
    assert small.keys() == registry.options("backbones", name).keys()
    if "stem_stride" in small:
        assert (small.pop("stem_stride"), large.pop("stem_stride")) == (1, 2)
        assert registry.build("backbones", f"{name}:stem_stride=2").resolved(64)["stem_stride"] == 2
    assert small == large


@pytest.mark.parametrize(
    ("name", "edge"),
    [
        ("mobilenetv2", EDGE),
        ("resnext50", EDGE),
        pytest.param("densenet121", EDGE, marks=pytest.mark.slow),
        pytest.param("efficientnetb2", EDGE, marks=pytest.mark.slow),
        pytest.param("nasnetmobile", EDGE, marks=pytest.mark.slow),
        # Odd maps are where padding goes wrong.
        ("mobilenetv2", 57),
        pytest.param("nasnetmobile", 57, marks=pytest.mark.slow),
        pytest.param("densenet121", 57, marks=pytest.mark.slow),
        pytest.param("efficientnetb2", 57, marks=pytest.mark.slow),
        pytest.param("nasnetmobile", 96, marks=pytest.mark.slow),
    ],
)
def test_stem_of_stride_one_doubles_the_maps(name, edge):
    halved = build(f"{name}:stem_stride=2", edge=edge)
    whole = built(name) if edge == EDGE else build(f"{name}:stem_stride=1", edge=edge)
    coarse, fine = (model.get_layer("avg_pool").input.shape[1] for model in (halved, whole))
    assert abs(fine - 2 * coarse) <= edge % 2
    assert [weight.shape for weight in halved.weights] == [weight.shape for weight in whole.weights]
    strides = [
        next(layer.strides for layer in model.layers if isinstance(layer, keras.layers.Conv2D))
        for model in (halved, whole)
    ]
    assert strides == [(2, 2), (1, 1)]


def test_efficientnet_stem_of_stride_one_is_centred():
    model = built("efficientnetb2")
    assert model.get_layer("stem_conv").output.shape == (None, EDGE, EDGE, 32)
    assert model.get_layer("stem_conv_pad").padding == ((1, 1), (1, 1))


@pytest.mark.parametrize("name", ["mobilenetv2", "resnext50"])
def test_bn_momentum(name):
    for model, momentum in ((built(name), 0.9), (build(f"{name}:bn_momentum=0.5"), 0.5)):
        layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
        assert layers
        assert {layer.momentum for layer in layers} == {momentum}


def test_alpha_is_the_width():
    model = build("mobilenetv2:alpha=0.35")
    reference = keras.applications.MobileNetV2(alpha=0.35, weights=None, include_top=False, input_shape=(32, 32, 3))
    assert model.count_params() == reference.count_params() + 1280 * CLASSES + CLASSES


def test_dropout():
    assert built("efficientnetb2").get_layer("top_dropout").rate == 0.3
    model = build("efficientnetb2:dropout=0,stem_stride=2")
    assert "top_dropout" not in [layer.name for layer in model.layers]


@pytest.mark.parametrize(
    "spec",
    [
        "mobilenetv2:stem_stride=3",
        "resnext50:stem_stride=-1",
        "densenet121:bn_momentum=1",
        "resnext50:bn_momentum=-0.1",
        "small:width=0",
        "mobilenetv2:alpha=0",
        "efficientnetb2:dropout=1",
    ],
)
def test_senseless_options_are_refused(spec):
    with pytest.raises(UsageError):
        registry.build("backbones", spec)


@pytest.mark.parametrize(
    ("spec", "smallest"), [("mobilenetv2", 16), ("nasnetmobile", 17), ("mobilenetv2:stem_stride=2", 32)]
)
def test_smallest_edge(spec, smallest):
    build(spec, edge=smallest)
    with pytest.raises(UsageError, match=f"at least {smallest} pixels a side, not {smallest - 1}"):
        build(spec, edge=smallest - 1)


def test_small_is_small():
    assert 0.1e6 < build("small").count_params() < 0.3e6


# --- equal to the references ---


@every_application
def test_equal_to_keras_applications(name, tmp_path):
    edge = 64
    reference, preprocess = application(name, weights=None, input_shape=(edge, edge, 3))
    images_ = pixels(edge=edge)
    inputs = preprocess(images_ * 255)
    settle(reference, inputs)
    reference.save_weights(tmp_path / "reference.weights.h5")
    expected = reference(inputs, training=False)

    spec = f"{name}:stem_stride=2"
    model = build(spec, None, edge, weights=tmp_path / "reference.weights.h5")
    assert model.output_shape == (None, 1000)
    probabilities = tf.nn.softmax(model(images_, training=False))
    assert np.ptp(expected, axis=0).max() > 1e-3
    np.testing.assert_allclose(probabilities, expected, atol=1e-4, rtol=5e-3)


@every_application
def test_preprocessing(name):
    model = built(name)
    bytes_ = np.random.default_rng(0).integers(0, 256, (4, EDGE, EDGE, 3)).astype(np.float32)
    preprocess = getattr(keras.applications, APPLICATIONS[name][0]).preprocess_input
    prepared = keras.Model(model.inputs[0], model.get_layer("preprocess").output)(bytes_ / 255)
    np.testing.assert_allclose(prepared, preprocess(bytes_.copy()), atol=1e-5, rtol=1e-5)


def test_preprocessing_of_resnext():
    bytes_ = np.random.default_rng(0).integers(0, 256, (4, EDGE, EDGE, 3)).astype(np.float32)
    model = built("resnext50")
    prepared = keras.Model(model.inputs[0], model.get_layer("preprocess").output)(bytes_ / 255)
    np.testing.assert_allclose(prepared, keras.applications.densenet.preprocess_input(bytes_.copy()), atol=1e-5)


def test_published_efficientnet_weights_mean_what_keras_means(tmp_path, monkeypatch):
    """Keras' own network for "imagenet" has a layer more than its network for the same weights from a file."""
    models = tmp_path / "models"
    models.mkdir()
    published = keras.applications.EfficientNetB2(weights=None)
    settle(published, pixels(1, 260) * 255)
    normalization = next(layer for layer in published.layers if isinstance(layer, keras.layers.Normalization))
    normalization.set_weights([*map(np.array, (_applications.IMAGENET_MEAN, _applications.IMAGENET_STD, 0))])
    published.save(models / "efficientnetb2.h5")

    module = "keras.src.applications.efficientnet.file_utils.get_file"
    monkeypatch.setattr(module, lambda *_, **__: str(models / "efficientnetb2.h5"))
    reference = keras.applications.EfficientNetB2()
    expected = reference(pixels(1, 260) * 255, training=False)

    model = build("efficientnetb2", None, 260, weights=models / "efficientnetb2.h5")
    np.testing.assert_allclose(tf.nn.softmax(model(pixels(1, 260), training=False)), expected, atol=1e-5, rtol=1e-3)

    # What was set right stays as it is.
    weights = model.get_weights()
    for weight, again in zip(weights, efficientnet.normalised(model, pretrained=True).get_weights(), strict=True):
        np.testing.assert_array_equal(weight, again)


@pytest.mark.parametrize(
    ("channels", "mean", "std"), [(3, _applications.IMAGENET_MEAN, _applications.IMAGENET_STD), (1, 0.449, 0.226)]
)
def test_efficientnet_without_weights_normalises_too(channels, mean, std):
    model = build("efficientnetb2:stem_stride=2", channels=channels)
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    inputs = pixels(channels=channels)
    expected = (inputs - np.float32(mean)) / np.float32(std)
    np.testing.assert_allclose(keras.Model(model.inputs[0], layer.output)(inputs), expected, atol=1e-4)


def test_resnext_paths_are_a_grouped_convolution():
    inputs = keras.Input((9, 9, 128))
    for stride in (1, 2):
        model = keras.Model(inputs, resnext50._paths(inputs, stride, f"paths{stride}"))
        padded = keras.layers.ZeroPadding2D(1)(inputs)
        grouped = keras.Model(inputs, keras.layers.Conv2D(128, 3, stride, groups=32, use_bias=False)(padded))
        (kernel,) = model.get_weights()
        assert kernel.size == grouped.get_weights()[0].size
        # (3, 3, path * input, output) -> (3, 3, input, path * output)
        kernel = kernel.reshape(3, 3, 32, 4, 4).transpose(0, 1, 3, 2, 4).reshape(3, 3, 4, 128)
        grouped.set_weights([kernel])
        images_ = np.random.default_rng(0).normal(size=(2, 9, 9, 128)).astype(np.float32)
        np.testing.assert_allclose(model(images_), grouped(images_), atol=1e-4)


def test_resnext_has_the_parameters_of_the_paper():
    # 25.0 million in table 1; to the last one what torchvision counts for resnext50_32x4d.
    model = build("resnext50", 1000)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 25_028_904


def test_linear_is_linear():
    model = build("linear", edge=8, channels=1)
    assert model.count_params() == 64 * CLASSES + CLASSES


# --- weights ---


@pytest.fixture(scope="module")
def thin(tmp_path_factory):
    """A narrow MobileNetV2 with its weights in files of both formats, with and without the head."""
    folder = tmp_path_factory.mktemp("thin")
    model = build("mobilenetv2:alpha=0.35", 5)
    headless = keras.Model(model.inputs, model.layers[-1].input)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    model.train_on_batch(pixels(), np.arange(4))
    model.save_weights(folder / "whole.weights.h5")
    model.save(folder / "whole.h5")
    headless.save_weights(folder / "headless.weights.h5")
    headless.save(folder / "headless.h5")
    return model, folder


@pytest.mark.parametrize("file", ["whole.weights.h5", "whole.h5", "headless.weights.h5", "headless.h5"])
@pytest.mark.parametrize("classes", [3, 5])
def test_weights_get_a_new_head(thin, file, classes):
    trained, folder = thin
    model = build("mobilenetv2:alpha=0.35", classes, 80, weights=folder / file)
    assert model.output_shape == (None, classes)
    for weight, expected in zip(model.weights[:-2], trained.weights[:-2], strict=True):
        np.testing.assert_array_equal(weight, expected)
    if classes == 5:
        assert not np.array_equal(model.weights[-2], trained.weights[-2])


@pytest.mark.parametrize("file", ["whole.weights.h5", "whole.h5"])
def test_weights_keep_their_head(thin, file):
    trained, folder = thin
    model = build("mobilenetv2:alpha=0.35", None, weights=str(folder / file))
    np.testing.assert_array_equal(model(pixels(), training=False), trained(pixels(), training=False))


@pytest.mark.parametrize("name", ["small", "linear"])
def test_weights_of_networks_of_our_own(name, tmp_path):
    model = build(name)
    settle(model, pixels())
    model.save_weights(tmp_path / "own.weights.h5")
    again = build(name, None, weights=tmp_path / "own.weights.h5")
    np.testing.assert_array_equal(again(pixels(), training=False), model(pixels(), training=False))
    with_new_head = build(name, CLASSES, weights=tmp_path / "own.weights.h5")
    np.testing.assert_array_equal(with_new_head.weights[0], model.weights[0])


@pytest.mark.parametrize("file", ["headless.weights.h5", "headless.h5"])
def test_no_head_to_keep(thin, file):
    with pytest.raises(AdvcliError, match="without a head"):
        build("mobilenetv2:alpha=0.35", None, weights=thin[1] / file)


@pytest.mark.parametrize("file", ["whole.weights.h5", "whole.h5", "headless.weights.h5", "headless.h5"])
@pytest.mark.parametrize("spec", ["mobilenetv2:alpha=0.5", "small"])
def test_weights_of_another_network(thin, file, spec):
    with pytest.raises(AdvcliError, match=f"{file}' does not hold the weights of {spec.partition(':')[0]}") as caught:
        build(spec, weights=thin[1] / file)
    assert caught.value.exit_code == 1
    assert caught.value.hint


def test_nothing_in_a_file_is_left_out(tmp_path):
    """Keras would load the first layers of a longer network into a shorter one."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(CLASSES)(x)
    keras.Model(inputs, keras.layers.Dense(CLASSES)(x)).save_weights(tmp_path / "longer.weights.h5")
    with pytest.raises(AdvcliError, match="does not hold the weights of linear"):
        build("linear", CLASSES, 8, weights=tmp_path / "longer.weights.h5")


def test_files_that_hold_no_weights(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        build("mobilenetv2", weights=tmp_path / "nowhere.weights.h5")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UsageError, match="not a weights file"):
        build("mobilenetv2", weights=tmp_path / "notes.txt")
    (tmp_path / "notes.h5").write_text("hello")
    with pytest.raises(AdvcliError, match="not a weights file"):
        build("mobilenetv2", weights=tmp_path / "notes.h5")


@pytest.mark.parametrize(
    ("spec", "channels", "message"),
    [
        ("small", 3, "no ImageNet weights for 'small'"),
        ("linear", 3, "no ImageNet weights for 'linear'"),
        ("resnext50", 3, "no ImageNet weights for 'resnext50'"),
        ("mobilenetv2:alpha=0.6", 3, "alpha 0.6"),
        ("mobilenetv2:alpha=0.5", 3, "alpha 0.5"),
        ("densenet121", 3, "no SHA-256 of them is known"),
        ("efficientnetb2", 3, "no SHA-256 of them is known"),
        ("mobilenetv2", 1, "RGB"),
    ],
)
def test_there_are_no_such_imagenet_weights(spec, channels, message):
    with pytest.raises(UsageError, match=message) as caught:
        build(spec, channels=channels, weights="imagenet")
    assert caught.value.hint


def test_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("ADVCLI_OFFLINE", "1")
    with pytest.raises(AdvcliError, match=r"1\.0_224\.h5' is not in the cache, and --offline forbids") as caught:
        build("mobilenetv2", weights="imagenet")
    assert "--weights FILE" in caught.value.hint


@pytest.mark.parametrize("edge", [96, 224, 64, 299])
def test_download_that_fails(edge, tmp_path, monkeypatch, caplog, capsys):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv("ADVCLI_OFFLINE", raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    caplog.set_level(logging.INFO, "advcli")
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "model.keras").touch()
    (tmp_path / "theirs.keras").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AdvcliError, match=r"cannot download .*mobilenet_v2_.*_1\.0_224\.h5") as caught:
        build("mobilenetv2", edge=edge, weights="imagenet")
    assert "Errno" not in caught.value.message
    assert "--weights FILE" in caught.value.hint
    assert "--model 'runs/mine' or 'theirs.keras'" in caught.value.hint
    assert f"save it as '{tmp_path / 'models'}" in caught.value.hint
    assert len(caplog.messages) == 1
    assert "(14.5 MB)" in caplog.messages[0]
    assert str(tmp_path / "models") in caplog.messages[0]
    assert capsys.readouterr() == ("", "")


# --- real weights ---

DATA = Path(os.environ.get("ADVCLI_TEST_DATA", "nowhere"))
WHOLE = DATA / "models" / "mobilenet_v2_1.0_224.weights.h5"
HEADLESS = DATA / "models" / "mobilenet_v2_1.0_224_no_top.weights.h5"
with_data = pytest.mark.skipif(not WHOLE.is_file(), reason="ADVCLI_TEST_DATA is not set")


@with_data
@pytest.mark.parametrize(("edge", "least"), [(224, 0.7), (299, 0.75)])
def test_mobilenet_knows_what_is_on_the_photos(edge, least):
    with (DATA / "data" / "photos" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    photos = np.stack(
        [images.resize(images.read(DATA / "data" / "photos" / row["file"]), (edge, edge)) for row in rows]
    )
    model = build("mobilenetv2", None, edge, weights=WHOLE)
    # The activations of all photos at once take six gigabytes.
    parts = np.array_split(photos, len(photos) // 16)
    guesses = np.concatenate(
        [np.argmax(model(part.astype(np.float32) / 255, training=False), axis=1) for part in parts]
    )
    assert np.mean(guesses == [int(row["class_index"]) for row in rows]) >= least


@with_data
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("file", [WHOLE, HEADLESS])
def test_mobilenet_gets_a_new_head(file, stride):
    expected = build("mobilenetv2", None, 224, weights=WHOLE)
    model = build(f"mobilenetv2:stem_stride={stride}", 10, 64, weights=file)
    assert model.get_layer("avg_pool").input.shape[1:3] == (4 // stride, 4 // stride)
    for weight, other in zip(model.weights[:-2], expected.weights[:-2], strict=True):
        np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize("name", registry.names("backbones"))
def test_without_weights_the_error_names_what_is_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("ADVCLI_OFFLINE", "1")
    run = tmp_path / "runs" / "digits-small"
    run.mkdir(parents=True)
    (run / "model.keras").touch()
    (tmp_path / "mine.keras").touch()

    def refused() -> AdvcliError:
        with pytest.raises(AdvcliError) as caught:
            registry.build("backbones", name)(None, 224, 3, "imagenet")
        return caught.value

    error = refused()
    assert "Errno" not in error.message
    for named in ("--weights", "--model 'runs/digits-small' or 'mine.keras'"):
        assert named in error.hint
    # The file that Keras would download has the same name in its folder.
    found = re.search(r"[\w.-]+\.h5", error.message + error.hint)
    if found is None:
        assert "no ImageNet weights for" in error.message
    elif "cannot be checked" in error.message:
        kept = tmp_path / "keras" / "models" / found[0]
        kept.parent.mkdir(parents=True)
        kept.touch()
        assert f"--weights '{kept}'" in refused().hint
    else:
        assert f"save it as '{tmp_path / 'keras' / 'models' / found[0]}'" in error.hint
