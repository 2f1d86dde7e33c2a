"""Images crafted on several models, and the transfer attack that averages over shuffled and rotated blocks."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from advcli import attack, registry
from advcli.backend import tf
from advcli.cli import attack as _attack_command  # noqa: F401  it registers itself
from advcli.cli.app import app
from advcli.data import images
from advcli.data.decoded import to_float
from advcli.errors import AdvcliError, UsageError
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.records import Attacked
from advcli.search.ensemble import ensemble_of
from advcli.tasks.attack.request import Request
from advcli.threat.rng import ImageRng
from conftest import make_classifier
from evaluations import NAMES

SEEDS = ImageRng(tf.constant([[1, 2], [3, 4], [5, 6]]))


@pytest.fixture(scope="module")
def pair() -> tuple[Classifier, Classifier]:
    """Two networks of different image sizes whose classes have other numbers."""
    generator = np.random.default_rng(7)
    first, second = make_classifier("linear", edge=8), make_classifier("linear", edge=12)
    for classifier in (first, second):
        for weight in classifier.model.weights:
            weight.assign(generator.normal(size=weight.shape) * 8 / classifier.image_size[0])
    return replace(first, name="a", labels=NAMES), replace(second, name="b", labels=tuple(reversed(NAMES)))


def gradient(classifier: Classifier, pixels: np.ndarray, label: int) -> np.ndarray:
    point = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(point)
        total = tf.reduce_sum(classifier.logits(point)[:, label])
    return tape.gradient(total, point).numpy()


def test_the_logits_are_the_mean_by_name_and_the_gradient_flows_through_each_resize(
    pair: tuple[Classifier, Classifier],
) -> None:
    first, second = pair
    pixels = np.random.default_rng(1).uniform(0.3, 0.7, (2, 10, 9, 3)).astype(np.float32)
    together = ensemble_of(pair).inference_copy
    wanted = (first.logits(pixels).numpy() + second.logits(pixels).numpy()[:, ::-1]) / 2
    np.testing.assert_allclose(together.logits(pixels).numpy(), wanted, rtol=1e-4, atol=1e-4)
    for label in range(4):
        mean = (gradient(first, pixels, label) + gradient(second, pixels, 3 - label)) / 2
        np.testing.assert_allclose(gradient(together, pixels, label), mean, atol=1e-4)


def test_models_must_share_their_classes(pair: tuple[Classifier, Classifier]) -> None:
    first, second = pair
    with pytest.raises(AdvcliError, match="the model 'b' has no class 'cat'"):
        ensemble_of([first, replace(second, labels=("lion", "dog", "owl", "fox"))])
    with pytest.raises(AdvcliError, match="takes grey images"):
        ensemble_of([first, replace(make_classifier("linear", channels=1), labels=NAMES)])


@pytest.fixture(scope="module")
def folder(pair: tuple[Classifier, Classifier], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two networks as files, and photos of a third size."""
    made = tmp_path_factory.mktemp("ensemble")
    for classifier in pair:
        classifier.save(made / f"{classifier.name}.keras")
    (made / "photos").mkdir()
    generator = np.random.default_rng(4)
    for number in range(12):
        png.write(made / "photos" / f"{number}.png", generator.integers(60, 200, (16, 16, 3), dtype=np.uint8))
    return made


def craft(folder: Path, out: Path, *models: str, **options: Any) -> list[Attacked]:
    return attack(folder / "photos", model=[folder / model for model in models], out=out, **options).of(Attacked)


def scored(classifier: Classifier, output: str | None, label: str) -> float:
    """Return a model's probability of a class for a written image."""
    pixels = to_float(images.read(Path(str(output)))[None])
    return float(classifier.predict(pixels)[0, classifier.labels.index(label)])


def test_images_crafted_on_both_fool_both_and_each_has_its_own_verdict(
    folder: Path, pair: tuple[Classifier, Classifier], tmp_path: Path
) -> None:
    options: dict[str, Any] = {"attack": "mifgsm", "eps": "12/255"}
    alone = craft(folder, tmp_path / "alone", "a.keras", **options)
    together = craft(folder, tmp_path / "together", "a.keras", "b.keras", **options)
    for one, both in zip(alone, together, strict=True):
        assert one.ensemble == ()
        assert (both.model, [each.model for each in both.ensemble]) == ("a", ["a", "b"])
        assert (both.after, both.fooled) == (both.ensemble[0].after, both.ensemble[0].fooled)
        for classifier, verdict in zip(pair, both.ensemble, strict=True):
            pixels = to_float(images.read(Path(str(both.output)))[None])
            seen = classifier.labels[int(classifier.predict(pixels).argmax())]
            assert verdict.after.label == seen
            # What an image is moved away from is what the first model sees.
            assert verdict.fooled == (seen != both.label and verdict.before.label == both.label)
    scores = {
        crafted: np.mean([scored(pair[1], each.output, each.label) for each in found])
        for crafted, found in (("alone", alone), ("together", together))
    }
    assert scores["together"] < scores["alone"] / 2
    assert sum(each.fooled for each in together) >= 8
    kept = png.record_in(Path(str(together[0].output)))
    assert json.loads(json.dumps(kept["ensemble"]))[1]["model"] == "b"


def test_a_target_is_reached_by_name_on_both(folder: Path, tmp_path: Path) -> None:
    found = craft(folder, tmp_path, "a.keras", "b.keras", attack="mifgsm", eps="60/255", target="owl")
    reached = [each for each in found if all(verdict.after.label == "owl" for verdict in each.ensemble)]
    assert len(reached) >= 6
    assert all(verdict.after.index == (2, 1)[i] for each in reached for i, verdict in enumerate(each.ensemble))


def test_the_command_takes_several_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    given = ["attack", "photos/3.png", "--attack", "fgsm", "--out", "out", "--model", "a.keras", "-m", "b.keras"]
    found = CliRunner().invoke(app, given)
    assert found.exit_code == 0, found.output
    table = found.stdout.partition("mean of the logits")[2]
    assert re.search(r"\ba\b.* of 1 ", table)
    assert re.search(r"\bb\b.* of 1 ", table)
    record = png.record_in(folder / "out" / "3.adv.png")
    assert [each["model"] for each in json.loads(json.dumps(record["ensemble"]))] == ["a", "b"]


def test_a_variable_names_one_model_with_its_spaces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("ADVCLI_MODEL", "my run.keras")
    shutil.copy("a.keras", "my run.keras")
    assert CliRunner().invoke(app, ["attack", "photos/4.png", "--attack", "fgsm", "--out", "spaces"]).exit_code == 0
    assert png.record_in(folder / "spaces" / "4.adv.png")["model"] == "my run"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minimal": True}, "--minimal needs one model"),
        ({"surrogate": "a.keras"}, "--surrogate needs one model"),
        ({"attack": "patch"}, "crafts one perturbation on one model"),
        ({"model": ("a.keras", "a.keras")}, "a model is given twice"),
        ({"model": ("a.keras", "https://127.0.0.1:1/x")}, "no gradients"),
    ],
)
def test_what_needs_one_model_is_refused(
    options: dict[str, Any], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(UsageError, match=message):
        Request(**{"files": (Path("photos"),), "model": ("a.keras", "b.keras"), **options})


@pytest.mark.parametrize("columns", [False, True])
def test_shuffling_moves_whole_blocks(columns: bool) -> None:
    pixels = np.random.default_rng(0).random((3, 9, 12, 2)).astype(np.float32)
    moved = registry.build("attacks", "bsr:blocks=3,angle=0").shuffle(tf.constant(pixels), SEEDS, columns).numpy()
    place = {value: where for where, value in np.ndenumerate(pixels[0])}
    came_from = np.array([[place[value][:2] for value in row] for row in moved[0, ..., 0]])
    # Every pixel is there once.
    assert len({tuple(where) for row in came_from.tolist() for where in row}) == 9 * 12
    assert not np.array_equal(moved[0], pixels[0])
    # Neighbours stay neighbours inside a block: at most three blocks end in a line, and three strips.
    along, across = (0, 1) if columns else (1, 0)
    steps = np.diff(came_from[..., along], axis=along) != 1
    assert steps.sum(axis=along).max() <= 2
    other = np.diff(came_from[..., across], axis=across) != 1
    assert (other.any(axis=1 - across)).sum() <= 2
    # Each image has its own.
    assert not np.array_equal(np.argsort(moved[1].ravel()), np.argsort(moved[0].ravel()))


def test_rotation_is_bilinear_and_at_most_the_angle() -> None:
    down, right = np.meshgrid(np.arange(15.0), np.arange(15.0), indexing="ij")
    # Bilinear interpolation is exact where a picture is linear.
    pixels = np.stack([down + 1, right + 1], axis=-1)[None].repeat(3, axis=0).astype(np.float32)
    turned = registry.build("attacks", "bsr:blocks=1,angle=24").shuffle(tf.constant(pixels), SEEDS).numpy()
    angles = []
    for image in turned:
        inside = image[3:12, 3:12]
        y, x = down[3:12, 3:12] - 7, right[3:12, 3:12] - 7
        angle = np.arctan2(inside[4, 5, 0] - 8, inside[4, 5, 1] - 8)
        angles.append(abs(angle))
        rotated = np.stack([y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)], axis=-1)
        np.testing.assert_allclose(inside - 8, rotated, atol=1e-3)
    # Where a block has no pixels it is black.
    assert turned.min() == 0
    assert 0.01 < min(angles) <= max(angles) <= np.radians(24)
    assert len({round(angle, 3) for angle in angles}) == 3
