"""Models that take images of any size: at which size they see the user's images."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import advcli
from advcli.backend import keras
from advcli.data.images import read
from advcli.data.uniform_size import uniform_size
from advcli.records import Attacked, Explained, Score

LAYERS = keras.layers
NAMES = ["narrow", "wide"]


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of 40 x 48 pixels: stripes of two widths."""
    folder = tmp_path_factory.mktemp("stripes")
    rng = np.random.default_rng(0)
    for label, period in zip(NAMES, (4, 8), strict=True):
        (folder / label).mkdir()
        for number in range(10):
            bright = (np.arange(48) + rng.integers(period)) // (period // 2) % 2
            pixels = np.broadcast_to((60 + 120 * bright)[None, :, None], (40, 48, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(folder / label / f"{label}{number}.png")
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save a network that compares the power at periods of 4 and of 8 pixels: right at the images' own size only."""
    inputs = keras.Input((None, None, 3))
    waves = LAYERS.Conv2D(4, (1, 16), use_bias=False)(inputs)
    power = LAYERS.GlobalAveragePooling2D()(LAYERS.Multiply()([waves, waves]))
    model = keras.Model(inputs, LAYERS.Dense(2, activation="softmax")(power))
    turns = 2 * np.pi * np.arange(16)[:, None] / np.array([4, 8])
    kernel = np.concatenate([np.cos(turns), np.sin(turns)], axis=1)[None, :, None].repeat(3, axis=2)
    model.set_weights([kernel / 4, np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), np.array([0, 0])])
    path = tmp_path_factory.mktemp("model") / "any.keras"
    model.save(path)
    return path


def clean_accuracy(network: Path, data: Path) -> float:
    names = None if network.is_dir() else NAMES
    records = advcli.benchmark(network, data=data, attacks=None, checks=False, labels=names)
    (found,) = [score.accuracy for score in records.of(Score) if score.perturbation == "clean"]
    return found


def test_images_of_one_size_are_measured_at_that_size(
    network: Path, stripes: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert clean_accuracy(network, stripes) == 1.0
    assert "resized to 40 x 48, the size that these images have" in caplog.text


@pytest.mark.parametrize("resized", [lambda number: (48, 40 + number % 2), lambda _: (480, 400)], ids=["two", "large"])
def test_images_of_two_sizes_or_large_ones_are_resized_with_a_warning(
    network: Path,
    stripes: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    resized: Callable[[int], tuple[int, int]],
) -> None:
    for number, file in enumerate(sorted(stripes.rglob("*.png"))):
        there = tmp_path / file.relative_to(stripes)
        there.parent.mkdir(exist_ok=True)
        with Image.open(file) as image:
            image.resize(resized(number)).save(there)
    assert clean_accuracy(network, tmp_path) < 1.0
    assert [record.levelname for record in caplog.records if "to 224 x 224" in record.getMessage()] == ["WARNING"]


def test_attack_and_explain_see_images_at_their_own_size(network: Path, stripes: Path, tmp_path: Path) -> None:
    photos = [stripes / label / f"{label}0.png" for label in NAMES]
    attacked = advcli.attack(photos, model=network, attack="fgsm", eps=0.001, out=tmp_path / "adv").of(Attacked)
    assert [record.before.index for record in attacked] == [0, 1]
    explained = advcli.explain(photos, model=network, methods="saliency", out=tmp_path / "maps").of(Explained)
    assert {(Path(record.image).stem, record.label) for record in explained if record.role == "predicted"} == {
        ("narrow0", "class 0"),
        ("wide0", "class 1"),
    }
    pixels = np.stack([read(photo) for photo in photos])
    assert advcli.attack(pixels, np.array([0, 1]), model=str(network), attack="fgsm", eps=0.0001).fooled.sum() == 0
    assert advcli.explain(pixels, model=str(network), methods=("saliency",))["saliency"].shape[1:3] == (40, 48)


def test_a_model_is_trained_further_at_the_size_of_the_images(network: Path, stripes: Path, tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(NAMES))
    options = {"objective": "clean", "epochs": 1, "learning_rate": 0.0, "validation": 0.3, "augment": "none"}
    run = tmp_path / "run"
    advcli.train(model=network, data=stripes, labels=names, out=run, **options)
    assert advcli.load(run).image_size == (40, 48)
    assert clean_accuracy(run, stripes) == 1.0


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(5, 7)], (5, 7)),
        ([(5, 7)] * 1000, (5, 7)),
        ([(5, 7)] * 999 + [(5, 8)], None),
        ([(0, 0), (5, 7)], (5, 7)),
        ([(0, 0)], None),
        ([(256, 256)] * 3, (256, 256)),
        ([(256, 257)] * 3, None),
        ([], None),
    ],
)
def test_the_uniform_size(sizes: list[tuple[int, int]], expected: tuple[int, int] | None) -> None:
    assert uniform_size(len(sizes), sizes.__getitem__) == expected
