"""The output head of a classifier: how its output becomes logits and scores.

Gradients of probabilities vanish where a model is confident, so attacks and explanations need logits.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from advcli.backend import KerasLayer, Tensor, keras, tf

_LEAST = 1e-30


class Removed(NamedTuple):
    """A removed activation: the attribute that held it, and its original value."""

    operation: KerasLayer
    attribute: str
    stand_in: KerasLayer
    own: KerasLayer


@dataclass(frozen=True)
class Head:
    """Conversion of a model's output to logits and to scores.

    Args:
        name: the description in records.
        activation: the last activation: ``softmax``, ``sigmoid``, ``hard_sigmoid``, ``tanh``, or empty if the model
            ends in logits or in log-probabilities.
        single: the model has one output for two classes, which is the score of the second class.
        removed: the activation that was removed from the model; None if the activation is inverted instead.
    """

    name: str
    activation: str = ""
    single: bool = False
    removed: Removed | None = field(default=None, compare=False, repr=False)

    def logits(self, outputs: Tensor) -> Tensor:
        """Convert the model's output, after the removal of its activation if possible, to logits: -> (N, K).

        One logit z for two classes becomes -z / 2 and z / 2, whose softmax is 1 - sigmoid(z) and sigmoid(z). Both
        classes have a gradient, so both can be explained.
        """
        outputs = tf.cast(outputs, tf.float32)
        if self.activation and self.removed is None:
            outputs = _inverse(self.activation, outputs)
        return tf.concat([-outputs / 2, outputs / 2], axis=1) if self.single else outputs

    def scores(self, outputs: Tensor) -> Tensor:
        """Convert the model's original output to scores in [0, 1] for each class, in the same order: -> (N, K).

        Softmax and sigmoid outputs are scores already; one sigmoid p for two classes becomes 1 - p and p; logits become
        their softmax in float64.
        """
        outputs = tf.cast(outputs, tf.float64)
        if not self.activation:
            outputs = tf.concat([tf.zeros_like(outputs), outputs], axis=1) if self.single else outputs
            return tf.nn.softmax(outputs)
        if self.activation == "tanh":
            outputs = (outputs + 1) / 2
        return tf.concat([1 - outputs, outputs], axis=1) if self.single else outputs

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return the scores for logits: (N, K) -> (N, K) in [0, 1]."""
        if self.single or self.activation in ("", "softmax"):
            return tf.nn.softmax(logits)
        if self.activation == "hard_sigmoid":
            return keras.ops.hard_sigmoid(logits)
        return tf.sigmoid(logits if self.activation == "sigmoid" else 2 * logits)

    @property
    def independent(self) -> bool:
        """Whether each class has a probability of its own: the scores of an image need not have the sum one."""
        return not self.single and self.activation not in ("", "softmax")

    @contextlib.contextmanager
    def put_back(self) -> Iterator[None]:
        """Restore the removed activation inside this block, so that the model computes its original output."""
        if self.removed is None:
            yield
            return
        operation, attribute, stand_in, own = self.removed
        if own is None:
            delattr(operation, attribute)
        else:
            setattr(operation, attribute, own)
        try:
            yield
        finally:
            setattr(operation, attribute, stand_in)


LOGITS = Head("logits")
ONE_LOGIT = "one logit"
LOGARITHM = Head("logarithm of its probabilities", "softmax")


def are_probabilities(outputs: np.ndarray, tolerance: float = 1e-5) -> bool:
    """Return whether outputs can be probabilities: (N, K), none negative, and each row has the sum one."""
    # The rounding errors of many classes accumulate.
    return bool(outputs.min() >= 0 and np.allclose(outputs.sum(axis=-1), 1, atol=10 * tolerance))


def _inverse(activation: str, outputs: Tensor) -> Tensor:
    if activation == "softmax":
        return tf.math.log(tf.maximum(outputs, _LEAST))
    return tf.math.log(tf.maximum(outputs, _LEAST)) - tf.math.log(tf.maximum(1 - outputs, _LEAST))
