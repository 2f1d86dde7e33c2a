"""Training that starts from a model of a user's own: what comes out is what went in, only trained."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign
from advcli.backend import keras
from advcli.errors import AdvcliError, UsageError
from advcli.model.load import load
from advcli.records import Epoch, Trained
from advcli.tasks.train.request import Execution, Request
from advcli.tasks.train.run import make_job
from test_matrix import asked, make

# Every kind of head, of nesting, and of layer that is another one in training.
KINDS = (
    "tutorial",
    "nested augmentation",
    "nested whole",
    "sequential in sequential",
    "softmax in its code",
    "softmax operation",
    "sigmoid a class",
    "one sigmoid",
    "one logit",
    "class token",
    "frozen batch normalization",
    "mixed float16",
)


def data(folder: Path, classes: int = foreign.CLASSES, *, names: tuple[str, ...] = (), channels: int = 3) -> Path:
    """Write images whose brightness is their class."""
    rng = np.random.default_rng(1)
    arrays: dict[str, Any] = {}
    for part, count in (("train", 60), ("test", 20)):
        labels = np.arange(count) % classes
        noise = rng.uniform(-0.1, 0.1, (count, foreign.EDGE, foreign.EDGE, channels))
        arrays |= {
            f"x_{part}": np.clip((labels[:, None, None, None] + 0.5) / classes + noise, 0, 1),
            f"y_{part}": labels,
        }
    if names:
        arrays["labels"] = np.array(names)
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def request_for(model: Path, images: Path | str, **options: Any) -> Request:
    """Return a request for an epoch of three steps, unless the options say otherwise."""
    known: dict[str, Any] = {"objective": "n-fgsm", "eps": 0.05, "epochs": 1, "batch": 16, "robust_images": 4}
    known |= {"augment": (), "model": str(model), "data": str(images)}
    return Request(**(known | options))


def train(model: Path, images: Path | str, out: Path, *, how: Execution | None = None, **options: Any) -> Trained:
    events = make_job(request_for(model, images, **options), how or Execution(out=out)).events()
    return [event for event in events if isinstance(event, Trained)][-1]


def resumed(out: Path) -> Trained:
    *_, trained = make_job(Request(), Execution(resume=out), asked=()).events()
    assert isinstance(trained, Trained)
    return trained


def pixels(count: int = 12) -> np.ndarray:
    rng = np.random.default_rng(3)
    size = (count, foreign.EDGE, foreign.EDGE, 3)
    return (rng.integers(0, 256, size) / 255 * rng.uniform(0, 1, (count, 1, 1, 1))).astype(np.float32)


def range_of(kind: str) -> tuple[float, float]:
    return foreign.ZOO[kind][1]


def classes_of(kind: str) -> int:
    return 2 if kind.startswith("one ") else foreign.CLASSES


def options_for(kind: str) -> dict[str, Any]:
    return {"input_range": range_of(kind)}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_trained_model_has_the_input_and_the_output_of_the_one_it_was(kind: str, tmp_path: Path) -> None:
    before, path = make(kind, tmp_path)
    names = tuple(["north", "east", "south", "west"][: classes_of(kind)])
    images = data(tmp_path, classes_of(kind), names=names)
    train(path, images, tmp_path / "run", learning_rate=1e-6, **options_for(kind))
    after = keras.models.load_model(tmp_path / "run" / "last.keras")

    assert [(each.shape, each.dtype) for each in getattr(after, "inputs", ())] == [
        (e.shape, e.dtype) for e in getattr(before, "inputs", ())
    ]
    assert [layer.trainable for layer in after._flatten_layers()] == [
        layer.trainable for layer in before._flatten_layers()
    ]
    old, new = before.get_weights(), after.get_weights()
    assert any((one != other).any() for one, other in zip(old, new, strict=True))
    for layer in after._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            own = next(each for each in before._flatten_layers() if each.name == layer.name)
            for one, other in zip(layer.get_weights(), own.get_weights(), strict=True):
                np.testing.assert_array_equal(one, other)

    own, found = asked(before, pixels(), range_of(kind)), asked(after, pixels(), range_of(kind))
    # A short training at a low rate: the same convention, and about the same answers.
    tolerance = 0.2 if own.min() >= 0 and own.max() <= 1 else 0.2 * np.abs(own).max()
    assert np.abs(own - found).max() < tolerance
    probabilities = np.allclose(own.sum(axis=1), 1, atol=1e-3)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-3) == probabilities

    classifier = load(tmp_path / "run" / "last.keras", "trained")
    assert classifier.labels == names
    assert (classifier.image_size, classifier.channels) == ((foreign.EDGE, foreign.EDGE), 3)
    assert classifier.input_range == range_of(kind)
    np.testing.assert_array_equal(classifier.predicted(pixels()), found.argmax(axis=1))
    logits = classifier.inference_copy.logits_of(pixels())
    np.testing.assert_array_equal(logits.argmax(axis=1), found.argmax(axis=1))


@pytest.mark.parametrize(
    "kind",
    ["tutorial", "nested whole", "softmax in its code", "class token", "frozen batch normalization", "one sigmoid"],
)
def test_at_rate_0_the_model_comes_back_bit_for_bit(kind: str, tmp_path: Path) -> None:
    before, path = make(kind, tmp_path)
    train(path, data(tmp_path, classes_of(kind)), tmp_path / "run", learning_rate=0.0, **options_for(kind))
    after = keras.models.load_model(tmp_path / "run" / "model.keras")
    assert [type(layer) for layer in after._flatten_layers()] == [type(layer) for layer in before._flatten_layers()]
    for one, other in zip(before.get_weights(), after.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(asked(before, pixels(), range_of(kind)), asked(after, pixels(), range_of(kind)))


def saved(model: Any, folder: Path, name: str = "mine.keras") -> Path:
    model.save(folder / name)
    return folder / name


def quick() -> Any:
    """A network that learns brightness in a few steps."""
    layers = keras.layers
    size = (foreign.EDGE, foreign.EDGE, 3)
    body = [layers.AveragePooling2D(4), layers.Flatten(), layers.Dense(16, activation="tanh")]
    return keras.Sequential([keras.Input(size), *body, layers.Dense(foreign.CLASSES, activation="softmax")])


LEARNED: dict[str, Any] = {"objective": "clean", "epochs": 12, "learning_rate": 0.05, "optimizer": "adamw"}


def weights_of(path: Path) -> dict[str, np.ndarray]:
    return {weight.path: np.array(weight) for weight in keras.models.load_model(path).weights}


@pytest.mark.parametrize(("mode", "moves"), [("inference", False), ("training", True)])
def test_batchnorm_keeps_its_statistics_unless_they_are_asked_to_move(mode: str, moves: bool, tmp_path: Path) -> None:
    start = saved(foreign.frozen_normalization(frozen=False), tmp_path)
    options: dict[str, Any] = {} if mode == "inference" else {"batchnorm": mode}
    train(start, data(tmp_path), tmp_path / "run", learning_rate=0.01, **options)
    before, after = weights_of(start), weights_of(tmp_path / "run" / "last.keras")
    for name in ("normal/moving_mean", "normal/moving_variance"):
        assert (before[name] != after[name]).any() == moves, name
    for name in ("normal/gamma", "normal/beta", "stem/kernel"):
        assert (before[name] != after[name]).any(), name


def test_the_numbers_of_the_data_are_those_of_the_models_names(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    (tmp_path / "names.txt").write_text("\n".join(reversed(names)))
    start, images = saved(quick(), tmp_path), data(tmp_path, names=names)
    train(start, images, tmp_path / "run", labels=tmp_path / "names.txt", **LEARNED)
    trained = load(tmp_path / "run" / "model.keras", "trained")
    assert trained.labels == tuple(reversed(names))
    with np.load(images) as arrays:
        found = trained.predicted(arrays["x_test"].astype(np.float32))
        correct = np.mean([trained.labels[i] == names[label] for i, label in zip(found, arrays["y_test"], strict=True)])
    assert correct > 0.6
    recipe = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]
    assert recipe["labels"] == str(tmp_path / "names.txt")


def test_a_class_less_keeps_the_head_and_a_class_more_takes_a_new_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    start = saved(foreign.build("nested whole", "dense"), tmp_path)
    labels: dict[str, Any] = {"labels": tmp_path / "names.txt"}
    train(start, data(tmp_path, 2, names=("c", "a")), tmp_path / "fewer", **labels)
    assert load(tmp_path / "fewer" / "model.keras", "fewer").labels == ("a", "b", "c", "d")
    assert "new head" not in caplog.text

    train(start, data(tmp_path, 5, names=("a", "b", "c", "d", "e")), tmp_path / "more", epochs=2, **labels)
    assert "gets a new head for the 5 classes of 'data', in place of its own for 4" in caplog.text
    more = load(tmp_path / "more" / "model.keras", "more")
    assert more.labels == ("a", "b", "c", "d", "e")
    # The first epoch trains the head only: the rest is as it was.
    description = json.loads((tmp_path / "more" / "run.json").read_text())
    assert description["recipe"]["unfreeze"] == "plateau"
    assert description["resolved"]["model"]["new_head"] is True
    outputs = np.asarray(keras.models.load_model(tmp_path / "more" / "model.keras")(pixels()))
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)


def test_a_new_head_leaves_the_features_as_they_were(tmp_path: Path) -> None:
    start = saved(foreign.ZOO["one sigmoid"][0](), tmp_path)
    train(start, data(tmp_path, 3), tmp_path / "run", unfreeze="head", learning_rate=0.05)
    before, after = weights_of(start), weights_of(tmp_path / "run" / "model.keras")
    changed = {
        name for name, value in after.items() if before[name].shape != value.shape or (before[name] != value).any()
    }
    assert {name.partition("/")[2] for name in changed} == {"kernel", "bias"}
    assert len(changed) == 2
    outputs = np.asarray(keras.models.load_model(tmp_path / "run" / "model.keras")(pixels()))
    # One sigmoid for two classes becomes a softmax.
    assert outputs.shape[1] == 3
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)


def test_a_model_with_code_of_its_own_gets_no_new_head(tmp_path: Path) -> None:
    _, start = make("softmax in its code", tmp_path)
    with pytest.raises(AdvcliError, match="cannot get a new head: its own Python class, 'InCall'"):
        train(start, data(tmp_path, 3), tmp_path / "run")


def test_a_run_goes_on_with_another_recipe(tmp_path: Path) -> None:
    images = data(tmp_path, names=("a", "b", "c", "d"))
    start = saved(foreign.build("flat", "dense"), tmp_path)
    train(start, images, tmp_path / "first", classes=("b", "d"), input_range=(0.0, 1.0))
    # Data and classes are those of the run, and so is all that its file says of the model.
    trained = train(tmp_path / "first", "", tmp_path / "second", objective="trades:steps=1")
    assert (trained.data, trained.start, trained.backbone) == ("data", str(tmp_path / "first"), "first")
    recipe = load(tmp_path / "second" / "model.keras", "second").recipe
    assert (recipe["data"], recipe["classes"], recipe["objective"]) == (str(images), ["b", "d"], "trades:steps=1")
    assert (recipe["edge"], recipe["model_sha256"]) == (foreign.EDGE, trained.start_sha256)
    outputs = np.asarray(keras.models.load_model(tmp_path / "second" / "model.keras")(pixels()))
    np.testing.assert_allclose(outputs.sum(axis=1), 1, atol=1e-5)


STATEFUL: dict[str, Any] = {
    "epochs": 3,
    "ema": 0.5,
    "unfreeze": "plateau",
    "stages": 2,
    "learning_rate": 0.02,
    "augment": ("crop",),
}


def stateful() -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((foreign.EDGE, foreign.EDGE, 3)),
            layers.RandomFlip("horizontal"),
            layers.RandomTranslation(0.1, 0.1),
            layers.Conv2D(6, 3, name="conv"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(foreign.CLASSES, activation="softmax", name="scores"),
        ]
    )


def test_a_run_from_a_model_resumes_to_the_bit(tmp_path: Path) -> None:
    start, images = saved(stateful(), tmp_path), data(tmp_path)
    train(start, images, tmp_path / "whole", **STATEFUL)
    request = request_for(start, images, **STATEFUL)
    events = make_job(request, Execution(out=tmp_path / "stopped")).events()
    next(event for event in events if isinstance(event, Epoch))
    del events
    resumed(tmp_path / "stopped")
    for name in ("last.keras", "ema.keras"):
        one, other = weights_of(tmp_path / "whole" / name), weights_of(tmp_path / "stopped" / name)
        for path, value in one.items():
            np.testing.assert_array_equal(value, other[path], err_msg=path)


def test_a_run_does_not_resume_from_another_model(tmp_path: Path) -> None:
    start, images = saved(stateful(), tmp_path), data(tmp_path)
    train(start, images, tmp_path / "run")
    resumed(tmp_path / "run")
    saved(stateful(), tmp_path)
    with pytest.raises(AdvcliError, match=r"mine.keras', which '.*run' started from, has changed since"):
        resumed(tmp_path / "run")


def test_a_run_does_not_write_over_the_model_that_it_starts_from(tmp_path: Path) -> None:
    start, images = saved(stateful(), tmp_path), data(tmp_path)
    train(start, images, tmp_path / "run")
    for model in (tmp_path / "run", tmp_path / "run" / "last.keras"):
        with pytest.raises(UsageError, match="holds the model that --model starts from"):
            train(model, images, tmp_path / "run", how=Execution(out=tmp_path / "run", overwrite=True))


def test_an_image_size_other_than_the_models_is_refused(tmp_path: Path) -> None:
    start, images = saved(stateful(), tmp_path), data(tmp_path)
    with pytest.raises(UsageError, match=f"takes images of {foreign.EDGE} pixels a side, not 32"):
        train(start, images, tmp_path / "run", edge=32)
    train(start, images, tmp_path / "run", edge=foreign.EDGE)
    with pytest.raises(UsageError, match=f"takes images of {foreign.EDGE} pixels a side, not 32"):
        train(tmp_path / "run", images, tmp_path / "again", edge=32)


def test_classes_in_another_order_are_doubted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start, images = saved(quick(), tmp_path), data(tmp_path)
    train(start, images, tmp_path / "good", **LEARNED)
    caplog.clear()
    (tmp_path / "names.txt").write_text("1\n2\n3\n0\n")
    train(tmp_path / "good", images, tmp_path / "run", labels=tmp_path / "names.txt", learning_rate=0.0)
    assert "validation images correctly before training; check its classes and its input range" in caplog.text


def test_a_model_that_training_made_worse_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    start, images = saved(quick(), tmp_path), data(tmp_path)
    train(start, images, tmp_path / "good", **LEARNED)
    # Of adversarial training, clean accuracy is not the aim.
    for objective, rate, told in (("clean", 20.0, True), ("clean", 1e-9, False), ("nsl", 20.0, False)):
        caplog.clear()
        out = tmp_path / f"{objective}-{rate}"
        train(tmp_path / "good", images, out, objective=objective, epochs=1, learning_rate=rate, optimizer="adamw")
        assert ("before training it were" in caplog.text) is told


def test_the_twin_starts_from_the_same_model_as_the_run_did(tmp_path: Path) -> None:
    start = saved(foreign.frozen_normalization(frozen=False), tmp_path)
    train(start, data(tmp_path), tmp_path / "run", unfreeze="head", learning_rate=0.05, twin=True)
    before = keras.models.load_model(start)
    for run in ("run", "run-twin"):
        after = keras.models.load_model(tmp_path / run / "last.keras")
        assert [layer.trainable for layer in after._flatten_layers()] == [
            layer.trainable for layer in before._flatten_layers()
        ]
        changed = [not np.array_equal(a, b) for a, b in zip(before.get_weights(), after.get_weights(), strict=True)]
        assert changed == [False] * 6 + [False] * 2 + [True] * 2, run
    twin = json.loads((tmp_path / "run-twin" / "run.json").read_text())["resolved"]["model"]
    assert twin == json.loads((tmp_path / "run" / "run.json").read_text())["resolved"]["model"]
