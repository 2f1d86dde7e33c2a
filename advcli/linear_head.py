"""Find the softmax that ends a classifier and take it off, so that it gives logits.

Gradients of probabilities vanish where a model is sure, so attacks and explanations need logits.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from advcli.backend import keras, tf

LOGITS = "logits"
REMOVED = "softmax removed"
LOGARITHM = "logarithm of its probabilities"


def last_layer(model: Any) -> Any:
    """Return the layer that makes a model's output, looking into nested models."""
    while isinstance(model, keras.Model):
        outputs = getattr(model, "outputs", None)
        layer = outputs[0]._keras_history.operation if outputs else None
        if layer is None or layer is model:
            layers = model.layers
            if not layers:
                return model
            layer = layers[-1]
        model = layer
    return model


def make_linear(model: Any, inputs: np.ndarray) -> str:
    """Make a loaded model give logits, and prove that it does.

    Args:
        model: a classifier; its last layer is changed in place.
        inputs: (N, H, W, C) images in the range the model wants, to verify with.

    Returns:
        ``LOGITS`` if it gave logits already, ``REMOVED`` if a softmax was taken off, or
        ``LOGARITHM`` if it gives probabilities that no removable softmax makes: then the
        logarithm of its output has to serve.
    """
    before = np.asarray(model(inputs, training=False), dtype=np.float64)
    if not _are_probabilities(before):
        return LOGITS
    layer = last_layer(model)
    with contextlib.ExitStack() as undo:
        if _take_off(layer, undo):
            after = np.asarray(tf.nn.softmax(model(inputs, training=False)), dtype=np.float64)
            if np.allclose(after, before, atol=1e-5):
                undo.pop_all()
                return REMOVED
    return LOGARITHM


def _are_probabilities(outputs: np.ndarray) -> bool:
    return bool(outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))


def _take_off(layer: Any, undo: contextlib.ExitStack) -> bool:
    if isinstance(layer, keras.layers.Softmax):
        undo.enter_context(_replaced(layer, "call", lambda inputs, *_, **__: inputs))
        return True
    if getattr(layer, "activation", None) in (keras.activations.softmax, tf.nn.softmax):
        undo.enter_context(_replaced(layer, "activation", keras.activations.linear))
        return True
    return False


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    had = name in vars(owner)
    old = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if had:
            setattr(owner, name, old)
        else:
            delattr(owner, name)
