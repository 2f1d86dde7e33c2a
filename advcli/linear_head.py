"""Find the softmax that ends a classifier and take it off, so that it gives logits.

Gradients of probabilities vanish where a model is sure, so attacks and explanations need logits.
"""

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
    outputs = model(inputs, training=False)
    tolerance = 1e-5 if outputs.dtype in (tf.float32, tf.float64) else 1e-2
    before = np.asarray(outputs, dtype=np.float64)
    if not are_probabilities(before, tolerance):
        return LOGITS
    # A subclassed model does not say which layer comes last, and there may be a softmax further
    # up: whichever makes the output is told by what the model gives without it.
    for operation in operations(model):
        stand_in = _without_softmax(operation)
        if stand_in is None:
            continue
        with replaced(operation, *stand_in):
            after = np.asarray(model(inputs, training=False), dtype=np.float64)
        if not are_probabilities(after, tolerance) and np.allclose(tf.nn.softmax(after), before, atol=tolerance):
            setattr(operation, *stand_in)
            return REMOVED
    return LOGARITHM


def are_probabilities(outputs: np.ndarray, tolerance: float = 1e-5) -> bool:
    """Tell whether a model's outputs can be probabilities: (N, K), none negative, and each image's sum is one."""
    # The rounding errors of many classes add up.
    return bool(outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=10 * tolerance))


def _without_softmax(operation: Any) -> tuple[str, Any] | None:
    """Return the attribute in which an operation holds a softmax, and what to put there instead."""
    # By name: a layer, and what keras.ops.softmax becomes in a functional model, are both called that.
    if type(operation).__name__ == "Softmax":
        return "call", lambda inputs, *_, **__: inputs
    if getattr(operation, "activation", None) in (keras.activations.softmax, tf.nn.softmax):
        return "activation", keras.activations.linear
    return None
