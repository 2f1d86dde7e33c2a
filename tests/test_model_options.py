"""Options that stand behind a model, and input ranges that labelled images show to be wrong."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import pytest

from advcli.backend import keras
from advcli.datasets import find
from advcli.errors import UsageError
from advcli.model.model_choice import ModelChoice
from advcli.tasks.request import ModelOptions

Command = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with one network for digits, in four files that want different input values."""
    place = tmp_path_factory.mktemp("ranges")
    train = find("digits")().train
    pixels = np.stack([train.read(index) for index in range(len(train))]).astype(np.float32)
    pixels = pixels[..., :1] if pixels.ndim == 4 else pixels[..., None]
    pixels /= max(pixels.max(), 1.0)
    keras.utils.set_random_seed(0)
    size = pixels.shape[1:]
    inside = keras.Sequential([keras.Input(size), keras.layers.Flatten(), keras.layers.Dense(10)])
    inside.compile(keras.optimizers.Adam(0.02), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    inside.fit(pixels, train.labels, epochs=12, verbose=0)

    def shifted(scale: float, offset: float) -> Any:
        """Return the network for values x with scale * x + offset in [0, 1], by its weights alone."""
        image = keras.Input(size)
        outputs = keras.layers.Dense(10)(keras.layers.Flatten()(image))
        model = keras.Model(image, outputs)
        kernel, bias = inside.get_weights()
        model.set_weights([kernel * scale, bias + offset * kernel.sum(axis=0)])
        return model

    shifted(1, 0).save(place / "unit.keras")
    shifted(1 / 255, 0).save(place / "bytes.keras")
    shifted(0.5, 0.5).save(place / "symmetric.keras")
    image = keras.Input(size)
    scores = inside(image)
    keras.Model(image, {"scores": scores, "doubled": keras.layers.Rescaling(2.0)(scores)}).save(place / "two.keras")
    return place


def _clean(result: CompletedProcess[str]) -> dict[str, int]:
    assert result.returncode == 0, result.stderr
    found = [json.loads(line) for line in result.stdout.splitlines()]
    return {each["model"]: each["correct"] for each in found if each["type"] == "score"}


BENCHMARK = ("benchmark", "--data", "digits", "--limit", 100, "--attack", "none", "--json")


def test_each_model_has_its_own_range_and_name(advcli: Command, folder: Path) -> None:
    models = ("unit.keras:range=0,1,name=base", "bytes.keras:range=0,255", "symmetric.keras:name=low,range=-1,1")
    found = _clean(advcli(*BENCHMARK, *models, cwd=folder))
    assert set(found) == {"base", "bytes", "low"}
    assert found["base"] == found["bytes"] == found["low"] > 80
    other = _clean(
        advcli(*BENCHMARK, "two.keras:output=scores,name=a", "two.keras:output=doubled,range=0,1,name=b", cwd=folder)
    )
    assert other == {"a": found["base"], "b": found["base"]}


@pytest.mark.parametrize(("name", "right"), [("bytes.keras", "0,255"), ("symmetric.keras", "-1,1")])
def test_a_range_that_fits_far_worse_stops_with_both_figures(
    advcli: Command, folder: Path, name: str, right: str
) -> None:
    stopped = advcli(*BENCHMARK, name, cwd=folder)
    assert stopped.returncode == 2
    assert stopped.stdout == ""
    assert f"input range 0,1 of '{name.removesuffix('.keras')}' seems wrong" in stopped.stderr
    assert f"of 100 with {right}" in stopped.stderr
    assert f"--input-range {right}" in stopped.stderr
    kept = advcli(*BENCHMARK, name, "--input-range", "0,1", cwd=folder)
    assert kept.returncode == 0, kept.stderr
    assert _clean(advcli(*BENCHMARK, "unit.keras", cwd=folder))["unit"] > 80


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unit.keras:range=1", "--input-range is not two rising numbers"),
        ("unit.keras:size=4", "an image size of '4'"),
        ("unit.keras:rnge=0,1,name=a", "a model has no option 'rnge"),
        ("unit.keras:name=a,name=b", "has the option 'name' twice"),
        ("unit.keras:name=", "'name=' of model 'unit.keras' has no value"),
        ("unit.keras:colour=red", "no model 'unit.keras:colour=red'"),
    ],
)
def test_an_option_that_is_not_valid_is_refused(advcli: Command, folder: Path, text: str, message: str) -> None:
    refused = advcli("benchmark", text, "--data", "digits", cwd=folder)
    assert refused.returncode == 2
    assert message in refused.stderr


def test_the_options_of_a_backbone_stay_with_it() -> None:
    choice = ModelOptions().choose("mobilenetv2:stem_stride=1,name=slow,size=64")
    assert (choice.value, choice.name, choice.image_size) == ("mobilenetv2:stem_stride=1", "slow", 64)
    assert ModelOptions().choose("mobilenetv2").name == "mobilenetv2"


def test_a_file_whose_name_looks_like_options_is_the_file(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a:name=b.keras"
    odd.write_bytes((folder / "unit.keras").read_bytes())
    assert ModelChoice.read(str(odd)).name == "a:name=b"
    with pytest.raises(UsageError, match="no model"):
        ModelChoice.read(str(tmp_path / "b:name=b.keras"))


def test_two_models_of_one_name_are_refused(advcli: Command, folder: Path) -> None:
    refused = advcli("benchmark", "unit.keras:name=a", "bytes.keras:range=0,255,name=a", "--data", "digits", cwd=folder)
    assert refused.returncode == 2
    assert "two models have the name 'a'" in refused.stderr
