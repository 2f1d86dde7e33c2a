"""Classifiers as other people build them, in every shape and with every kind of head."""

from typing import Any

import numpy as np

from advcli.backend import keras

EDGE = 12
CLASSES = 4
SHAPES = (
    "flat",
    "nested",
    "nested whole",
    "sequential",
    "sequential without input",
    "subclassed",
    "subclassed in order",
)
HEADS = ("dense", "activation", "layer", "function")


class Subclassed(keras.Model):
    """A model that only its own Python code knows the order of; its layers are made last to first."""

    def __init__(self, head: list[Any], body: list[Any], in_order: bool = False, **options: Any) -> None:
        super().__init__(**options)
        if in_order:
            self.body = body
        self.head = head
        self.body = body

    def call(self, inputs: Any) -> Any:
        for layer in [*self.body, *self.head]:
            inputs = layer(inputs)
        return inputs


def body(width: int = 6) -> list[Any]:
    """Return the layers up to the features."""
    layers = keras.layers
    return [
        layers.Conv2D(width, 3, padding="same", name="conv"),
        layers.ReLU(name="relu"),
        layers.GlobalAveragePooling2D(name="mean"),
    ]


def head(kind: str) -> list[Any]:
    """Return the layers from the features to the probabilities, or for ``logits`` to the logits."""
    layers = keras.layers
    # Confident enough for the gradient of a probability to vanish.
    options: dict[str, Any] = {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=40.0, seed=5),
        "name": "scores",
    }
    if kind == "dense":
        return [layers.Dense(CLASSES, activation="softmax", **options)]
    last = {
        "logits": [],
        "activation": [layers.Activation("softmax")],
        "layer": [layers.Softmax()],
        "function": [keras.ops.softmax],
    }[kind]
    return [layers.Dense(CLASSES, **options), *last]


def chain(tensor: Any, layers: list[Any]) -> Any:
    """Call layers one after another."""
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def build(shape: str = "flat", kind: str = "dense", channels: int = 3, before: Any = None) -> Any:
    """Build a classifier whose weights depend on nothing but the number of channels.

    Args:
        shape: one of SHAPES.
        kind: one of HEADS, or ``logits``.
        channels: of the images.
        before: a layer in front of it all.
    """
    keras.utils.set_random_seed(7)
    size = (EDGE, EDGE, channels)
    image = keras.Input(size)
    first = [before] if before is not None else []
    features, scores = body(), head(kind)
    if shape == "flat":
        return keras.Model(image, chain(image, [*first, *features, *scores]))
    if shape in ("nested", "nested whole"):
        inside = keras.Input(size)
        parts = features[:2] if shape == "nested" else [*features, *scores]
        inner = keras.Model(inside, chain(inside, parts), name="inner")
        rest = [features[2], *scores] if shape == "nested" else []
        return keras.Model(image, chain(image, [*first, inner, *rest]))
    if shape.startswith("sequential"):
        scores = [layer if isinstance(layer, keras.layers.Layer) else keras.layers.Softmax() for layer in scores]
        start = [keras.Input(size)] if shape == "sequential" else []
        model = keras.Sequential([*start, *first, *features, *scores])
    else:
        model = Subclassed(scores, [*first, *features], in_order=shape.endswith("order"))
    model(np.zeros((1, *size), np.float32))
    return model


def images(count: int = 3, channels: int = 3, edge: int = EDGE) -> np.ndarray:
    """Make random images in [0, 1]."""
    return np.random.default_rng(11).random((count, edge, edge, channels), dtype=np.float32)
