import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign
from advcli.backend import keras, tf
from advcli.data.labels_file import read_labels
from advcli.errors import AdvcliError, UsageError
from advcli.model import output_head
from advcli.model.classifier import Classifier
from advcli.model.load import load, wrap
from advcli.model.own_content import recipe_of
from conftest import make_classifier

RANGE = (0.0, 1.0)


def _dense(shape: tuple[int | None, ...], **options: Any) -> Any:
    image = keras.Input(shape, **options)
    return keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(image)))


def _two_inputs() -> Any:
    image, other = keras.Input((8, 8, 3)), keras.Input((2,))
    joined = keras.layers.Concatenate()([keras.layers.Flatten()(image), other])
    return keras.Model([image, other], keras.layers.Dense(4)(joined))


def _outputs(kind: type) -> Any:
    image = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(image)
    scores, more = keras.layers.Dense(4)(flat), keras.layers.Dense(2)(flat)
    return keras.Model(image, [scores, more] if kind is list else {"scores": scores, "more": more})


def _ends_in(layers: list[Any]) -> Any:
    image = keras.Input((8, 8, 3))
    return keras.Model(image, foreign.chain(image, layers))


@pytest.mark.parametrize(
    ("build", "message", "hint"),
    [
        pytest.param(_two_inputs, "has 2 inputs", "one image", id="two inputs"),
        pytest.param(lambda: _outputs(list), "has 2 outputs: dense", "choose one: --output dense", id="two outputs"),
        pytest.param(lambda: _outputs(dict), "has 2 outputs: scores, more", "--output scores", id="named outputs"),
        pytest.param(
            lambda: _dense((8, 8, 5)), "takes no image: its input is 8 x 8 x 5", "1, 3 or 4", id="five channels"
        ),
        pytest.param(lambda: _dense((193,)), "its input is 193", "vectors of square images", id="a vector"),
        pytest.param(lambda: _dense((2, 8, 8, 3)), "its input is 2 x 8 x 8 x 3", "", id="a film"),
        pytest.param(
            lambda: _ends_in([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1, activation="relu")]),
            "one output with the activation 'relu'",
            "one sigmoid for two classes",
            id="one output that is no score",
        ),
        pytest.param(
            lambda: _ends_in([keras.layers.Conv2D(4, 1)]),
            r"the shape \(8, 8, 4\)",
            "one value a class",
            id="segmentation",
        ),
        pytest.param(
            lambda: _ends_in([keras.layers.GlobalAveragePooling2D(), _Failing()]),
            r"cannot classify an image of \(8, 8, 3\): .*no luck today",
            "",
            id="fails",
        ),
    ],
)
def test_a_model_that_is_no_classifier_of_images_is_refused(build: Any, message: str, hint: str) -> None:
    with pytest.raises(AdvcliError, match=message) as caught:
        wrap(build(), "m", input_range=RANGE)
    assert "'m'" in caught.value.message
    assert hint in caught.value.hint


class _Failing(keras.layers.Layer):
    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((None, 4))

    def call(self, inputs: Any) -> Any:
        raise RuntimeError("no luck today")


@pytest.mark.parametrize("low_high", [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)])
def test_the_input_range_gives_the_right_predictions(low_high: tuple[float, float]) -> None:
    low, high = low_high
    own = foreign.build("flat", "dense")
    other = foreign.build("flat", "dense", before=keras.layers.Rescaling(1 / (high - low), -low / (high - low)))
    pictures = foreign.images()
    assert own(pictures).numpy().max(axis=1).mean() < 0.95, "a test with saturated probabilities proves nothing"
    np.testing.assert_allclose(
        wrap(other, "m", input_range=low_high).predict(pictures), own(pictures, training=False), atol=1e-4
    )


def test_a_guessed_input_range_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "advcli"):
        wrap(foreign.build(), "one")
        wrap(foreign.build("flat", "dense", before=keras.layers.Rescaling(1 / 255)), "two")
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "the input range of 'one' is unknown: 0 to 1 is assumed (see --input-range)" in warnings[0]
    assert "'two': input range 0 to 255, as its layer 'rescaling" in caplog.text
    assert "head: softmax removed" in caplog.text


@pytest.mark.parametrize("shape", foreign.SHAPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_foreign_model_says_its_own_size(shape: str, channels: int) -> None:
    classifier = wrap(foreign.build(shape, channels=channels), "m", input_range=RANGE)
    assert (classifier.image_size, classifier.channels) == ((foreign.EDGE, foreign.EDGE), channels)
    assert classifier.labels == ("class 0", "class 1", "class 2", "class 3")


def test_a_model_of_any_size_takes_the_size_it_is_told() -> None:
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(image)))
    assert wrap(model, "m", input_range=RANGE, image_size=20).image_size == (20, 20)
    assert wrap(model, "m", input_range=RANGE).image_size == (224, 224)
    resizing = keras.layers.Resizing(18, 14)(image)
    own = keras.Model(image, keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D()(resizing)))
    assert wrap(own, "m", input_range=RANGE).image_size == (18, 14)
    pictures = np.random.default_rng(0).random((2, 18, 14, 3), dtype=np.float32)
    np.testing.assert_allclose(wrap(own, "m", input_range=RANGE).logits_of(pictures), own(pictures), atol=1e-6)
    with pytest.raises(UsageError, match="images of 12 pixels a side, not 20"):
        wrap(foreign.build(), "m", input_range=RANGE, image_size=20)


def test_images_of_another_size_are_resized_with_antialiasing(linear: Classifier) -> None:
    board = np.indices((72, 72)).sum(axis=0) % 2
    pictures = np.repeat(board[None, ..., None], 3, axis=-1).astype(np.float32)
    grey = np.full((1, 8, 8, 3), 0.5, np.float32)
    logits = linear.logits(tf.constant(pictures))
    np.testing.assert_allclose(logits, linear.logits(tf.constant(grey)), atol=0.2)
    without = linear.model(tf.image.resize(pictures, (8, 8)))
    assert np.abs(without - logits).max() > 2


def test_the_gradient_flows_through_the_resizing(linear: Classifier) -> None:
    generator = np.random.default_rng(0)
    # The model is linear, and so is resizing as long as no value has to be kept within [0, 1].
    pictures = tf.constant(generator.uniform(0.4, 0.6, (2, 21, 13, 3)).astype(np.float32))

    def score(step: np.ndarray) -> float:
        return float(tf.reduce_sum(linear.logits(pictures + step)[:, 1]))

    with tf.GradientTape() as tape:
        tape.watch(pictures)
        total = tf.reduce_sum(linear.logits(pictures)[:, 1])
    gradient = tape.gradient(total, pictures).numpy()
    for _ in range(5):
        step = generator.uniform(-0.2, 0.2, pictures.shape).astype(np.float32)
        np.testing.assert_allclose((score(step) - score(-step)) / 2, (gradient * step).sum(), rtol=1e-3, atol=1e-4)
    for row, column in ((0, 0), (20, 12), (10, 6)):
        step = np.zeros(pictures.shape, np.float32)
        step[0, row, column, 2] = 0.2
        np.testing.assert_allclose((score(step) - score(-step)) / 0.4, gradient[0, row, column, 2], atol=1e-4)


def test_where_the_resizing_leaves_the_range_there_is_no_gradient(linear: Classifier) -> None:
    """A cubic filter overshoots at edges; a pixel that is exactly black or white keeps its gradient."""
    image = np.zeros((1, 20, 20, 3), np.float32)
    image[:, 5:14, 6:] = 1.0
    pixels = tf.constant(image)

    def expected(pixels: Any) -> Any:
        resized = tf.image.resize(pixels, linear.image_size, "bicubic", antialias=True)
        assert tf.reduce_max(resized) > 1 + 1e-3
        return linear.logits(tf.clip_by_value(resized, 0.0, 1.0))

    gradients = []
    for logits in (linear.logits, expected):
        with tf.GradientTape() as tape:
            tape.watch(pixels)
            total = tf.reduce_sum(logits(pixels)[:, 0])
        gradients.append(tape.gradient(total, pixels).numpy())
    assert np.abs(gradients[0]).max() > 0
    np.testing.assert_array_equal(*gradients)


def test_a_gradient_that_is_no_number_is_zero(linear: Classifier) -> None:
    pixels = tf.constant(np.full((1, 8, 8, 3), 0.5, np.float32))
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        logits = linear.logits(pixels)
    upstream = tf.constant([[np.nan, 1.0, np.inf, 0.0]], tf.float32)
    assert (tape.gradient(logits, pixels, upstream).numpy() == 0).all()


def test_predictions_do_not_depend_on_the_batch(small: Classifier, pictures: np.ndarray) -> None:
    together = small.predict(pictures)
    np.testing.assert_allclose(together, tf.nn.softmax(small.logits(tf.constant(pictures))), atol=1e-6)
    for i, picture in enumerate(pictures):
        np.testing.assert_allclose(small.predict(picture[None])[0], together[i], atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-12)


def test_a_model_that_gives_no_numbers_is_named(pictures: np.ndarray) -> None:
    classifier = make_classifier("linear")
    classifier.model.weights[0].assign(np.full(classifier.model.weights[0].shape, np.nan))
    with pytest.raises(AdvcliError, match="'linear' returns NaN"):
        classifier.predict(pictures)


def test_top_names_the_likeliest_classes_first(linear: Classifier) -> None:
    top = linear.top(np.array([0.1, 0.4, 0.1, 0.4]), 3)
    assert [(item.label, item.index, item.confidence) for item in top] == [
        ("kind 1", 1, 0.4),
        ("kind 3", 3, 0.4),
        ("kind 0", 0, 0.1),
    ]
    assert len(linear.top(np.array([0.1, 0.4, 0.1, 0.4]))) == 4


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ("cat\ndog\n", ("cat", "dog")),
        ("\ufeffcat\r\n  dog  \r\n\r\n", ("cat", "dog")),
        ("кот\n犬", ("кот", "犬")),
        ('["cat", "dog"]', ("cat", "dog")),
        ('\ufeff {"0": ["n01", "cat"], "1": ["n02", "dog"]}', ("cat", "dog")),
        ('{"1": "dog", "0": "cat"}', ("cat", "dog")),
        ('{"dog": 1, "cat": 0}', ("cat", "dog")),
        ("0 cat\n1 big dog\n", ("cat", "big dog")),
        ("1 cat\n2 dog\n", ("1 cat", "2 dog")),
        ("0\n1\n", ("0", "1")),
    ],
)
def test_labels_are_read_from_lines_and_from_json(tmp_path: Path, content: str, labels: tuple[str, ...]) -> None:
    (tmp_path / "labels").write_text(content, encoding="utf-8", newline="")
    assert read_labels(tmp_path / "labels") == labels


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "contains no class names"),
        (b" \n\n", "contains no class names"),
        (b"[]", "contains no class names"),
        (b'["cat"', "cannot read class names"),
        (b'{"0": "cat", "2": "dog"}', "there is no class 1"),
        (b'{"cat": 0, "dog": 0}', "there is no class 1"),
        (b"[[]]", "cannot read class names"),
        (b"\xff\xfe\x00c", "not a text file"),
    ],
)
def test_a_file_without_labels_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "labels").write_bytes(content)
    with pytest.raises(AdvcliError, match=message) as caught:
        read_labels(tmp_path / "labels")
    assert "labels'" in caught.value.message


def test_the_wrong_number_of_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdvcliError, match="3 class names for the 4 classes of 'm'") as caught:
        wrap(foreign.build(), "m", labels=("a", "b", "c"), input_range=RANGE)
    assert "--labels" in caught.value.hint
    make_classifier().save(tmp_path / "m.keras")
    with pytest.raises(AdvcliError, match="3 class names for the 4 classes of 'm'"):
        load(tmp_path / "m.keras", "m", labels=("a", "b", "c"))


@pytest.mark.parametrize("options", [{"input_range": (0.0, 255.0)}, {"image_size": 8}])
def test_what_an_own_file_knows_need_not_be_told(tmp_path: Path, small: Classifier, options: dict[str, Any]) -> None:
    small.save(tmp_path / "m.keras")
    with pytest.raises(UsageError, match="was saved by advcli with its input range"):
        load(tmp_path / "m.keras", "m", **options)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_saved_classifier_comes_back_whole(tmp_path: Path, channels: int) -> None:
    made = make_classifier(channels=channels)
    saved = Classifier("old", made.model, ("a", "b", "c", "猫"), (8, 8), channels, recipe={"norm": "l2", "eps": 0.5})
    saved.save(tmp_path / "deep" / "m.keras")
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["m.keras"]
    loaded = load(tmp_path / "deep" / "m.keras", "new")
    assert (loaded.name, loaded.labels, loaded.image_size, loaded.channels) == ("new", saved.labels, (8, 8), channels)
    assert (loaded.input_range, loaded.head, loaded.recipe) == (RANGE, output_head.LOGITS, saved.recipe)
    assert recipe_of(tmp_path / "deep" / "m.keras") == saved.recipe
    pictures = foreign.images(channels=channels, edge=8)
    np.testing.assert_array_equal(loaded.predict(pictures), saved.predict(pictures))
    assert load(tmp_path / "deep" / "m.keras", "new", labels=("w", "x", "y", "z")).labels == ("w", "x", "y", "z")


def test_a_saved_classifier_is_an_ordinary_keras_file(tmp_path: Path, small: Classifier, pictures: np.ndarray) -> None:
    small.save(tmp_path / "m.keras")
    model = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(model(pictures, training=False), small.model(pictures, training=False))
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert archive.testzip() is None
        content = json.loads(archive.read("advcli.json"))
    form = {"edge": 8, "channels": 3, "input_range": [0.0, 1.0], "head": "logits"}
    assert content == {"labels": list(small.labels), "recipe": {}} | form


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, small: Classifier) -> None:
    class Unsaveable(keras.layers.Flatten):
        def get_config(self) -> Any:
            raise RuntimeError("not to be saved")

    small.save(tmp_path / "m.keras")
    before = (tmp_path / "m.keras").read_bytes()
    image = keras.Input((8, 8, 3))
    broken = Classifier("b", keras.Model(image, Unsaveable()(image)), small.labels, (8, 8))
    with pytest.raises(RuntimeError, match="not to be saved"):
        broken.save(tmp_path / "m.keras")
    assert (tmp_path / "m.keras").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.keras"]


@pytest.mark.parametrize("ending", ["keras", "h5"])
@pytest.mark.parametrize("shape", ["flat", "nested whole", "sequential without input"])
def test_a_foreign_file_keeps_its_predictions(tmp_path: Path, shape: str, ending: str) -> None:
    model = foreign.build(shape)
    model.save(tmp_path / f"m.{ending}")
    classifier = load(tmp_path / f"m.{ending}", "m", labels=("a", "b", "c", "d"), input_range=RANGE)
    assert classifier.head.name == "softmax removed"
    np.testing.assert_allclose(classifier.predict(foreign.images()), model(foreign.images()), atol=1e-5)


@pytest.mark.parametrize("name", ["trades_mnist", "wong2018_certified_mnist", "autoattack_example_mnist"])
def test_published_models_are_right_about_digits(shared: Path, name: str) -> None:
    classifier = load(shared / "models" / f"{name}.keras", name, input_range=RANGE)
    assert (classifier.image_size, classifier.channels) == ((28, 28), 1)
    with np.load(shared / "data" / "mnist.npz") as digits:
        pixels, labels = digits["x_test"][:200, ..., None] / np.float32(255), digits["y_test"][:200]
    assert (classifier.predict(pixels).argmax(axis=1) == labels).mean() > 0.95
