"""Recognise the output head of a loaded model, and make the model return logits.

A final invertible activation is removed from its layer, and the result is verified: the activation of the logits must
equal the model's original output.
"""

from collections.abc import Iterator

import numpy as np

from advcli.backend import KerasLayer, KerasModel, keras, tf
from advcli.errors import AdvcliError
from advcli.model.introspection import operations, replaced
from advcli.model.output_head import LOGARITHM, LOGITS, ONE_LOGIT, Head, Removed, are_probabilities

_WORDS = {"softmax": "softmax", "sigmoid": "sigmoid", "hard_sigmoid": "hard sigmoid", "tanh": "tanh"}


def make_linear(model: KerasModel, inputs: np.ndarray, name: str = "model") -> Head:
    """Convert a loaded model so that it returns logits, and verify the result.

    Args:
        model: a classifier; the layer with its last activation is changed in place.
        inputs: (N, H, W, C) images in the input range of the model, for the verification.
        name: the name of the model in messages.

    Returns:
        The head. An activation that is not an attribute of a layer stays in the model, and is inverted.

    Raises:
        AdvcliError: the model has one output, which is not a probability of two classes.
    """
    outputs = model(inputs, training=False)
    tolerance = 1e-5 if outputs.dtype in (tf.float32, tf.float64) else 1e-2
    before = np.asarray(outputs, dtype=np.float64)
    single = before.shape[-1] == 1

    def is_undone(activation: str) -> bool:
        """Return whether the activation of the current outputs equals the model's original outputs."""
        after = np.asarray(model(inputs, training=False), dtype=np.float64)
        if activation == "softmax" and are_probabilities(after, tolerance):
            return False
        return not np.array_equal(before, after) and np.allclose(_applied(activation, after), before, atol=tolerance)

    # The last layer of a subclassed model is unknown, and an earlier layer may have the same activation: try each,
    # and verify the output without it.
    for operation in operations(model):
        for activation, attribute, stand_in in _without_activation(operation):
            if (single and activation == "softmax") or not _may_be(activation, before, tolerance):
                continue
            own = vars(operation).get(attribute)
            with replaced(operation, attribute, stand_in):
                undone = is_undone(activation)
            if undone:
                setattr(operation, attribute, stand_in)
                removed = Removed(operation, attribute, stand_in, own)
                return Head(f"{_WORDS[activation]} removed", activation, single, removed)
    activation = (
        "" if not single and _log_probabilities(before, tolerance) else _bounded(model, inputs, before, tolerance)
    )
    if single:
        return Head("inverse of its sigmoid", activation, single=True) if activation else _single_logit(model, name)
    if activation == "softmax":
        return LOGARITHM
    return Head(f"inverse of its {_WORDS[activation]}", activation) if activation else LOGITS


def _single_logit(model: KerasModel, name: str) -> Head:
    """Return the head for one unbounded output, used as the logit of the second class, if the model is a classifier."""
    last = next((part for part in reversed(operations(model)) if getattr(part, "weights", ())), None)
    activation = getattr(last, "activation", None) or keras.activations.linear
    if activation is not keras.activations.linear:
        own = getattr(activation, "__name__", "unknown")
        message = f"model '{name}' has one output with the activation '{own}', which is not a score of two classes"
        raise AdvcliError(message, "its last layer must return one value a class, or one sigmoid for two classes")
    return Head(ONE_LOGIT, single=True)


def _may_be(activation: str, outputs: np.ndarray, tolerance: float) -> bool:
    """Return whether outputs can be values of an activation."""
    if activation == "softmax":
        return are_probabilities(outputs, tolerance)
    return bool(outputs.max() <= 1 + tolerance and outputs.min() >= (-1 if activation == "tanh" else 0) - tolerance)


def _log_probabilities(outputs: np.ndarray, tolerance: float) -> bool:
    return bool(outputs.max() <= tolerance and are_probabilities(np.exp(outputs), tolerance))


def _bounded(model: KerasModel, inputs: np.ndarray, outputs: np.ndarray, tolerance: float) -> str:
    """Return the activation that bounds the outputs, if no layer has it as an attribute; empty if none is found.

    Outputs that stay in [0, 1] for arbitrarily large inputs and approach both ends are sigmoids. One output may
    approach only one of them, if the model sees the same class in all of these inputs; a logit would leave [0, 1].
    """
    if outputs.shape[-1] > 1 and are_probabilities(outputs, tolerance):
        return "softmax"
    if not _may_be("sigmoid", outputs, 0):
        return ""
    stretched = [np.asarray(model(scale * inputs, training=False), np.float64) for scale in (-1e4, 1e2, 1e4, 1e6)]
    every = np.concatenate([outputs, *stretched])
    ends = [every.min() < 0.01, every.max() > 0.99]
    reached = np.isfinite(every).all() and (any(ends) if outputs.shape[-1] == 1 else all(ends))
    return "sigmoid" if reached and _may_be("sigmoid", every, 0) else ""


def _applied(activation: str, logits: np.ndarray) -> np.ndarray:
    functions = {
        "softmax": tf.nn.softmax,
        "sigmoid": tf.sigmoid,
        "tanh": tf.tanh,
        "hard_sigmoid": lambda x: tf.clip_by_value(x / 6 + 0.5, 0, 1),
    }
    return functions[activation](tf.constant(logits)).numpy()


def _without_activation(operation: KerasLayer) -> Iterator[tuple[str, str, object]]:
    """Yield the attributes in which an operation holds an invertible activation, with their replacements."""
    # By name: the layer and the operation of keras.ops.softmax in a functional model have the same name.
    names = {"Softmax": "softmax", "Sigmoid": "sigmoid", "HardSigmoid": "hard_sigmoid", "Tanh": "tanh"}
    if type(operation).__name__ in names:
        yield names[type(operation).__name__], "call", lambda inputs, *_, **__: inputs
    held = getattr(operation, "activation", None)
    for name in names.values():
        functions = (getattr(keras.activations, name), getattr(keras.ops, name), getattr(tf.nn, name, None))
        if held is not None and held in functions:
            yield name, "activation", keras.activations.linear
