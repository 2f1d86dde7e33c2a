"""A fitted temperature makes confidences agree with accuracies and changes no prediction."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import log_loss

from advcli.backend import keras
from advcli.data.decoded import Images
from advcli.errors import AdvcliError
from advcli.model.classifier import Classifier
from advcli.model.load import load, wrap
from advcli.model.output_head import LOGITS, Head
from advcli.records import Trained
from advcli.tasks.train.temperature import divide_logits, fit_temperature, refuse_uncalibratable
from tiny_runs import TINY, data_for, run

CALIBRATED = replace(TINY, limit=200, epochs=3, validation=0.4, calibrate=True)


def drawn(temperature: float, images: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Draw labels from the probabilities of logits divided by a temperature."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(images, 5)) * 3
    noisy = logits / temperature + rng.gumbel(size=logits.shape)
    return logits.astype(np.float32), noisy.argmax(axis=1)


@pytest.mark.parametrize("temperature", [0.5, 1.7, 4.0])
def test_the_temperature_of_the_data_is_found(temperature: float) -> None:
    logits, labels = drawn(temperature)
    found = fit_temperature(logits, labels, LOGITS)
    assert found == pytest.approx(temperature, rel=0.08)

    def loss(value: float) -> float:
        powers = np.exp(logits.astype(np.float64) / value)
        return log_loss(labels, powers / powers.sum(axis=1, keepdims=True))

    assert loss(found) <= min(loss(found * 0.99), loss(found * 1.01))


def test_independent_sigmoids_get_the_temperature_of_their_own_likelihood() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 3000)
    logits = rng.normal(size=(3000, 3)) + 2.0 * np.eye(3)[labels] - 1
    head = Head("sigmoid removed", "sigmoid")
    found = fit_temperature(logits, labels, head)

    def loss(value: float) -> float:
        scores = 1 / (1 + np.exp(-logits / value))
        truth = np.eye(3)[labels]
        return -float((truth * np.log(scores) + (1 - truth) * np.log(1 - scores)).sum(axis=1).mean())

    assert loss(found) <= min(loss(found * 0.99), loss(found * 1.01))


def test_images_that_are_all_correct_fit_no_temperature(caplog: pytest.LogCaptureFixture) -> None:
    assert fit_temperature(np.eye(4) * 3, np.arange(4), LOGITS) == 1
    assert "all 4 validation images are correct" in caplog.text


@pytest.fixture(params=["softmax", "sigmoid", "single", "convolution", "normalised"])
def classifier(request: pytest.FixtureRequest) -> Iterator[Classifier]:
    keras.utils.set_random_seed(0)
    last = {
        "softmax": [keras.layers.Flatten(), keras.layers.Dense(4, activation="softmax")],
        "sigmoid": [keras.layers.Flatten(), keras.layers.Dense(4, activation="sigmoid")],
        "single": [keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")],
        "convolution": [keras.layers.Conv2D(4, 3), keras.layers.GlobalAveragePooling2D()],
        # Its logits do not depend on how large the weights are.
        "normalised": [keras.layers.Conv2D(4, 3), keras.layers.Flatten(), keras.layers.Dense(4),
                       keras.layers.UnitNormalization()],
    }[request.param]  # fmt: skip
    model = keras.Sequential([keras.Input((8, 8, 3)), *last])
    yield wrap(model, request.param, input_range=(0.0, 1.0))


def test_every_head_is_divided_and_stays_what_it_is(classifier: Classifier, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).random((64, 8, 8, 3), dtype=np.float32)
    before, logits = classifier.predict(pixels), classifier.logits_of(pixels)
    divided = divide_logits(classifier, 2.5, pixels)
    divided.save(tmp_path / "model.keras")
    read = load(tmp_path / "model.keras", "read")
    np.testing.assert_allclose(read.logits_of(pixels), logits / 2.5, atol=1e-5)
    np.testing.assert_array_equal(read.predict(pixels).argmax(axis=1), before.argmax(axis=1))
    assert read.head.activation == classifier.head.activation
    assert read.inference_copy is not read
    assert read.inference_copy.source is read


def test_what_cannot_be_divided_is_refused_and_left_alone() -> None:
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(4), keras.layers.UnitNormalization()]
    classifier = wrap(keras.Sequential([*layers, keras.layers.Softmax()]), "normalised", input_range=(0.0, 1.0))
    pixels = np.random.default_rng(1).random((8, 8, 8, 3), dtype=np.float32)
    before = classifier.predict(pixels)
    with pytest.raises(AdvcliError, match="cannot be divided by a temperature"):
        refuse_uncalibratable(classifier, Images(pixels, np.zeros(8, np.int32)))
    np.testing.assert_array_equal(classifier.predict(pixels), before)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Trained]]:
    """The same run without and with a temperature."""
    folder, found = tmp_path_factory.mktemp("runs"), {}
    for name, calibrate in (("plain", False), ("calibrated", True)):
        *_, trained = run(replace(CALIBRATED, calibrate=calibrate), folder / name)
        assert isinstance(trained, Trained)
        found[name] = (folder / name, trained)
    return found


def test_a_run_is_calibrated_on_its_validation_images(runs: dict[str, tuple[Path, Trained]]) -> None:
    images = data_for(CALIBRATED).validation
    pixels, labels = images.at(slice(None))
    plain, calibrated = (load(runs[name][0] / "model.keras", name) for name in ("plain", "calibrated"))
    fitted = runs["calibrated"][1].calibration
    assert runs["plain"][1].calibration is None
    assert fitted is not None
    assert abs(np.log(fitted.temperature)) > 0.02
    np.testing.assert_array_equal(plain.classes(pixels), calibrated.classes(pixels))
    np.testing.assert_allclose(
        calibrated.logits_of(pixels), plain.logits_of(pixels) / fitted.temperature, rtol=1e-3, atol=1e-4
    )
    before, after = (log_loss(labels, each.predict(pixels), labels=range(10)) for each in (plain, calibrated))
    assert after < before
    assert (fitted.nll_before, fitted.nll_after) == pytest.approx((before, after), rel=1e-4)
    assert fitted.images == len(images)
    described = json.loads((runs["calibrated"][0] / "run.json").read_text())
    assert described["calibration"]["temperature"] == fitted.temperature
    assert "calibration" not in json.loads((runs["plain"][0] / "run.json").read_text())
    # The other models of the run are as they were trained.
    other = load(runs["calibrated"][0] / "best-clean.keras", "other")
    np.testing.assert_array_equal(other.logits_of(pixels), plain.logits_of(pixels))


def test_a_run_that_goes_on_is_calibrated_once(runs: dict[str, tuple[Path, Trained]]) -> None:
    folder, trained = runs["calibrated"]
    before = (folder / "checkpoint" / "state.npz").read_bytes()
    *_, again = run(CALIBRATED, folder, resume=True)
    assert isinstance(again, Trained)
    assert again.calibration == trained.calibration
    assert (folder / "checkpoint" / "state.npz").read_bytes() == before
