"""Models of other inputs and outputs give the same scores through advcli as in plain Keras."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest
from PIL import Image

import foreign
from advcli import registry
from advcli.backend import keras
from advcli.errors import UsageError
from advcli.explainers import enlarge_maps
from advcli.model.load import load, wrap
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat

SIDE = 8


def _classifier(shape: tuple[int, ...], dtype: str = "float32", first: Any = None) -> Any:
    keras.utils.set_random_seed(3)
    image = keras.Input(shape, dtype=dtype)
    start = [first] if first is not None else []
    scores = keras.layers.Dense(4, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=0.5))
    return keras.Model(image, foreign.chain(image, [*start, keras.layers.Flatten(), scores]))


def _with_opacity(images: np.ndarray, white: float = 1.0) -> np.ndarray:
    return np.concatenate([images, np.full_like(images[..., :1], white)], axis=-1)


ADAPTED: dict[str, tuple[Callable[[], Any], tuple[float, float], int, Callable[[np.ndarray], np.ndarray], str]] = {
    "channels first": (
        lambda: _classifier((3, SIDE, SIDE)),
        (0.0, 1.0),
        3,
        lambda images: images.transpose(0, 3, 1, 2),
        "takes channels first",
    ),
    "opacity": (lambda: _classifier((SIDE, SIDE, 4)), (0.0, 1.0), 3, _with_opacity, "takes four channels"),
    "opacity of bytes": (
        lambda: _classifier((SIDE, SIDE, 4), first=keras.layers.Rescaling(1 / 255)),
        (0.0, 255.0),
        3,
        lambda images: _with_opacity(images * 255, 255.0),
        "takes four channels",
    ),
    "grey without a channel": (
        lambda: _classifier((SIDE, SIDE)),
        (0.0, 1.0),
        1,
        lambda images: images[..., 0],
        "takes 8 x 8 numbers",
    ),
    "grey vector": (
        lambda: _classifier((SIDE * SIDE,)),
        (0.0, 1.0),
        1,
        lambda images: images.reshape(-1, SIDE * SIDE),
        "takes 64 numbers: images of 8 x 8",
    ),
    "vector": (
        lambda: _classifier((3 * SIDE * SIDE,)),
        (0.0, 1.0),
        3,
        lambda images: images.reshape(-1, 3 * SIDE * SIDE),
        "takes 192 numbers: images of 8 x 8",
    ),
    "bytes": (
        lambda: _classifier((SIDE, SIDE, 3), "uint8", keras.layers.Rescaling(1 / 255)),
        (0.0, 255.0),
        3,
        lambda images: (images * 255).round().astype(np.uint8),
        "takes integers (uint8): pixels are rounded for it, and gradients pass",
    ),
    "integers": (
        lambda: _classifier((SIDE, SIDE, 1), "int32", keras.layers.Rescaling(1 / 127.5, -1)),
        (0.0, 255.0),
        1,
        lambda images: (images * 255).round().astype(np.int32),
        "takes integers (int32)",
    ),
    "half precision": (
        lambda: _classifier((SIDE, SIDE, 3), "float16"),
        (0.0, 1.0),
        3,
        lambda images: images.astype(np.float16),
        "",
    ),
}


@pytest.mark.parametrize("kind", ADAPTED)
def test_the_scores_are_those_of_plain_keras(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    build, values, channels, prepared, note = ADAPTED[kind]
    own, images = build(), foreign.images(6, channels, SIDE)
    expected = np.asarray(own(prepared(images), training=False))
    assert expected.max(axis=1).mean() < 0.95, "a test with saturated probabilities proves nothing"
    with caplog.at_level(logging.WARNING, "advcli"):
        classifier = wrap(build(), "m", input_range=values)
    assert (classifier.image_size, classifier.channels, classifier.input_range) == ((SIDE, SIDE), channels, values)
    assert note in caplog.text
    tolerance = 2e-3 if kind == "half precision" else 1e-5
    np.testing.assert_allclose(classifier.predict(images), expected, atol=tolerance)
    labels = classifier.predicted(images).astype(np.int32)
    threat = Threat(Norm.LINF, 0.3)
    found = CompiledAttack(classifier.inference_copy, registry.build("attacks", "pgd:steps=5"), threat).search(
        images, labels
    )
    after = np.asarray(own(prepared(found.points), training=False)).argmax(axis=1)
    np.testing.assert_array_equal(after, found.predicted)
    assert (after != labels).mean() > 0.5, "the gradient reaches the pixels"


def test_an_integer_model_whose_layers_need_integers_has_no_gradient(caplog: pytest.LogCaptureFixture) -> None:
    image = keras.Input((SIDE, SIDE, 1), dtype="uint8")
    embedded = keras.layers.Embedding(256, 3)(keras.layers.Flatten()(image))
    own = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(embedded)))
    images = foreign.images(3, 1, SIDE)
    with caplog.at_level(logging.WARNING, "advcli"):
        classifier = wrap(own, "m")
    assert "it has no gradient" in caplog.text
    expected = keras.ops.softmax(own((images * 255).round().astype(np.uint8)))
    np.testing.assert_allclose(classifier.predict(images), expected, atol=1e-5)
    assert (classifier.has_gradient, classifier.access) == (False, "scores")


def test_attacks_with_gradients_on_a_model_without_are_refused(
    advcli: Callable[..., CompletedProcess[str]], tmp_path: Path
) -> None:
    image = keras.Input((SIDE, SIDE, 1), dtype="uint8")
    embedded = keras.layers.Embedding(256, 3)(keras.layers.Flatten()(image))
    keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(embedded))).save(tmp_path / "integers.keras")
    Image.fromarray((foreign.images(1, 1, SIDE)[0, ..., 0] * 255).astype(np.uint8)).save(tmp_path / "a.png")
    refused = advcli("attack", "a.png", "--model", "integers.keras", "--attack", "pgd", cwd=tmp_path)
    assert refused.returncode == 2, refused.stderr
    assert "square" in refused.stderr
    attacked = advcli("attack", "a.png", "--model", "integers.keras", "--eps", "0.3", "--json", cwd=tmp_path)
    assert attacked.returncode == 0, attacked.stderr
    assert json.loads(attacked.stdout)["attack"] == "square"


def _two_outputs(kind: type) -> Any:
    image = keras.Input((SIDE, SIDE, 3))
    flat = keras.layers.Flatten()(image)
    scores, more = keras.layers.Dense(4, name="scores")(flat), keras.layers.Dense(2, name="more")(flat)
    return keras.Model(image, [scores, more] if kind is list else {"scores": scores, "more": more})


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize(("output", "classes"), [("scores", 4), ("more", 2)])
def test_one_of_several_outputs_is_chosen(kind: type, output: str, classes: int) -> None:
    own, images = _two_outputs(kind), foreign.images(3, 3, SIDE)
    outputs = own(images, training=False)
    expected = outputs[output] if kind is dict else outputs[["scores", "more"].index(output)]
    classifier = wrap(own, "m", input_range=(0, 1), output=output)
    np.testing.assert_allclose(classifier.logits_of(images), expected, atol=1e-5)
    assert len(classifier.labels) == classes


def test_the_only_output_in_a_container_is_taken() -> None:
    image = keras.Input((SIDE, SIDE, 3))
    own = keras.Model(image, {"scores": keras.layers.Dense(4)(keras.layers.Flatten()(image))})
    images = foreign.images(3, 3, SIDE)
    expected = own(images, training=False)["scores"]
    np.testing.assert_allclose(wrap(own, "m", input_range=(0, 1)).logits_of(images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("output", "hint"), [("score", "did you mean 'scores'?"), ("nothing", "choose from: scores, more")]
)
def test_an_output_that_is_none_is_refused(output: str, hint: str) -> None:
    with pytest.raises(UsageError, match=f"no output '{output}'") as caught:
        wrap(_two_outputs(dict), "m", input_range=(0, 1), output=output)
    assert caught.value.hint == hint
    with pytest.raises(UsageError, match="has one output"):
        wrap(foreign.build(), "m", input_range=(0, 1), output="scores")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a network for images of 12 x 20 pixels, and photos of two classes."""
    place = tmp_path_factory.mktemp("wide")
    rng = np.random.default_rng(5)
    for name, brightness in (("dark", 60), ("light", 190)):
        for number in range(10):
            (place / "data" / name).mkdir(parents=True, exist_ok=True)
            pixels = (brightness + rng.normal(0, 30, (30, 40, 3))).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(place / "data" / name / f"{number}.png")
    keras.utils.set_random_seed(2)
    image = keras.Input((12, 20, 3))
    feature = keras.layers.Conv2D(6, 3, padding="same", activation="relu", name="conv")(image)
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.MaxPooling2D(name="pool")(feature))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax", name="scores")(pooled))
    last = model.get_layer("scores")
    mean = keras.Model(image, pooled)(np.full((1, 12, 20, 3), 0.5, np.float32)).numpy()[0]
    kernel = np.stack([-mean, mean], axis=1)
    last.set_weights([40 * kernel, -40 * mean @ kernel])
    model.save(place / "wide.keras")
    return place


def test_a_model_of_wide_images_is_measured_attacked_and_explained_at_its_size(
    advcli: Callable[..., CompletedProcess[str]], wide: Path
) -> None:
    model = keras.models.load_model(wide / "wide.keras", compile=False)
    options = ("--data", "data", "--labels", "names.txt", "--input-range", "0,1", "--json")
    (wide / "names.txt").write_text("dark\nlight\n")
    found = advcli(
        "benchmark", "wide.keras", *options, "--attack", "pgd:steps=5", "--eps", "0.3", "--corruptions", "all",
        "--severity", 3, "--out", "results.jsonl", cwd=wide,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    records = [json.loads(line) for line in found.stdout.splitlines()]
    scores = {each["perturbation"]: each for each in records if each["type"] == "score"}
    assert scores["clean"]["accuracy"] == 1.0
    assert scores["pgd:steps=5"]["accuracy"] <= 0.5
    assert len([each for each in scores.values() if each["severity"] == 3]) == 15
    protocol = json.loads((wide / "results.jsonl").read_text().splitlines()[0])
    assert (protocol["models"][0]["edge"], protocol["models"][0]["width"]) == (12, 20)
    again = advcli("benchmark", "--merge", "results.jsonl", "--json", cwd=wide)
    assert again.returncode == 0, again.stderr
    attacked = advcli(
        "attack", "data/dark/0.png", "--model", "wide.keras", *options[2:], "--resize", "--eps", "0.4", cwd=wide
    )
    assert attacked.returncode == 0, attacked.stderr
    record = json.loads(attacked.stdout)
    pixels = np.asarray(Image.open(wide / "0.adv.png"))
    assert pixels.shape == (12, 20, 3)
    own = model(pixels[None] / np.float32(255), training=False).numpy()[0]
    assert record["after"]["confidence"] == pytest.approx(float(own.max()), abs=1e-5)
    assert record["after"]["label"] == ("dark", "light")[int(own.argmax())]


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in registry.names("explainers")
        if name != "guided-backprop" and not registry.build("explainers", name).needs_attention
    ],
)
def test_every_method_explains_wide_images(wide: Path, name: str) -> None:
    classifier = wrap(keras.models.load_model(wide / "wide.keras", compile=False), "wide", input_range=(0, 1))
    assert classifier.image_size == (12, 20)
    images = np.random.default_rng(0).random((2, 12, 20, 3), dtype=np.float32)
    explainer = registry.build("explainers", name)
    relevance = explainer(classifier, images, np.array([0, 1]), 0)
    if relevance.ndim == 3:
        relevance = enlarge_maps(relevance, classifier.image_size)
    assert relevance.shape[:3] == (2, 12, 20)
    # The activation maps of the first class are negative, and are cut off at zero.
    assert np.ptp(relevance[1]) > 0


def test_a_feature_map_of_wide_images_is_spatial(wide: Path) -> None:
    classifier = wrap(keras.models.load_model(wide / "wide.keras", compile=False), "wide", input_range=(0, 1))
    spot = np.full((1, 12, 20, 3), 0.2, np.float32)
    spot[:, 2:5, 14:18] = 1
    explainer = registry.build("explainers", "gradcam:layer=conv")
    relevance = enlarge_maps(explainer(classifier, spot, np.array([1]), 0), (12, 20))
    row, column = np.unravel_index(relevance[0].argmax(), (12, 20))
    assert row < 7 and column > 11


def test_other_sizes_than_its_own_are_refused(wide: Path) -> None:
    model = keras.models.load_model(wide / "wide.keras", compile=False)
    with pytest.raises(UsageError, match="takes images of 12 x 20 pixels, not 20"):
        wrap(model, "wide", input_range=(0, 1), image_size=20)


def test_a_saved_classifier_of_wide_images_is_read_again(wide: Path, tmp_path: Path) -> None:
    classifier = wrap(keras.models.load_model(wide / "wide.keras", compile=False), "wide", input_range=(0, 1))
    classifier.save(tmp_path / "again.keras")
    assert load(tmp_path / "again.keras", "again").image_size == (12, 20)
