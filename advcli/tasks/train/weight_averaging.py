"""Averages of the weights over the steps of training, evaluated in addition to the weights themselves.

Izmailov, Podoprikhin, Garipov, Vetrov and Wilson 2018, https://arxiv.org/abs/1803.05407; with adversarial
training Gowal, Qin, Uesato, Mann and Kohli 2020, https://arxiv.org/abs/2010.03593
"""

import contextlib
from collections.abc import Iterator, Sequence

from advcli.backend import Tensor, Variable, tf


class Averages:
    """Exponential moving averages: a <- decay * a + (1 - decay) * w.

    Args:
        weights: the trainable weights.
        decay: the decay, in [0, 1).
    """

    def __init__(self, weights: Sequence[Variable], decay: float) -> None:
        self._weights = weights
        self._decay = decay
        self.values = [tf.Variable(weight, trainable=False) for weight in weights]

    def begin(self) -> None:
        """Begin with the weights as they are now."""
        for value, weight in zip(self.values, self._weights, strict=True):
            value.assign(tf.convert_to_tensor(weight))

    def move(self, steps: Tensor) -> None:
        """Update the averages; the decay is lower at first, so that they forget the initial weights."""
        steps = tf.cast(steps, tf.float32)
        decay = tf.minimum(self._decay, (1 + steps) / (10 + steps))
        for value, weight in zip(self.values, self._weights, strict=True):
            kept = tf.cast(decay, value.dtype)
            value.assign(kept * value + (1 - kept) * tf.convert_to_tensor(weight))

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Swap the averages in for the weights in this block; BatchNorm's statistics do not change."""
        raw = [weight.numpy() for weight in self._weights]
        for weight, value in zip(self._weights, self.values, strict=True):
            weight.assign(value)
        try:
            yield
        finally:
            for weight, value in zip(self._weights, raw, strict=True):
                weight.assign(value)
