import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign
from advcli import registry
from advcli.backend import keras, tf
from advcli.errors import AdvcliError, UsageError
from advcli.model import saved_model
from advcli.model.classifier import Classifier
from advcli.model.load import load
from advcli.model.model_choice import ModelChoice
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.benchmark.models import fingerprint
from advcli.threat.threat import Threat
from conftest import Command

SPEC = (None, foreign.EDGE, foreign.EDGE, 3)


def spec(*shape: int | None, dtype: str = "float32") -> Any:
    return tf.TensorSpec(shape or SPEC, dtype)


class HubModule(tf.Module):
    """What TF Hub serves: an object to call, with a flag for training."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    @tf.function
    def __call__(self, images: Any, training: bool = False) -> Any:
        scores = self.model(images)
        return scores[::-1] if training else scores


def _export(model: Any, folder: str) -> None:
    model.export(folder, verbose=False)


def _save(model: Any, folder: str) -> None:
    tf.saved_model.save(model, folder)


def _hub(model: Any, folder: str) -> None:
    called = HubModule(model)
    for training in (True, False):
        called.__call__.get_concrete_function(spec(), training=training)
    tf.saved_model.save(called, folder)


def _one_signature(model: Any, folder: str) -> None:
    module = tf.Module()
    module.model = model
    function = tf.function(lambda images: {"scores": model(images)}, input_signature=[spec()])
    tf.saved_model.save(module, folder, signatures={"classify": function})


def _tensorflow_1(model: Any, folder: str) -> None:
    kernel, bias, *rest = [weight.numpy() for weight in model.weights]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        images = tf.compat.v1.placeholder(tf.float32, SPEC)
        variables = [tf.compat.v1.get_variable(f"v{i}", initializer=w) for i, w in enumerate((kernel, bias, *rest))]
        features = tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, variables[0], 1, "SAME") + variables[1]), [1, 2])
        scores = tf.nn.softmax(features @ variables[2] + variables[3])
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.saved_model.simple_save(session, folder, {"images": images}, {"scores": scores})


WAYS: dict[str, Callable[[Any, str], None]] = {
    "export": _export,
    "save": _save,
    "hub": _hub,
    "one signature": _one_signature,
    "TensorFlow 1": _tensorflow_1,
}


def slopes(function: Any, pixels: np.ndarray) -> np.ndarray:
    images = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = tf.reduce_sum(function(images)[:, 0])
    return tape.gradient(loss, images).numpy()


def pair(folder: Path, way: str, model: Any) -> tuple[Classifier, Classifier]:
    """Save a model as a SavedModel and as a .keras file: the classifiers of both."""
    WAYS[way](model, str(folder / "m"))
    model.save(folder / "m.keras")
    return load(folder / "m", "m", input_range=(0, 1)), load(folder / "m.keras", "m", input_range=(0, 1))


@pytest.mark.parametrize("way", WAYS)
def test_outputs_and_gradients_are_those_of_the_keras_model(tmp_path: Path, way: str) -> None:
    found, wanted = pair(tmp_path, way, foreign.build())
    pixels = foreign.images(6)
    np.testing.assert_allclose(found.predict(pixels), wanted.predict(pixels), atol=1e-6)
    assert len(found.model.trainable_variables) == len(wanted.model.trainable_variables)
    for classifier in (found, found.inference_copy, found.training_copy):
        of_found, of_wanted = slopes(classifier.logits, pixels), slopes(wanted.logits, pixels)
        assert np.abs(of_wanted).max() > 0
        np.testing.assert_allclose(of_found, of_wanted, atol=1e-6 * np.abs(of_wanted).max())


@pytest.mark.parametrize("kind", ["softmax of the last layer", "confident softmax", "sigmoid a class", "one sigmoid"])
@pytest.mark.parametrize("way", ["export", "save"])
def test_the_last_activation_is_taken_off(tmp_path: Path, way: str, kind: str) -> None:
    keras.utils.set_random_seed(3)
    model = foreign.ZOO[kind][0]()
    # Scores that are 0 and 1 to the last bit: their gradients vanish, those of the logits do not.
    model.layers[-1].kernel.assign(model.layers[-1].kernel * 50)
    found, wanted = pair(tmp_path, way, model)
    assert found.head == wanted.head
    pixels = foreign.images(6)
    np.testing.assert_array_equal(found.predict(pixels), wanted.predict(pixels))
    np.testing.assert_allclose(found.logits(pixels), wanted.logits(pixels), rtol=1e-6)
    of_found, of_wanted = slopes(found.logits, pixels), slopes(wanted.logits, pixels)
    np.testing.assert_allclose(of_found, of_wanted, atol=1e-6 * np.abs(of_wanted).max())


@pytest.mark.parametrize("attack", ["pgd:steps=5", "square:queries=20", "autoattack"])
def test_verdicts_are_those_of_the_keras_model(tmp_path: Path, attack: str) -> None:
    keras.utils.set_random_seed(3)
    model = foreign.ZOO["softmax of the last layer"][0]()
    pixels = foreign.images(5)
    foreign.centre(model, pixels)
    found, wanted = pair(tmp_path, "export", model)
    labels = wanted.predicted(pixels)
    threat = Threat(eps=0.02)
    made = registry.build("attacks", attack)
    one, other = (CompiledAttack(each.inference_copy, made, threat).search(pixels, labels) for each in (found, wanted))
    np.testing.assert_array_equal(one.predicted, other.predicted)
    assert (other.predicted != labels).any()


def test_inference_is_what_is_measured(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input(SPEC[1:]), keras.layers.Dropout(0.5), keras.layers.BatchNormalization()])
    model = keras.Sequential([model, keras.layers.Flatten(), keras.layers.Dense(4)])
    found, wanted = pair(tmp_path, "export", model)
    np.testing.assert_allclose(found.logits(foreign.images()), wanted.logits(foreign.images()), atol=1e-6)


@pytest.mark.skipif(find_spec("tf_keras") is None, reason="tf-keras is not installed")
def test_reads_what_keras_2_saves(tmp_path: Path) -> None:
    code = """
import numpy, sys, tf_keras as keras
layers = [keras.layers.Conv2D(4, 3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
layers += [keras.layers.Flatten(), keras.layers.Dense(4, "softmax")]
model = keras.Sequential([keras.layers.InputLayer((12, 12, 3)), *layers])
model.compile("adam", "mse")
images = numpy.load("x.npy")
model.fit(images, numpy.eye(4)[:len(images)], epochs=3, verbose=0)
model.save("m", save_format="tf")
numpy.save("y.npy", model.predict(images, verbose=0))
"""
    np.save(tmp_path / "x.npy", foreign.images(4))
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = load(tmp_path / "m", "m", input_range=(0, 1))
    np.testing.assert_allclose(found.predict(foreign.images(4)), np.load(tmp_path / "y.npy"), atol=1e-6)
    assert found.head.name == "softmax removed"


def test_several_outputs_are_named(tmp_path: Path) -> None:
    image = keras.Input(SPEC[1:])
    flat = keras.layers.Flatten()(image)
    outputs = {name: keras.layers.Dense(4, name=name)(flat) for name in ("breed", "colour")}
    keras.Model(image, outputs).export(str(tmp_path / "m"), verbose=False)
    model = saved_model.read(tmp_path / "m")
    assert set(model(foreign.images())) == {"breed", "colour"}
    assert {name: tensor.shape for name, tensor in model.output.items()} == {"breed": (None, 4), "colour": (None, 4)}


def _two_inputs(folder: str) -> None:
    inputs = [keras.Input(SPEC[1:], name=name) for name in ("left", "right")]
    keras.Model(inputs, keras.layers.Flatten()(inputs[0] + inputs[1])).export(folder, verbose=False)


def _signatures(folder: str, **specs: Any) -> None:
    module = tf.Module()
    functions = {name: tf.function(lambda x: x, input_signature=[one]) for name, one in specs.items()}
    tf.saved_model.save(module, folder, signatures=functions)


def _damaged(folder: str) -> None:
    _save(foreign.build(), folder)
    for part in Path(folder, "variables").iterdir():
        part.unlink()


def _cut(folder: str) -> None:
    _save(foreign.build(), folder)
    Path(folder, "saved_model.pb").write_bytes(b"no proto")


@pytest.mark.parametrize(
    ("make", "message", "hint"),
    [
        (_two_inputs, "2 inputs: 'left', 'right'", "one image as its input"),
        (lambda folder: _signatures(folder, serving_default=spec(None, dtype="string")), "encoded", "pixels"),
        (lambda folder: _signatures(folder, serving_default=spec(1, 8, 8, 3)), "batches of 1 images", "None"),
        (lambda folder: _signatures(folder, serving_default=spec(None, 8)), "'serving_default' takes float32", "batch"),
        (
            lambda folder: _signatures(folder, a=spec(), b=spec(None, 8)),
            "'a' takes float32 .*'b' takes",
            "one signature",
        ),
        (lambda folder: tf.saved_model.save(tf.Module(), folder), "no signature and no function", "model.export"),
        (_damaged, "cannot load SavedModel", "whole"),
        (_cut, "is damaged", "again"),
    ],
)
def test_says_what_it_found(tmp_path: Path, make: Callable[[str], None], message: str, hint: str) -> None:
    make(str(tmp_path / "m"))
    with pytest.raises(AdvcliError, match=message) as caught:
        saved_model.read(tmp_path / "m")
    assert hint in caught.value.hint
    assert str(tmp_path / "m") in caught.value.message


class Reaching(tf.Module):
    """Scores, and something on the side."""

    def __init__(self, aside: Callable[[], Any]) -> None:
        super().__init__()
        self.aside = aside

    @tf.function(input_signature=[spec()])
    def serve(self, images: Any) -> Any:
        # Inside a function that a branch calls, where a look at the outermost graph would not find it.
        tf.cond(tf.reduce_sum(images) > -1, lambda: (self.aside(), 0.0)[1], lambda: 0.0)
        return tf.reduce_mean(images, [1, 2])


def test_what_reaches_no_file_and_no_program_may_be_trusted(tmp_path: Path) -> None:
    tf.saved_model.save(Reaching(tf.timestamp), str(tmp_path / "m"))
    with pytest.raises(AdvcliError, match=r"outside the model: Timestamp") as caught:
        saved_model.read(tmp_path / "m")
    assert "--unsafe-load" in caught.value.hint


def _checkpoint(marker: str) -> Any:
    return tf.raw_ops.SaveV2(prefix=marker, tensor_names=["v"], shape_and_slices=[""], tensors=[tf.zeros(1)])


@pytest.mark.parametrize(
    ("aside", "kind"),
    [
        (lambda marker: tf.io.write_file(marker, "x"), "WriteFile"),
        (lambda marker: tf.print("x", output_stream=f"file://{marker}"), "PrintV2"),
        (lambda marker: tf.io.read_file(marker), "ReadFile"),
        (lambda marker: tf.numpy_function(lambda: np.float32(0), [], tf.float32), "PyFunc"),
        (_checkpoint, "SaveV2"),
        (lambda marker: tf.data.TextLineDataset(marker).reduce(0, lambda a, b: a), "TextLineDataset"),
        (lambda marker: tf.raw_ops.DebugIdentityV2(input=1.0, debug_urls=[f"file://{marker}"]), "DebugIdentityV2"),
    ],
)
def test_operations_that_reach_beyond_the_model_are_refused(tmp_path: Path, aside: Any, kind: str) -> None:
    marker = tmp_path / "mark"
    tf.saved_model.save(Reaching(lambda: aside(str(marker))), str(tmp_path / "m"))
    with pytest.raises(AdvcliError, match=rf"outside the model: .*\b{kind}\b") as caught:
        saved_model.read(tmp_path / "m")
    assert f"'{kind}'" in caught.value.hint
    assert "--unsafe-load" not in caught.value.hint
    if kind == "WriteFile":
        saved_model.read(tmp_path / "m", unsafe=True)(foreign.images())
        assert marker.exists()


def test_a_table_in_the_graph_is_fine(tmp_path: Path) -> None:
    module = Reaching(lambda: 0)
    module.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(["a"], [1]), -1)
    tf.saved_model.save(module, str(tmp_path / "m"))
    assert saved_model.read(tmp_path / "m")(foreign.images()).shape == (3, 3)


def test_names_and_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _export(foreign.build(), "pets.v2")
    _export(foreign.build(), "hub/3")
    assert ModelChoice("pets.v2").name == "pets.v2"
    assert ModelChoice("hub/3").name == "hub/3"
    with pytest.raises(UsageError, match=r"neither a run folder .* nor a SavedModel") as caught:
        ModelChoice("hub")
    assert caught.value.hint == "did you mean 'hub/3'?"


def _linear(kernel: Any, images: Any) -> Any:
    return tf.reduce_mean(images, [1, 2]) @ kernel


def test_the_fingerprint_is_that_of_the_folder(tmp_path: Path) -> None:
    prints = []
    for name, scale in (("a", 1.0), ("b", 2.0)):
        kernel = tf.constant(np.random.default_rng(0).normal(size=(3, 4)) * scale, tf.float32)
        module = tf.Module()
        # No variables: all is in the graph.
        module.serve = tf.function(partial(_linear, kernel), input_signature=[spec()])
        tf.saved_model.save(module, str(tmp_path / name))
        prints.append(fingerprint(load(tmp_path / name, "m", input_range=(0, 1))))
    assert prints[0] != prints[1]
    assert prints[1] == fingerprint(load(tmp_path / "b", "m", input_range=(0, 1)))


def test_commands(tmp_path: Path, advcli: Command) -> None:
    _export(foreign.build(), str(tmp_path / "pets"))
    image = np.rint(foreign.images(1)[0] * 255).astype(np.uint8)
    keras.utils.save_img(tmp_path / "x.png", image, scale=False)
    options = ["--model", "pets", "--input-range", "0,1"]
    done = advcli("attack", "x.png", *options, "--eps", "0.1", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"] == "pets"
    methods = [part for method in ("saliency", "occlusion", "rise:masks=20") for part in ("--method", method)]
    done = advcli("explain", "x.png", *options, *methods, "--out", "maps")
    assert done.returncode == 0, done.stderr
    for method, words in (("gradcam", "whose layers are not accessible"), ("guided-backprop", "cannot reach")):
        done = advcli("explain", "x.png", *options, "--method", method, "--out", f"maps-{method[:4]}")
        assert done.returncode == 1
        assert words in done.stderr
        assert "hint:" in done.stderr
    for name in ("a", "b", "c", "d"):
        folder = tmp_path / "data" / "test" / name
        folder.mkdir(parents=True)
        keras.utils.save_img(folder / "x.png", image, scale=False)
    options = ["--data", "data", "--attack", "pgd:steps=2", "--eps", "0.1", "--input-range", "0,1"]
    done = advcli("benchmark", "pets", *options)
    assert done.returncode == 0, done.stderr
