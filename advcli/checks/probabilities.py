"""Whether the model gives probabilities instead of logits: their gradients vanish where it is sure."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli import linear_head
from advcli.checks import Evidence, Finding
from advcli.checks._network import logits_of

_REMEDY = (
    "give the model without its last softmax, so that it ends in logits; "
    "until then add an attack that needs no gradient, such as square"
)


@dataclass(frozen=True)
class Probabilities:
    """Suspect if the model's softmax could not be taken off, or if what should be logits looks like probabilities.

    Args:
        tolerance: how far from one the sums of an image's probabilities may be.
    """

    after: ClassVar[bool] = False

    tolerance: float = 1e-5

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Look at the model's head, and at what it gives for the images."""
        count = len(evidence.pixels)
        if count == 0:
            return None
        logits = logits_of(evidence.classifier, evidence.pixels)
        if evidence.classifier.head == linear_head.LOGARITHM:
            sure = int((logits.max(axis=1) >= 0).sum())
            said = f"the model gives probabilities, whose logarithm is attacked: {sure} of {count} images have one of 1"
            return Finding(True, f"{said}, where the loss is flat", _REMEDY)
        low, high, sums = float(logits.min()), float(logits.max()), logits.sum(axis=1, dtype=np.float64)
        between = f"the outputs for {count} images lie between {low:.3g} and {high:.3g}"
        if linear_head.are_probabilities(logits, self.tolerance / 10):
            return Finding(True, f"{between} and sum to one: they are probabilities, taken for logits", _REMEDY)
        return Finding(False, f"{between}, their sums between {sums.min():.3g} and {sums.max():.3g}: logits")


COMPONENT = Probabilities
