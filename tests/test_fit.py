"""Images of other proportions are squashed, or their centre is cut out, everywhere in the same way."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image

from advcli.backend import keras, tf
from advcli.data import images
from advcli.model.classifier import Classifier
from advcli.model.load import wrap

Command = Callable[..., CompletedProcess[str]]


def _mean_of_left_and_right() -> Classifier:
    """Return a classifier of 14 x 14 pixels: is the left quarter brighter than the right one?"""
    image = keras.Input((14, 14, 3))
    left, right = (keras.ops.mean(part, axis=(1, 2, 3))[:, None] for part in (image[:, :, :3], image[:, :, -3:]))
    scores = keras.ops.concatenate([left, right], axis=1)
    model = keras.Model(image, keras.layers.Rescaling(40.0)(scores))
    return wrap(model, "sides", labels=("left", "right"), input_range=(0, 1))


@pytest.mark.parametrize(
    ("shape", "scaled", "corner"),
    [
        ((100, 300), (16, 48), (1, 17)),
        ((300, 100), (48, 16), (17, 1)),
        ((500, 500), (16, 16), (1, 1)),
        ((14, 14), (14, 14), (0, 0)),
        ((9, 7), (21, 16), (3, 1)),
    ],
)
def test_the_window(shape: tuple[int, int], scaled: tuple[int, int], corner: tuple[int, int]) -> None:
    assert images.crop_window(shape, (14, 14)) == (scaled, corner)


def test_the_window_of_published_accuracies_is_224_of_256() -> None:
    assert images.crop_window((375, 500), (224, 224)) == ((256, 341), (16, 58))


def test_proportions_are_kept_by_the_crop_alone() -> None:
    rows, columns = np.mgrid[:120, :240]
    disk = (np.hypot(rows - 59.5, columns - 119.5) < 30).astype(np.float32)[..., None].repeat(3, axis=2)
    ratios: dict[images.Fit, float] = {"squash": 2.0, "crop": 1.0}
    for fit, ratio in ratios.items():
        seen = images.resize(disk, (56, 56), fit)[..., 0] > 0.5
        height, width = (np.ptp(np.flatnonzero(seen.any(axis=axis))) + 1 for axis in (1, 0))
        assert height / width == pytest.approx(ratio, rel=0.1)


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("shape", [(40, 70), (70, 41), (14, 14), (8, 9)])
def test_the_model_sees_what_the_files_are_cut_to(fit: images.Fit, shape: tuple[int, int]) -> None:
    from dataclasses import replace

    classifier = replace(_mean_of_left_and_right(), fitting=fit)
    rng = np.random.default_rng(1)
    smooth = np.stack([images.resize(rng.random((5, 5, 3), dtype=np.float32), shape) for _ in range(2)])
    cut = np.stack([images.resize(image, (14, 14), fit) for image in smooth])
    np.testing.assert_allclose(classifier.fit(smooth), cut, atol=2e-3)
    traced = tf.function(classifier.fit, input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    np.testing.assert_allclose(traced(smooth), classifier.fit(smooth), atol=1e-6)
    with tf.GradientTape() as tape:
        pixels = tf.constant(smooth)
        tape.watch(pixels)
        total = tf.reduce_sum(classifier.logits(pixels)[:, 0])
    gradient = tape.gradient(total, pixels)
    assert gradient is not None and float(tf.reduce_max(tf.abs(gradient))) > 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the classifier, and wide photos whose margins say the opposite of their middle."""
    _mean_of_left_and_right().model.save(tmp_path / "sides.keras")
    (tmp_path / "names.txt").write_text("left\nright\n")
    for name, bright in (("left", slice(30, 60)), ("right", slice(60, 90))):
        (tmp_path / "data" / name).mkdir(parents=True)
        for number in range(10):
            picture = np.full((40, 120, 3), 90, np.uint8)
            picture[:, slice(90, 120) if name == "left" else slice(0, 30)] = 250
            picture[:, bright] = 160 + number
            Image.fromarray(picture).save(tmp_path / "data" / name / f"{number}.png")
    return tmp_path


OPTIONS = ("--labels", "names.txt", "--input-range", "0,1", "--json")
BENCHMARK = ("benchmark", "sides.keras", "--data", "data", *OPTIONS, "--attack", "none")


def test_benchmark_attack_and_explain_cut_in_the_same_way(advcli: Command, folder: Path) -> None:
    found: dict[str, float] = {}
    for fit in ("squash", "crop"):
        out = folder / f"{fit}.jsonl"
        command = (
            "benchmark",
            "sides.keras",
            "--data",
            "data",
            *OPTIONS,
            "--attack",
            "none",
            "--fit",
            fit,
            "--out",
            out,
        )
        result = advcli(*command, cwd=folder)
        assert result.returncode == 0, result.stderr
        records = [json.loads(line) for line in result.stdout.splitlines()]
        found[fit] = next(each["accuracy"] for each in records if each["type"] == "score")
    assert found == {"squash": 0.0, "crop": 1.0}
    refused = advcli(*BENCHMARK, "--resume", "crop.jsonl", cwd=folder)
    assert refused.returncode == 2 and "is of another evaluation" in refused.stderr
    image = folder / "data" / "left" / "0.png"
    attacked = advcli(
        "attack",
        image,
        "--model",
        "sides.keras",
        *OPTIONS,
        "--fit",
        "crop",
        "--attack",
        "fgsm",
        "--eps",
        "0.5",
        cwd=folder,
    )
    assert attacked.returncode == 0, attacked.stderr
    record = json.loads(attacked.stdout)
    assert (record["before"]["label"], record["after"]["label"], record["fooled"]) == ("left", "right", True)
    before, after = (np.asarray(Image.open(path), int) for path in (image, folder / "0.adv.png"))
    moved = np.abs(after - before).max(axis=(0, 2))
    assert moved[:38].max() == 0 and moved[-38:].max() == 0, "what is cut off does not change"
    assert moved[42:60].max() > 0
    command = ("explain", image, "--model", "sides.keras", *OPTIONS, "--fit", "crop", "--method", "saliency")
    explained = advcli(*command, "--out", "maps", cwd=folder)
    assert explained.returncode == 0, explained.stderr
    assert json.loads(explained.stdout.splitlines()[0])["label"] == "left"
