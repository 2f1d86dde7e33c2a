"""What is done with is freed: TensorFlow keeps some functions of traced graphs for ever, which must hold no network."""

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import advcli
from advcli.backend import KerasModel, Tensor, keras, tf
from advcli.model.black_box import BlackBox, ScoreFunction
from advcli.tracing import custom_gradient, numpy_function

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 20, 16, 3), dtype=np.uint8)
LABELS = np.arange(6) % 4


def make_model() -> KerasModel:
    layers = [
        keras.layers.Input((16, 16, 3)),
        keras.layers.Conv2D(4, 3, strides=2),
        keras.layers.ReLU(),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(4),
    ]
    return keras.Sequential(layers)


def count(kind: str) -> int:
    """Count the objects of a class that are not garbage."""
    gc.collect()
    return sum(type(each).__name__ == kind for each in gc.get_objects())


def attack(model: KerasModel, spec: str) -> None:
    radius = None if spec.startswith("spatial") else 0.05
    advcli.attack(PIXELS, LABELS, model=model, input_range="0,255", attack=spec, eps=radius)


def benchmark(model: KerasModel, spec: str) -> None:
    advcli.benchmark(model, data=(PIXELS, LABELS), input_range="0,255", attacks=[spec], eps=0.05)


def explain(model: KerasModel, spec: str) -> None:
    advcli.explain(PIXELS[:1], model=model, input_range="0,255", methods=[spec])


@pytest.mark.parametrize(
    ("task", "spec"),
    [(attack, "pgd:steps=2"), (attack, "spatial:angles=3,places=3"), (benchmark, "fgsm"), (explain, "guided-backprop")],
)
def test_a_network_is_freed_with_its_graphs(task: Callable[[KerasModel, str], None], spec: str) -> None:
    model = make_model()
    network = weakref.ref(model)
    before = count("FuncGraph")
    task(model, spec)
    del model
    assert count("FuncGraph") <= before
    assert network() is None


def test_a_model_that_only_answers_is_freed() -> None:
    box = BlackBox(ScoreFunction(lambda images: np.ones((len(images), 3), np.float32), b"", 4), "a function", ())
    traced = tf.function(box, input_signature=[tf.TensorSpec((None, 4, 4, 3))], autograph=False)
    box.open(np.zeros((1, 4, 4, 3), np.float32))
    assert traced(tf.zeros((2, 4, 4, 3))).shape == (2, 3)
    asked = weakref.ref(box)
    del box, traced
    gc.collect()
    assert asked() is None


def test_training_images_are_freed(tmp_path: Path) -> None:
    before = count("Batches")
    advcli.train(backbone="small:width=4", epochs=1, limit=60, out=tmp_path / "run")
    assert count("Batches") <= before


def test_a_gradient_of_ones_own_is_used_eagerly_and_in_a_graph() -> None:
    @custom_gradient
    def doubled(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return tf.identity(x), lambda upstream: 2 * upstream

    def gradient(x: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = doubled(x)
        return tape.gradient(y, x)

    def gradient_of_traced(x: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = traced(x)
        return tape.gradient(y, x)

    traced = tf.function(doubled)
    for function in (gradient, tf.function(gradient), gradient_of_traced, tf.function(gradient_of_traced)):
        assert function(tf.ones(3)).numpy().tolist() == [2, 2, 2]


class Doubling:
    def __call__(self, x: np.ndarray) -> np.ndarray:
        return 2 * x


def doubled_by(doubling: Doubling) -> Callable[[Tensor], Tensor]:
    return lambda x: numpy_function(doubling, [x], tf.float32)


def test_a_function_of_arrays_lives_as_long_as_what_calls_it() -> None:
    doubling = Doubling()
    held = weakref.ref(doubling)
    inner = tf.function(doubled_by(doubling), autograph=False)
    outer = tf.function(lambda x, inner=inner: inner(x) + 1, autograph=False)
    steps = tf.data.Dataset.from_tensor_slices([0.0, 1.0, 2.0]).map(doubled_by(doubling))
    assert doubled_by(doubling)(tf.ones(3)).numpy().tolist() == [2, 2, 2]
    assert outer(tf.ones(3)).numpy().tolist() == [3, 3, 3]
    iterator = iter(steps)
    del outer, steps, doubling
    gc.collect()
    assert inner(tf.ones(3)).numpy().tolist() == [2, 2, 2]
    assert [step.numpy() for step in iterator] == [0, 2, 4]
    del inner, iterator
    gc.collect()
    assert held() is None
