"""Whether the loss has a gradient at the images: without one, gradient attacks fail on any model."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from advcli.backend import Tensor, tf
from advcli.checks import Evidence, Finding
from advcli.checks._advice import also_run
from advcli.checks._network import in_parts
from advcli.model.black_box import Access
from advcli.report.wording import count_noun
from advcli.threat.gradient import gradient


@dataclass(frozen=True)
class ZeroGradients:
    """Suspect if the gradient of the cross-entropy is exactly zero at many images, or not a number at any.

    Args:
        share: of the images that may have no gradient: the cross-entropy of a confident model rounds to zero at some.
    """

    after: ClassVar[bool] = False
    needs: ClassVar[Access | None] = "gradient"

    share: float = 0.05

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compute the gradients of the loss and of the margin with respect to the pixels."""
        count = len(evidence.pixels)
        if count == 0:
            return None
        classes = evidence.indices.astype(np.int32)
        # As the model has them: attacks count entries that are not finite as zero.
        logits = partial(evidence.classifier.logits, finite_gradient=False)
        gradients = in_parts(_gradients(logits, _cross_entropy), evidence.pixels, classes)
        undefined = int((~np.isfinite(gradients)).sum())
        flat = int((gradients == 0).sum())
        said = f"the gradient of the loss is zero at {flat} of {count} images"
        concerned = f"{flat + undefined} of {count_noun(count, 'image')}"
        if undefined:
            said += f", and not a number at {undefined}"
            return Finding(True, said, "look for a division by zero, a root or a logarithm in the model", concerned)
        if flat <= self.share * count:
            return Finding(False, said)
        margins = in_parts(_gradients(logits, _margin), evidence.pixels, classes)
        if ((margins != 0) & (gradients == 0)).sum() > flat / 2:
            remedy = "the model is so confident that its cross-entropy rounds to zero" + (
                also_run(evidence, "apgd:loss=dlr", "autoattack") or "; use the results of attacks with another loss"
            )
        else:
            remedy = "a part of the model, such as rounding, has no gradient: attack the model without it" + also_run(
                evidence, "square"
            )
        return Finding(True, said, remedy, concerned)


def _gradients(
    logits_fn: Callable[[Tensor], Tensor], loss: Callable[[Tensor, Tensor], Tensor]
) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the function that sums the magnitudes of a loss' gradient: (N, H, W, C), (N,) -> (N,)."""

    def gradients(images: Tensor, labels: Tensor) -> Tensor:
        each = gradient(lambda point: loss(logits_fn(point), labels), images)
        # The sum, not the largest: a maximum overlooks what is not a number.
        return tf.reduce_sum(tf.cast(tf.abs(each), tf.float64), axis=(1, 2, 3))

    return gradients


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


def _margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Return max over other classes of z - z_label: (N, K), (N,) -> (N,)."""
    own = tf.one_hot(labels, tf.shape(logits)[1])
    return tf.reduce_max(tf.where(own > 0, -np.inf, logits), axis=1) - tf.reduce_sum(own * logits, axis=1)


COMPONENT = ZeroGradients
