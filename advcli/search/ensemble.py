"""Several models as one that attacks see: the mean of their logits.

Dong, Liao, Pang, Su, Zhu, Hu and Li 2018, https://arxiv.org/abs/1710.06081, compare the mean of logits with those of
probabilities and of losses: images crafted on the mean of logits fool most models.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from advcli.backend import ArrayLike, Tensor, tf
from advcli.model.classifier import Classifier
from advcli.search.surrogate import surrogate_for
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class Ensemble(Classifier):
    """A classifier whose logits are the mean of its members' logits.

    It has the classes and the image size of the first member. Each member resizes images to its own size, and the
    gradient flows through that.

    Args:
        members: the models.
        indices: for each member: (K,) its class for each class of the first one.
    """

    members: tuple[Classifier, ...] = ()
    indices: tuple[np.ndarray, ...] = ()

    def logits(self, pixels: ArrayLike, finite_gradient: bool = True) -> Tensor:
        """Return the mean logits: (N, H, W, C) in [0, 1] -> (N, K)."""
        each = [
            tf.gather(member.logits(pixels, finite_gradient), indices, axis=1)
            for member, indices in zip(self.members, self.indices, strict=True)
        ]
        return tf.add_n(each) / len(each)

    def scores(self, pixels: Tensor) -> Tensor:
        """Return the probabilities that the mean logits give: (N, H, W, C) in [0, 1] -> (N, K)."""
        return self.source.scores(pixels) if self.source is not None else tf.nn.softmax(self.logits(pixels))

    @cached_property
    def inference_copy(self) -> "Ensemble":
        """Return the ensemble of the members' inference copies."""
        return replace(self, members=tuple(member.inference_copy for member in self.members), source=self)

    def class_of_member(self, number: int, label: int) -> int:
        """Return a member's index of a class of the ensemble."""
        return int(self.indices[number][label])

    def threat_of_member(self, number: int, threat: Threat) -> Threat:
        """Return the threat with a member's index of the target class."""
        return threat if threat.target is None else replace(threat, target=self.class_of_member(number, threat.target))


def ensemble_of(classifiers: Sequence[Classifier]) -> Ensemble:
    """Combine models that have the classes of the first one.

    Raises:
        AdvcliError: one lacks a class, or takes images of other channels.
    """
    first = classifiers[0]
    indices = [surrogate_for(first, each, "model").indices for each in classifiers]
    name = " + ".join(each.name for each in classifiers)
    return Ensemble(
        name,
        first.model,
        first.labels,
        first.image_size,
        first.channels,
        fitting=first.fitting,
        members=tuple(classifiers),
        indices=tuple(indices),
    )
