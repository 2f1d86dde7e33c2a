"""Files of Keras 2: outputs are those of Keras 2, or the file is refused."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import keras2_zoo
from advcli.backend import keras
from advcli.errors import AdvcliError
from advcli.model import keras2_model, keras_file
from advcli.model.load import load
from advcli.model.saved_model import hides_layers
from advcli.tasks.benchmark.models import fingerprint

SECOND = ("thresholded",)
CODE = ("lambda", "own layer")
pytestmark = pytest.mark.skipif(find_spec("tf_keras") is None, reason="tf-keras is not installed")


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras2")
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    script = str(Path(__file__).with_name("keras2_zoo.py"))
    done = subprocess.run([sys.executable, script, str(folder)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def equal(model: Any, known: Path) -> None:
    """Compare with Keras 2, on the scale by which its outputs differ from image to image."""
    saved = np.load(known)
    spread = np.ptp(saved["outputs"], axis=0).max()
    largest = np.abs(saved["outputs"]).max()
    assert spread > 1e-3 * largest
    outputs = model(saved["images"], training=False)
    np.testing.assert_allclose(outputs, saved["outputs"], atol=1e-4 * spread + 2e-6 * largest)


@pytest.mark.parametrize("name", [name for name in keras2_zoo.NAMES if name not in (*SECOND, *CODE)])
def test_models_are_built_with_the_layers_of_keras_3(zoo: Path, name: str) -> None:
    model = keras_file.read(zoo / f"{name}.h5")
    equal(model, zoo / f"{name}.npz")
    assert not hides_layers(model.layers)
    # The inference copy, too, sees the same model.
    classifier = load(zoo / f"{name}.h5", name, input_range=(0, 1))
    assert classifier.inference_copy is not classifier


@pytest.mark.parametrize("name", ["transfer", "caffe mode"])
def test_preprocessing_shows_the_input_range(zoo: Path, name: str) -> None:
    assert load(zoo / f"{name}.h5", name).input_range == (0, 255)


def test_other_layers_are_read_in_a_second_process(zoo: Path) -> None:
    classifier = load(zoo / "thresholded.h5", "m", input_range=(0, 1))
    equal(classifier.model, zoo / "thresholded.npz")
    # The folder in between is a new one each time; the model is the same.
    assert fingerprint(classifier) == fingerprint(load(zoo / "thresholded.h5", "m", input_range=(0, 1)))


def test_without_keras_2_the_hint_names_what_to_install(zoo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tf_keras", None)
    with pytest.raises(AdvcliError, match="saved by Keras 2 and has the layer 'ThresholdedReLU'") as caught:
        keras_file.read(zoo / "thresholded.h5")
    assert caught.value.hint.startswith("pip install tf-keras")


def test_code_runs_only_if_asked(zoo: Path) -> None:
    with pytest.raises(AdvcliError, match="contains Python code") as caught:
        keras_file.read(zoo / "lambda.h5")
    assert "--unsafe-load" in caught.value.hint
    equal(keras_file.read(zoo / "lambda.h5", unsafe=True), zoo / "lambda.npz")
    with pytest.raises(AdvcliError, match="layer 'Own', and Keras 2 cannot read it") as caught:
        keras_file.read(zoo / "own layer.h5")
    assert "SavedModel" in caught.value.hint


def changed(zoo: Path, folder: Path, change: Callable[[Any, Any], None], name: str = "names") -> Path:
    """Copy a file, with another configuration or other weights."""
    path = Path(shutil.copy(zoo / f"{name}.h5", folder))
    with h5py.File(path, "r+") as file:
        config = json.loads(str(file.attrs["model_config"]))
        change(config, file["model_weights"])
        file.attrs["model_config"] = json.dumps(config)
    return path


def _operation(config: Any, _: Any) -> None:
    for layer in config["config"]["layers"]:
        if layer["class_name"] == "TFOpLambda":
            layer["config"]["function"] = "io.write_file"
            layer["inbound_nodes"] = [["_CONSTANT_VALUE", -1, "mark", {"contents": "x"}]]
            return


def test_functions_of_tensorflow_that_write_files_are_code(
    zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AdvcliError, match=r"a call of 'tf\.io\.write_file'") as caught:
        keras_file.read(changed(zoo, tmp_path, _operation))
    assert "--unsafe-load" in caught.value.hint
    assert not (tmp_path / "mark").exists()


def _layers(config: Any, kind: str) -> list[Any]:
    return [layer["config"] for layer in config["config"]["layers"] if layer["class_name"] == kind]


def _grouped(config: Any, _: Any) -> None:
    _layers(config, "Multiply")[0]["groups"] = 2


def _shorter(_: Any, weights: Any) -> None:
    group = weights["dense/dense"]
    values = group["bias:0"][:-1]
    del group["bias:0"]
    group["bias:0"] = values


def _swapped(_: Any, weights: Any) -> None:
    attributes = weights["dense"].attrs
    attributes["weight_names"] = attributes["weight_names"][::-1]


def _fewer(_: Any, weights: Any) -> None:
    weights["dense"].attrs["weight_names"] = weights["dense"].attrs["weight_names"][:1]


def _without_layer(_: Any, weights: Any) -> None:
    weights.attrs["layer_names"] = [name for name in weights.attrs["layer_names"] if name not in (b"dense", "dense")]


@pytest.mark.parametrize("change", [_grouped, _shorter, _swapped, _fewer, _without_layer])
def test_what_does_not_fit_is_not_built(zoo: Path, tmp_path: Path, change: Any) -> None:
    path = changed(zoo, tmp_path, change)
    config = keras2_model.configuration(path)
    assert config is not None
    with pytest.raises(keras2_model.Unknown):
        keras2_model.build_model(config, path)


def test_files_of_keras_3_are_not_touched(tmp_path: Path) -> None:
    keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]).save(tmp_path / "m.h5")
    assert keras2_model.configuration(tmp_path / "m.h5") is None
