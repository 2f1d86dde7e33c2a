"""Gradient alignment: the loss has the same slope at an image and at a random point near it.

Andriushchenko and Flammarion 2020, https://arxiv.org/abs/2007.02617
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from advcli.backend import Tensor, as_written, tf
from advcli.errors import UsageError
from advcli.modifiers import Penalty
from advcli.threat.gradient import gradient
from advcli.threat.inner_maximization import InnerMaximization

# The objective beside it draws from the same streams, and must not draw the same noise.
_STREAM = 2007


@dataclass(frozen=True)
class GradientAlignment(Penalty):
    """``weight * (1 - cos(gradient at x, gradient at x + u))``, u uniform in [-eps, eps].

    Keeps training with one step (fgsm-rs) from catastrophic overfitting. Two more forward and backward passes, the
    second differentiated once more, about as long as four updates without it; BatchNorm is in training mode, as
    in the published code. The weights get no gradient through the first. Known failure: layers without a
    second derivative, and networks of ReLU so flat that images have no gradient: those are left out.

    Args:
        weight: the paper's lambda; for CIFAR-10 it is 0.2 at eps 8/255 and 2 at 16/255.
    """

    uses: ClassVar[tuple[str, ...]] = ("eps",)
    norms: ClassVar[tuple[str, ...]] = ("linf",)
    searches_in_training_pass: ClassVar[bool] = True

    weight: float = 0.2

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise UsageError(f"weight is not positive: {self.weight:g}")

    @as_written
    def penalty(self, model: Any, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the term: (N, H, W, C) in [0, 1], (N,) -> (N,), from 0 to twice the weight."""
        noise = inner.rng.fold(_STREAM).uniform(tf.shape(images)[1:], -1.0, 1.0)
        first = tf.stop_gradient(_slope(model, images, labels))
        second = _slope(model, images + inner.threat.eps * noise, labels)
        return self.weight * (1 - _cosine(first, second))


@as_written
def _slope(model: Any, images: Tensor, labels: Tensor) -> Tensor:
    def loss(point: Tensor) -> Tensor:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(point, training=True))

    return gradient(loss, images)


@as_written
def _cosine(first: Tensor, second: Tensor) -> Tensor:
    """Return the cosine of the angle between each pair; 1, and no gradient, where one of them is zero."""
    first, first_is_some = _scaled(first)
    second, second_is_some = _scaled(second)
    product = tf.reduce_sum(first * second, axis=(1, 2, 3))
    lengths = tf.sqrt(tf.reduce_sum(first**2, axis=(1, 2, 3)) * tf.reduce_sum(second**2, axis=(1, 2, 3)))
    return tf.where(first_is_some & second_is_some, product / lengths, 1.0)


@as_written
def _scaled(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Bring each gradient to a largest entry of one, and tell which had any: a sure image's squares would be zero."""
    largest = tf.stop_gradient(tf.reduce_max(tf.abs(gradient), axis=(1, 2, 3)))
    some = largest > 1e-30
    # What is divided by must not be zero on either side of a where: its gradient would not be a number.
    each, size = some[:, None, None, None], largest[:, None, None, None]
    return tf.where(each, gradient, 1.0) / tf.where(each, size, 1.0), some


COMPONENT = GradientAlignment
