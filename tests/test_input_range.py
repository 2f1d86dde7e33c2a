"""Which pixel values a model wants, where its first layers show it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign
from advcli.backend import keras
from advcli.model.input_range import BYTES, SIGNED, UNIT, infer_range
from advcli.model.load import load, wrap

LAYERS = keras.layers
SIZE = (foreign.EDGE, foreign.EDGE, 3)


def functional(*steps: Any) -> Any:
    image = keras.Input(SIZE)
    return keras.Model(image, foreign.chain(image, [*steps, *foreign._ending()]))


def normalization(mean: float, variance: float) -> Any:
    return LAYERS.Normalization(mean=[mean] * 3, variance=[variance] * 3)


def trained_batchnorm(mean: float, variance: float) -> Any:
    layer = LAYERS.BatchNormalization(gamma_initializer="uniform")
    layer.build((None, *SIZE))
    layer.moving_mean.assign([mean] * 3)
    layer.moving_variance.assign([variance] * 3)
    return layer


# What changes the place of values or repeats them: each is given (N, 28, 28).
MOVES = (
    LAYERS.Flatten(),
    LAYERS.Reshape((28, 28, 1)),
    lambda image: keras.ops.reshape(image, (-1, 28, 28, 1)),
    lambda image: keras.ops.expand_dims(image, -1),
    LAYERS.GaussianNoise(0.5),
    LAYERS.Dropout(0.1),
    keras.Sequential([LAYERS.GaussianDropout(0.1), LAYERS.ActivityRegularization()]),
    lambda image: keras.ops.clip(image, 0, 255),
    lambda image: keras.ops.flip(keras.ops.roll(image, 1, axis=1), axis=2),
    lambda image: keras.ops.pad(image, ((0, 0), (2, 2), (2, 2))),
    lambda image: LAYERS.MaxPooling2D()(LAYERS.AveragePooling2D(2)(LAYERS.Reshape((28, 28, 1))(image))),
    lambda image: keras.ops.image.resize(LAYERS.Reshape((28, 28, 1))(image), (14, 14)),
    lambda image: keras.ops.image.rgb_to_grayscale(keras.ops.repeat(LAYERS.Reshape((28, 28, 1))(image), 3, axis=-1)),
    lambda image: keras.ops.squeeze(keras.ops.expand_dims(image, 1), 1),
    lambda image: keras.ops.transpose(image, (0, 2, 1)),
    lambda image: keras.ops.repeat(LAYERS.Reshape((28, 28, 1))(image), 3, axis=-1),
    lambda image: LAYERS.Concatenate()([LAYERS.Reshape((28, 28, 1))(image)] * 3),
    lambda image: keras.ops.concatenate([keras.ops.expand_dims(image, -1)] * 3, axis=-1),
)


def moved(step: Any) -> Any:
    """A model of (N, 28, 28) that moves the values of its image before it divides them by 255."""
    image = keras.Input((28, 28))
    rescaled = LAYERS.Rescaling(1 / 255)(step(image))
    return keras.Model(image, LAYERS.Dense(10)(LAYERS.Flatten()(rescaled)))


def sequential(*steps: Any) -> Any:
    return keras.Sequential([keras.Input(SIZE), *steps, *foreign._ending()])


@pytest.mark.parametrize(
    ("build", "expected"),
    [
        pytest.param(lambda: functional(LAYERS.Rescaling(1 / 255)), BYTES, id="1"),
        pytest.param(lambda: functional(LAYERS.Rescaling(1 / 127.5, -1)), BYTES, id="2"),
        pytest.param(
            lambda: sequential(LAYERS.RandomFlip(), LAYERS.RandomRotation(0.2), LAYERS.Rescaling(1 / 255)),
            BYTES,
            id="3",
        ),
        pytest.param(
            lambda: sequential(keras.Sequential([LAYERS.RandomZoom(0.1)]), LAYERS.Rescaling(1 / 255)), BYTES, id="4"
        ),
        pytest.param(
            lambda: functional(LAYERS.Resizing(16, 16), LAYERS.CenterCrop(12, 12), LAYERS.Rescaling(1 / 255)),
            BYTES,
            id="5",
        ),
        pytest.param(lambda: functional(lambda x: x / 255.0), BYTES, id="6"),
        pytest.param(lambda: functional(lambda x: x / 127.5 - 1), BYTES, id="7"),
        pytest.param(lambda: functional(lambda x: (x - 127.5) / 60), BYTES, id="8"),
        pytest.param(
            lambda: functional(lambda x: x[..., ::-1] - np.array([103.9, 116.8, 123.7], np.float32)), BYTES, id="9"
        ),
        pytest.param(lambda: functional(lambda x: x * (1 / 255)), BYTES, id="10"),
        pytest.param(lambda: functional(normalization(120, 3600)), BYTES, id="11"),
        pytest.param(lambda: functional(normalization(0.45, 0.05)), UNIT, id="12"),
        pytest.param(lambda: functional(LAYERS.Rescaling(2, -1)), UNIT, id="13"),
        pytest.param(lambda: functional(lambda x: (x - 0.5) / 0.5), UNIT, id="14"),
        pytest.param(lambda: functional(), None, id="15"),
        pytest.param(lambda: functional(normalization(-0.13, 0.3)), SIGNED, id="normalized from -1 to 1"),
        pytest.param(lambda: functional(normalization(0.2, 0.25)), None, id="normalized from 0 to 1 or -1 to 1"),
        pytest.param(lambda: functional(normalization(0, 1)), None, id="not adapted"),
        pytest.param(lambda: functional(LAYERS.Rescaling(0.5, 0.5)), SIGNED, id="from -1 to 1 to 0 to 1"),
        pytest.param(lambda: functional(lambda x: (x + 1) / 2), SIGNED, id="the same, by arithmetic"),
        pytest.param(lambda: functional(lambda x: x * 2 - 1), UNIT, id="from 0 to 1 to -1 to 1"),
        pytest.param(lambda: functional(lambda x: 1 - x / 255), BYTES, id="a negative"),
        pytest.param(lambda: functional(LAYERS.Rescaling(1.0)), None, id="nothing rescaled"),
        pytest.param(lambda: functional(keras.applications.resnet50.preprocess_input), BYTES, id="caffe"),
        pytest.param(lambda: functional(keras.applications.mobilenet_v2.preprocess_input), BYTES, id="tf"),
        pytest.param(lambda: functional(keras.applications.densenet.preprocess_input), BYTES, id="torch"),
        pytest.param(lambda: functional(LAYERS.BatchNormalization()), None, id="16"),
        pytest.param(lambda: functional(trained_batchnorm(120, 3600)), BYTES, id="batchnorm of bytes"),
        pytest.param(lambda: functional(trained_batchnorm(0.45, 0.05)), UNIT, id="batchnorm from 0 to 1"),
        pytest.param(lambda: functional(trained_batchnorm(-0.13, 0.3)), SIGNED, id="batchnorm from -1 to 1"),
        *(
            pytest.param(lambda step=step: moved(step), BYTES, id=f"moved {number}")
            for number, step in enumerate(MOVES)
        ),
        # A rescaling of features says nothing of the pixels.
        pytest.param(lambda: functional(LAYERS.Conv2D(3, 3), LAYERS.Rescaling(1 / 255)), None, id="17"),
        pytest.param(
            lambda: functional(LAYERS.GaussianNoise(0.1), LAYERS.ReLU(), LAYERS.Rescaling(1 / 255)), None, id="18"
        ),
        pytest.param(lambda: foreign.InCall("softmax"), None, id="19"),
    ],
)
def test_the_range_that_the_first_layers_show(build: Any, expected: tuple[float, float] | None) -> None:
    found = infer_range(build())
    assert (None if found is None else found[0]) == expected


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("ways", "expected"),
    [
        ([LAYERS.Rescaling(1 / 255), LAYERS.Rescaling(1 / 127.5, -1)], BYTES),
        ([LAYERS.Rescaling(2, -1), LAYERS.Rescaling(2, -1)], UNIT),
        ([LAYERS.Rescaling(1 / 255), LAYERS.Rescaling(2, -1)], None),
        ([LAYERS.Rescaling(1 / 255), LAYERS.Conv2D(3, 3)], None),
    ],
    ids=["both of bytes", "both small", "of two ranges", "one that shows nothing"],
)
def test_the_members_of_an_ensemble_show_the_same_range(
    ways: list[Any], expected: tuple[float, float] | None, nested: bool
) -> None:
    image = keras.Input(SIZE)
    scaled = LAYERS.Identity()(image)
    ends = [[way, LAYERS.Conv2D(2, 3), LAYERS.GlobalAveragePooling2D()] for way in ways]
    outputs = [functional(end[0])(scaled) if nested else foreign.chain(scaled, end) for end in ends]
    found = infer_range(keras.Model(image, LAYERS.Average()(outputs)))
    assert (None if found is None else found[0]) == expected


def test_two_inputs_show_no_range() -> None:
    images = [keras.Input(SIZE), keras.Input(SIZE)]
    outputs = [functional(LAYERS.Rescaling(1 / 255))(image) for image in images]
    assert infer_range(keras.Model(images, LAYERS.Average()(outputs))) is None


def test_networks_with_their_preprocessing_inside() -> None:
    build = keras.applications.EfficientNetV2B0
    model = build(weights=None, input_shape=(32, 32, 3), classes=4, include_preprocessing=True)
    found = infer_range(model)
    assert found is not None
    assert found[0] == BYTES


def test_a_tutorial_model_is_measured_in_its_own_range_without_being_told(tmp_path: Path) -> None:
    keras.utils.set_random_seed(3)
    model = foreign.ZOO["tutorial"][0]()
    pixels = foreign.images(30)
    foreign.centre(model, pixels * 255)
    model.save(tmp_path / "m.keras")
    expected = model.predict(pixels * 255, verbose=0).argmax(axis=1)
    assert len(set(expected)) > 1
    np.testing.assert_array_equal(load(tmp_path / "m.keras", "m").predicted(pixels), expected)


@pytest.mark.parametrize(("given", "warns"), [((0.0, 1.0), True), ((0.0, 255.0), False)])
def test_a_given_range_that_the_model_contradicts_is_told(
    given: tuple[float, float], warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    classifier = wrap(functional(LAYERS.Rescaling(1 / 255)), "mine", input_range=given)
    assert classifier.input_range == given
    assert ("although its layer 'rescaling" in caplog.text) is warns
