"""Mixed precision: the passes that train in float16, weights and searches in float32.

Micikevicius, Narang, Alben, Diamos, Elsen, Garcia, Ginsburg, Houston, Kuchaiev, Venkatesh and Wu 2018,
https://arxiv.org/abs/1710.03740
"""

import contextlib
from collections.abc import Iterator, Sequence

from advcli.backend import KerasModel, Tensor, tf
from advcli.errors import UsageError

_FIRST_SCALE = 2.0**15
# The scale is doubled after this number of steps without an overflow.
_PATIENCE = 2000


def refuse_without_gpu() -> None:
    """Refuse mixed precision without a GPU.

    Raises:
        UsageError: there is no GPU.
    """
    if not tf.config.list_logical_devices("GPU"):
        raise UsageError("--amp needs a GPU: a CPU takes longer in float16 than in float32", "leave it out")


@contextlib.contextmanager
def half(model: KerasModel) -> Iterator[None]:
    """Compute in float16 in this block: every layer except the last one with weights, which returns the logits.

    The weights stay in float32, and so does the model that is saved.
    """
    layers = list(model._flatten_layers(include_self=False))
    head = max(i for i, layer in enumerate(layers) if layer.weights)
    before = [layer.dtype_policy for layer in layers]
    for layer in layers[:head]:
        layer.dtype_policy = "mixed_float16"
    try:
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer.dtype_policy = policy


class LossScale:
    """The factor of the loss that keeps small gradients above zero in float16.

    A step whose gradients overflow changes no weight and halves the factor.
    """

    def __init__(self) -> None:
        # All devices see the same sum of the gradients, so their scales are equal.
        first = tf.VariableAggregation.ONLY_FIRST_REPLICA
        self.scale = tf.Variable(_FIRST_SCALE, trainable=False, aggregation=first)
        self.steps = tf.Variable(0, trainable=False, aggregation=first)
        self.variables = [self.scale, self.steps]

    def undone(self, gradients: Sequence[Tensor]) -> tuple[list[Tensor], Tensor]:
        """Divide the gradients by the scale, and return whether all are finite; otherwise they are zero."""
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        return [tf.where(finite, gradient / self.scale, 0.0) for gradient in gradients], finite

    def move(self, finite: Tensor) -> None:
        """Halve the scale after an overflow, double it after many steps without one."""
        steps = tf.where(finite, self.steps + 1, 0)
        full = steps >= _PATIENCE
        grown = tf.where(full, 2.0 * self.scale, self.scale)
        self.scale.assign(tf.where(finite, grown, tf.maximum(self.scale / 2, 1.0)))
        self.steps.assign(tf.where(full, 0, steps))
