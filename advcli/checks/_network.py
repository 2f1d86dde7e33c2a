"""Calls of the model on the images of a check, in small batches: a gradient needs all activations in memory."""

import contextlib

import numpy as np

from advcli.backend import KerasLayer, Nest, Tensor, TracedFunction, tf
from advcli.model.classifier import Classifier
from advcli.model.introspection import operations, replaced

_TOGETHER = 32


def in_parts(function: TracedFunction, *arrays: np.ndarray) -> np.ndarray:
    """Apply a function of some images to all of them: (N, ...) -> (N, ...)."""
    starts = range(0, len(arrays[0]), _TOGETHER)
    parts = (tuple(tf.constant(array[start : start + _TOGETHER]) for array in arrays) for start in starts)
    return np.concatenate([np.asarray(function(*part)) for part in parts])


def logits_of(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Compute the logits in eager mode: (N, H, W, C) -> (N, K)."""

    def ask(part: Tensor) -> Tensor:
        return classifier.logits(part)

    return in_parts(ask, pixels)


def random_layers(classifier: Classifier, pixels: np.ndarray) -> list[KerasLayer]:
    """List the layers of a Keras model that give different outputs for the same input in inference mode.

    Of a layer with sublayers only the random sublayers are listed, if there are any.
    """
    layers = operations(classifier.model)
    found: dict[int, KerasLayer] = {}

    def twice(layer: KerasLayer, call: TracedFunction) -> TracedFunction:
        def wrapped(*args: object, **kwargs: object) -> Nest:
            output = call(*args, **kwargs)
            if _differ(output, call(*args, **kwargs)):
                found[id(layer)] = layer
            return output

        return wrapped

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, "call", twice(layer, layer.call)))
        logits_of(classifier, pixels)
    return [layer for layer in found.values() if not any(id(inner) in found for inner in _inside(layer))]


def _inside(layer: KerasLayer) -> list[KerasLayer]:
    flatten = getattr(layer, "_flatten_layers", None)
    return list(flatten(include_self=False, recursive=True)) if flatten else []


def _differ(one: Tensor, other: Tensor) -> bool:
    pairs = zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True)
    return any(
        not np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
        for a, b in pairs
        if tf.is_tensor(a) and a.dtype.is_floating
    )
