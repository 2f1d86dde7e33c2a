"""Find the softmax that ends a classifier and take it off, so that it gives logits.

Gradients of probabilities vanish where a model is sure, so attacks and explanations need logits.
"""

import contextlib
from typing import Any

import numpy as np

from advcli.backend import keras, tf
from advcli.layers import operations, replaced

LOGITS = "logits"
REMOVED = "softmax removed"
LOGARITHM = "logarithm of its probabilities"


def make_linear(model: Any, inputs: np.ndarray) -> str:
    """Make a loaded model give logits, and prove that it does.

    Args:
        model: a classifier; the layer that holds its softmax is changed in place.
        inputs: (N, H, W, C) images in the range the model wants, to verify with.

    Returns:
        ``LOGITS`` if it gave logits already, ``REMOVED`` if a softmax was taken off, or
        ``LOGARITHM`` if it gives probabilities that no removable softmax makes: then the
        logarithm of its output has to serve.
    """
    before = np.asarray(model(inputs, training=False), dtype=np.float64)
    if not _are_probabilities(before):
        return LOGITS
    # A subclassed model does not say which layer comes last, and there may be a softmax further
    # up: whichever makes the output is told by what the model gives without it.
    for operation in operations(model):
        with contextlib.ExitStack() as undo:
            if _take_off(operation, undo):
                logits = model(inputs, training=False)
                after = np.asarray(logits, dtype=np.float64)
                tolerance = 1e-5 if logits.dtype in (tf.float32, tf.float64) else 1e-2
                if not _are_probabilities(after) and np.allclose(tf.nn.softmax(after), before, atol=tolerance):
                    undo.pop_all()
                    return REMOVED
    return LOGARITHM


def _are_probabilities(outputs: np.ndarray) -> bool:
    return bool(outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=1e-3))


def _take_off(operation: Any, undo: contextlib.ExitStack) -> bool:
    # By name: a layer, and what keras.ops.softmax becomes in a functional model, are both called that.
    if type(operation).__name__ == "Softmax":
        undo.enter_context(replaced(operation, "call", lambda inputs, *_, **__: inputs))
        return True
    if getattr(operation, "activation", None) in (keras.activations.softmax, tf.nn.softmax):
        undo.enter_context(replaced(operation, "activation", keras.activations.linear))
        return True
    return False
