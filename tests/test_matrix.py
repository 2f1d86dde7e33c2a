"""Foreign models of many kinds: every number is what plain Keras says of the same pixels."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign
from advcli.attacks.pgd import PGD
from advcli.backend import keras
from advcli.data import images
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.model.load import load
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Threat
from conftest import Command

COUNT = 24
EPS = 0.2


@pytest.fixture(params=foreign.ZOO)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def make(name: str, folder: Path) -> tuple[Any, Path]:
    """Build and save a model: the model as Keras reads it back, which advcli never sees, and its file."""
    build, _ = foreign.ZOO[name]
    # Other tests may have cleared what is registered.
    keras.saving.get_custom_objects()["foreign>InCall"] = foreign.InCall
    keras.utils.set_random_seed(3)
    model = build()
    channels = 1 if name == "grey" else 3
    model(np.zeros((1, foreign.EDGE, foreign.EDGE, channels), np.float32))
    low, high = foreign.ZOO[name][1]
    foreign.centre(model, pictures(name) * (high - low) + low)
    path = folder / "model.keras"
    model.save(path)
    return keras.models.load_model(path), path


def asked(model: Any, pixels: np.ndarray, values: tuple[float, float]) -> np.ndarray:
    """Ask plain Keras: (N, H, W, C) in [0, 1] -> (N, K) its own outputs, two classes for one output."""
    low, high = values
    outputs = np.asarray(model.predict(pixels * (high - low) + low, verbose=0, batch_size=7), np.float64)
    if outputs.shape[1] > 1:
        return outputs
    threshold = 0.5 if outputs.min() >= 0 and outputs.max() <= 1 else 0.0
    return np.concatenate([2 * threshold - outputs, outputs], axis=1)


def pictures(name: str) -> np.ndarray:
    """Make images of many brightnesses, some pixels black or white, on the 8-bit grid."""
    rng = np.random.default_rng(5)
    channels = 1 if name == "grey" else 3
    size = (COUNT, foreign.EDGE, foreign.EDGE, channels)
    bright = rng.uniform(0, 1, (COUNT, 1, 1, channels))
    values = bright + rng.normal(0, 0.25, size)
    return (np.rint(values.clip(0, 1) * 255) / 255).astype(np.float32)


def read(path: Path, name: str) -> Classifier:
    return load(path, "m", input_range=foreign.ZOO[name][1])


def agree(predicted: np.ndarray, outputs: np.ndarray) -> None:
    """Every predicted class is the one with the greatest output, or is that to rounding."""
    best = outputs.max(axis=1)
    scale = np.abs(outputs).max() or 1.0
    np.testing.assert_allclose(outputs[np.arange(len(outputs)), predicted], best, atol=2e-6 * scale)
    assert (predicted == outputs.argmax(axis=1)).mean() > 0.95


def test_answers_and_attack_are_those_of_plain_keras(kind: str, tmp_path: Path) -> None:
    plain, path = make(kind, tmp_path)
    values = foreign.ZOO[kind][1]
    classifier = read(path, kind)
    pixels = pictures(kind)
    outputs = asked(plain, pixels, values)
    predicted = classifier.predicted(pixels)
    agree(predicted, outputs)
    assert len(set(predicted)) > 1
    scores = classifier.predict(pixels)
    order = np.argsort(-outputs, axis=1, kind="stable")
    for row in range(COUNT):
        named = [one.index for one in classifier.top(scores[row])]
        np.testing.assert_allclose(outputs[row, named], outputs[row, order[row]], atol=1e-5 * np.abs(outputs).max())
    if "sigmoid a class" in kind or "softmax" in kind.split(" ")[0]:
        np.testing.assert_allclose(scores, outputs, atol=2e-6 if "log-" not in kind else 10)
    labels = predicted.copy()
    found = CompiledAttack(classifier.inference_copy, PGD(steps=8, stop=True), Threat(eps=EPS)).search(pixels, labels)
    assert np.abs(found.points - pixels).max() <= EPS + 1e-6
    assert found.points.min() >= 0
    assert found.points.max() <= 1
    agree(found.predicted, asked(plain, found.points, values))
    # Nothing that a model hides may keep a gradient attack from going uphill.
    if "float16" not in kind:
        assert (found.predicted != labels).mean() > 0.15


@pytest.mark.parametrize("name", foreign.AUGMENTATIONS)
@pytest.mark.parametrize("where", ["functional", "sequential", "nested"])
def test_no_augmentation_is_searched(name: str, where: str) -> None:
    keras.utils.set_random_seed(1)
    layer = foreign.AUGMENTATIONS[name]()
    size = (foreign.EDGE, foreign.EDGE, 3)
    image = keras.Input(size)
    rest = [keras.layers.Flatten(), keras.layers.Dense(4)]
    if where == "functional":
        model = keras.Model(image, foreign.chain(layer(image), rest))
    elif where == "sequential":
        model = keras.Sequential([image, layer, *rest])
    else:
        model = keras.Model(
            image, foreign.chain(keras.Sequential([keras.Input(size), layer])(image, training=True), rest)
        )
    classifier = Classifier("m", model, tuple("abcd"), (foreign.EDGE, foreign.EDGE))
    pixels = foreign.images(6)
    assert classifier.inference_copy is not classifier
    for _ in range(2):
        np.testing.assert_allclose(classifier.inference_copy.logits(pixels), model(pixels, training=False), atol=1e-5)


@pytest.mark.parametrize("name", ["tutorial", "sigmoid a class", "one sigmoid", "monte-carlo dropout"])
def test_the_command_line_says_what_plain_keras_says(name: str, tmp_path: Path, advcli: Command) -> None:
    plain, path = make(name, tmp_path)
    values = foreign.ZOO[name][1]
    pixels = pictures(name)
    outputs = asked(plain, pixels, values)
    labels = outputs.argmax(axis=1)
    labels[::5] = (labels[::5] + 1) % outputs.shape[1]
    names = [f"kind {i}" for i in range(outputs.shape[1])]
    (tmp_path / "names.txt").write_text("\n".join(names))
    for row, label in enumerate(labels):
        folder = tmp_path / "data" / "test" / names[label]
        folder.mkdir(parents=True, exist_ok=True)
        png.write(folder / f"{row:02}.png", np.rint(pixels[row] * 255).astype(np.uint8))
    options = ["--labels", "names.txt", "--input-range", f"{values[0]:g},{values[1]:g}"]
    files = sorted((tmp_path / "data").rglob("*.png"))
    done = advcli("attack", *files, "--model", path, *options, "--eps", "0.2", "--out", "adv", "--json")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(records) == COUNT
    for record in records:
        before, after = (
            asked(plain, images.read(Path(tmp_path, record[key]), 3)[None] / np.float32(255), values)[0]
            for key in ("image", "output")
        )
        assert record["before"]["index"] == before.argmax()
        assert record["after"]["index"] == after.argmax()
        if "sigmoid" in name:
            np.testing.assert_allclose(record["after"]["confidence"], after.max(), atol=1e-5)
    assert sum(record["fooled"] for record in records) > COUNT / 6
    done = advcli("benchmark", path, *options, "--data", "data", "--attack", "pgd:steps=5", "--eps", "0.2", "--json")
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, done.stdout.splitlines())
    scores = {line["perturbation"]: line for line in lines if line["type"] == "score"}
    assert scores["clean"]["correct"] == (outputs.argmax(axis=1) == labels).sum()
    assert scores["clean"]["images"] == COUNT
    assert scores["pgd:steps=5"]["accuracy"] < scores["clean"]["accuracy"]


class _Wrong:
    """A copy that computes something else than the model."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        outputs = self._model(inputs, training=training)
        return outputs + 0.05 * keras.ops.flip(outputs, axis=-1)


def test_a_broken_copy_is_not_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from advcli.model import classifier as module

    monkeypatch.setattr(module, "InferenceCopy", _Wrong)
    plain, path = make("logits", tmp_path)
    classifier = read(path, "logits")
    assert classifier.inference_copy is classifier
    assert classifier.training_copy is classifier
    assert "inference copy" in caplog.text
    pixels = pictures("logits")
    np.testing.assert_allclose(classifier.inference_copy.logits(pixels), plain(pixels, training=False), atol=1e-5)


class _WrongInTheDark(_Wrong):
    """A copy that differs from the model on dark images only."""

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        dark = keras.ops.cast(keras.ops.mean(inputs, axis=(1, 2, 3)) < 0.01, "float32")
        return self._model(inputs, training=training) * (1 - 2 * dark[:, None])


def test_a_copy_that_fails_on_the_images_of_the_call_is_not_searched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from advcli.model import classifier as module

    monkeypatch.setattr(module, "InferenceCopy", _WrongInTheDark)
    plain, path = make("logits", tmp_path)
    classifier = read(path, "logits")
    copy = classifier.inference_copy
    assert copy is not classifier
    pixels = 0.01 * pictures("logits")
    labels = classifier.predicted(pixels)
    threat = Threat(eps=0.01)
    found = CompiledAttack(copy, PGD(steps=5), threat).search(pixels, labels)
    assert "inference copy" in caplog.text
    wanted = CompiledAttack(classifier, PGD(steps=5), threat).search(pixels, labels)
    np.testing.assert_allclose(found.points, wanted.points, atol=1e-6)
    agree(found.predicted, np.asarray(plain(found.points, training=False)))
