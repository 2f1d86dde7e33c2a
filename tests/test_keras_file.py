import errno
import importlib
import json
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import foreign
from advcli.backend import keras
from advcli.errors import AdvcliError
from advcli.model import keras_file
from advcli.model.load import load

OWN_CODE = """
import keras

def shifted(inputs):
    return inputs + 1.0

class Own(keras.Model):
    def __init__(self, classes=4, **options):
        super().__init__(**options)
        self.classes = classes
        self.head = keras.layers.Dense(classes, activation="softmax")
        self.flat = keras.layers.Flatten()
    def build(self, input_shape):
        self.head.build((None, input_shape[1] * input_shape[2] * input_shape[3]))
    def call(self, inputs):
        return self.head(self.flat(inputs))
    def get_config(self):
        return {**super().get_config(), "classes": self.classes}

@keras.saving.register_keras_serializable("own")
class Registered(Own):
    pass

class Scale(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2.0
"""


@pytest.mark.parametrize("ending", [".keras", ".h5", ".hdf5"])
@pytest.mark.parametrize("shape", ["flat", "nested", "nested whole", "sequential", "sequential without input"])
def test_reads_what_keras_saves(tmp_path: Path, shape: str, ending: str) -> None:
    model = foreign.build(shape)
    model.save(tmp_path / f"m{ending}")
    read = keras_file.read(tmp_path / f"m{ending}")
    np.testing.assert_array_equal(read(foreign.images()), model(foreign.images()))


def _weights(path: Path) -> None:
    foreign.build().save_weights(path.with_name("w.weights.h5"))
    path.with_name("w.weights.h5").rename(path)


def _cut(path: Path) -> None:
    foreign.build().save(path)
    path.write_bytes(path.read_bytes()[:3000])


def _other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("cat.txt", "a cat")


def _renamed(path: Path) -> None:
    foreign.build().save(path.with_suffix(".keras"))
    path.with_suffix(".keras").rename(path)


def _torch(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"")


def _unbuilt(path: Path) -> None:
    with pytest.warns(UserWarning, match="not yet been built"):
        keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4)]).save(path)


@pytest.mark.parametrize(
    ("name", "make", "message", "hint"),
    [
        ("m.keras", lambda path: path.write_text("hello"), "is a text file, not", "of a whole model"),
        ("m.keras", lambda path: path.touch(), "is an empty file", "again"),
        ("m.keras", _cut, "is a damaged .zip archive, or a part of one", "again"),
        (
            "m.keras",
            lambda path: path.write_bytes(b"\0\1"),
            "is not a Keras model, or is incomplete",
            "of a whole model",
        ),
        ("m.h5", _cut, "truncated", "of a whole model"),
        ("m.keras", _other_zip, "is a .zip archive, not", "of a whole model"),
        ("m.zip", _renamed, "suffix", "rename it to 'm.keras'"),
        ("m.keras", _weights, "is a file of Keras weights", "--weights"),
        ("m.h5", _weights, "is a file of Keras weights", "--weights"),
        ("m.keras", lambda path: path.mkdir(), "is an empty folder", "of a whole model"),
        ("m.pt", _torch, "is a PyTorch file", "in Keras"),
        ("m.pth", lambda path: path.write_bytes(b"\x80\x02\x8a\nl"), "is a PyTorch file", "in Keras"),
        ("saved_model.pb", lambda path: path.write_bytes(b"\x08\x01"), "is the graph of a SavedModel", "its folder"),
        ("m.pb", lambda path: path.write_bytes(b"\n\x01"), "is a frozen TensorFlow graph", "wrap_function"),
        ("m.keras", lambda path: None, "No such file", ""),
        ("m.keras", _unbuilt, "has no weights", "before saving"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path: Path, name: str, make: Any, message: str, hint: str) -> None:
    make(tmp_path / name)
    with pytest.raises(AdvcliError, match=message) as caught:
        keras_file.read(tmp_path / name)
    assert hint in caught.value.hint
    assert str(tmp_path / name) in caught.value.message
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 500


def test_another_version_of_keras_is_told(tmp_path: Path) -> None:
    foreign.build().save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["metadata.json"] = json.dumps({"keras_version": "9.1.0"}).encode()
    members["config.json"] = members["config.json"].replace(b'"filters"', b'"filtres"')
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(AdvcliError, match="'filters'") as caught:
        keras_file.read(tmp_path / "m.keras")
    assert "saved by Keras 9.1.0" in caught.value.hint


@pytest.mark.parametrize("ending", [".keras", ".h5"])
def test_code_in_a_file_runs_only_if_asked(tmp_path: Path, ending: str) -> None:
    marker, path = tmp_path / "ran", tmp_path / f"m{ending}"
    file = str(marker)
    mark = keras.layers.Lambda(lambda inputs: (open(file, "w").close(), inputs * 2.0)[1])  # noqa: PTH123  one expression
    model = foreign.build("flat", before=mark)
    model.save(path)
    marker.unlink()
    with pytest.raises(AdvcliError, match="contains Python code") as caught:
        keras_file.read(path)
    assert "--unsafe-load" in caught.value.hint
    assert not marker.exists()
    read = keras_file.read(path, unsafe=True)
    assert marker.exists()
    np.testing.assert_allclose(read(foreign.images()), model(foreign.images()), rtol=1e-6)


@pytest.fixture
def own_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module with classes of its own, whose models are saved beside it; forgotten again before the test."""
    known = dict(keras.saving.get_custom_objects())
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "own_network.py").write_text(OWN_CODE)
    monkeypatch.syspath_prepend(str(folder))
    own: Any = importlib.import_module("own_network")
    image = keras.Input((4, 4, 3))
    scores = keras.layers.Dense(4)(keras.layers.Flatten()(own.Scale()(image)))
    models = {
        "Own": own.Own(),
        "Registered": own.Registered(),
        "Scale": keras.Model(image, scores),
        "shifted": keras.Sequential(
            [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(4, own.shifted)]
        ),
    }
    for name, model in models.items():
        outputs = model(foreign.images(edge=4))
        model.save(tmp_path / f"{name}.keras")
        np.save(tmp_path / name, outputs)
    models["Scale"].save(tmp_path / "Scale.h5")
    _forget()
    yield folder
    _forget()
    # Other tests have registered classes of their own.
    keras.saving.get_custom_objects().update(known)


def _forget() -> None:
    sys.modules.pop("own_network", None)
    keras.saving.get_custom_objects().clear()


@pytest.mark.parametrize("name", ["Own", "Registered", "Scale"])
def test_own_classes_are_imported_if_asked(own_code: Path, name: str) -> None:
    path = own_code.parent / f"{name}.keras"
    with pytest.raises(AdvcliError, match=f"needs the Python class or function '{name}'") as caught:
        keras_file.read(path)
    assert "folder of own_network on PYTHONPATH and give --unsafe-load" in caught.value.hint
    assert "own_network" not in sys.modules
    model = keras_file.read(path, unsafe=True)
    np.testing.assert_allclose(model(foreign.images(edge=4)), np.load(own_code.parent / f"{name}.npy"), rtol=1e-6)


@pytest.mark.parametrize("file", ["Scale.h5", "shifted.keras"])
@pytest.mark.parametrize("unsafe", [False, True])
def test_some_files_do_not_say_where_their_code_is(own_code: Path, file: str, unsafe: bool) -> None:
    with pytest.raises(AdvcliError, match=f"needs the Python class or function '{file.partition('.')[0]}'") as caught:
        keras_file.read(own_code.parent / file, unsafe=unsafe)
    assert "save the model as .keras" in caught.value.hint


def test_own_classes_that_cannot_be_imported_are_told(own_code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = own_code.parent / "Own.keras"
    (own_code / "own_network.py").write_text("raise OSError('no such camera')")
    importlib.invalidate_caches()
    with pytest.raises(AdvcliError, match="needs 'Own' of the Python module 'own_network': no such camera"):
        keras_file.read(path, unsafe=True)
    (own_code / "own_network.py").write_text("# nothing in here")
    importlib.invalidate_caches()
    with pytest.raises(AdvcliError, match="needs the Python class or function 'Own'"):
        keras_file.read(path, unsafe=True)
    _forget()
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(own_code)])
    with pytest.raises(AdvcliError, match="No module named 'own_network'") as caught:
        keras_file.read(path, unsafe=True)
    assert "put the folder of own_network on PYTHONPATH" in caught.value.hint


@pytest.mark.parametrize("endpoint", ["serve", "serving_default"])
def test_a_saved_model_in_a_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Keras stores the path of the folder as it was given, and reads it only with safe_mode=False."""
    monkeypatch.chdir(tmp_path)
    model = foreign.build()
    model.export("inner", verbose=False)
    image = keras.Input((foreign.EDGE, foreign.EDGE, 3))
    keras.Model(image, keras.layers.TFSMLayer("inner", call_endpoint=endpoint)(image)).save("m.keras")
    with pytest.raises(AdvcliError, match="its TFSMLayer reads the SavedModel 'inner', which can") as caught:
        keras_file.read(Path("m.keras"))
    assert "--unsafe-load" in caught.value.hint
    assert "--model inner" in caught.value.hint
    found = keras_file.read(Path("m.keras"), unsafe=True)(foreign.images())
    found = found["output_0"] if isinstance(found, dict) else found
    np.testing.assert_array_equal(found, model(foreign.images()))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    with pytest.raises(AdvcliError, match="the SavedModel 'inner', which is not there") as caught:
        keras_file.read(tmp_path / "m.keras", unsafe=True)
    assert caught.value.hint == f"run advcli in the folder '{tmp_path}'"


def _low_rank(model: Any) -> Any:
    model.layers[-1].enable_lora(2)
    for weight in model.trainable_weights:
        weight.assign(weight + 0.1)
    return model


def _quantized(model: Any) -> Any:
    with warnings.catch_warnings():
        # Layers without weights are named one by one.
        warnings.simplefilter("ignore")
        model.quantize("int8")
    return model


RECENT: dict[str, Any] = {
    "ConvNeXt": lambda: _recent("ConvNeXtTiny"),
    "EfficientNetV2": lambda: _recent("EfficientNetV2B0"),
    "int8": lambda: _quantized(foreign.build(kind="logits")),
    "LoRA": lambda: _low_rank(foreign.build(kind="logits")),
}


def _recent(name: str) -> Any:
    """Build a network without its pretrained weights, whose LayerScale and BatchNorm do something."""
    keras.utils.set_random_seed(1)
    model = getattr(keras.applications, name)(
        weights=None, input_shape=(32, 32, 3), classes=4, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if "kernel" not in weight.name and "float" in weight.dtype:
            weight.assign(weight + rng.uniform(0, 0.1, weight.shape))
    return model


LARGE = ("ConvNeXt", "EfficientNetV2")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in RECENT]
)
def test_recent_networks_are_as_keras_reads_them(tmp_path: Path, name: str) -> None:
    model = RECENT[name]()
    path = tmp_path / "m.keras"
    model.save(path)
    pixels = foreign.images(2, edge=model.input_shape[1])
    outputs = np.asarray(keras.models.load_model(path)(pixels, training=False))
    np.testing.assert_array_equal(outputs, model(pixels, training=False))
    classifier = load(path, name, input_range=(0, 1))
    np.testing.assert_allclose(classifier.logits(pixels), outputs, atol=1e-6 * np.abs(outputs).max())
    copied = classifier.inference_copy.logits(pixels)
    np.testing.assert_allclose(copied, outputs, atol=1e-4 * np.abs(outputs).max())


HUGE = {
    "dense": (keras.layers.Dense, {"units": 5}, {"units": 30_000_000}),
    "beyond 32 bits": (keras.layers.Dense, {"units": 5}, {"units": 2**31}),
    "convolution": (keras.layers.Conv2D, {"filters": 5, "kernel_size": 3}, {"filters": 10**9}),
    "embedding": (keras.layers.Embedding, {"input_dim": 9, "output_dim": 5}, {"input_dim": 10**10}),
}


@pytest.mark.parametrize("file", ["m.keras", "m.h5"])
@pytest.mark.parametrize("kind", HUGE)
def test_a_layer_larger_than_its_weights_is_refused_before_it_is_made(kind: str, file: str, tmp_path: Path) -> None:
    layer, small, huge = HUGE[kind]
    model = keras.Sequential([keras.Input((8, 8, 3)), layer(**small, name="wide"), keras.layers.Dense(2)])
    path = tmp_path / file
    model.save(path)
    (option, value), *_ = huge.items()
    if file == "m.h5":
        with h5py.File(path, "r+") as opened:
            config = json.loads(str(opened.attrs["model_config"]))
            config["config"]["layers"][1]["config"][option] = value
            opened.attrs["model_config"] = json.dumps(config)
    else:
        with zipfile.ZipFile(path) as archive:
            content = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(content["config.json"])
        config["config"]["layers"][1]["config"][option] = value
        content["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    with pytest.raises(
        AdvcliError, match=rf"cannot load model '.*{file}': with '.*wide/.*' its variables have"
    ) as caught:
        keras_file.read(path)
    assert "save the model again" in caught.value.hint


def test_a_full_temporary_folder_is_no_fault_of_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign.build().save(tmp_path / "m.keras")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(keras.models, "load_model", full)
    with pytest.raises(AdvcliError, match="no temporary file can be written: No space left on device") as caught:
        load(tmp_path / "m.keras", "m")
    assert "TMPDIR" in caught.value.hint
