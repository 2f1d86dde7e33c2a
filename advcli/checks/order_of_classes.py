"""Whether the classes of the model are in the order of the data's classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import binomtest

from advcli.checks import Evidence, Finding
from advcli.model.black_box import Access
from advcli.report.wording import count_noun

_SIGNIFICANCE = 0.001
_SHOWN = 3


@dataclass(frozen=True)
class OrderOfClasses:
    """Suspect if far more images are correct with another one-to-one assignment of outputs to classes.

    The assignment that is best on one half of the images is measured on the other half, so that it is no better by
    chance. It exchanges the data's classes among themselves.

    Args:
        points: so many percentage points more are no evidence.
    """

    after: ClassVar[bool] = False
    needs: ClassVar[Access | None] = None

    points: float = 10.0

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compare the order of the classes with the one that fits best."""
        images, outputs = len(evidence.outputs), np.unique(evidence.outputs)
        if images < 2 or len(outputs) < 2:
            return None
        correct = evidence.predicted == evidence.outputs
        other = _right_in_another_order(evidence.predicted, evidence.outputs, outputs)
        gained, lost = int((other & ~correct).sum()), int((correct & ~other).sum())
        said = f"{correct.mean():.1%} of {count_noun(images, 'clean image')} are classified correctly"
        far = 100 * (gained - lost) > self.points * images
        if not far or binomtest(gained, gained + lost).pvalue >= _SIGNIFICANCE:
            return Finding(False, f"{said}; no other order of the classes fits far better")
        return Finding(
            True,
            f"{said}; with its classes in another order it would be {other.mean():.1%}: {_pairs(evidence, outputs)}",
            "give the class names in the order of the model's outputs: --labels",
            count_noun(images, "image"),
        )


def _right_in_another_order(predicted: np.ndarray, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return which images are correct in the order that fits best on the other half: (M,), (M,), (C,) -> (M,) bool."""
    right = np.zeros(len(labels), bool)
    half = np.zeros(len(labels), bool)
    for each in outputs:
        half[np.flatnonzero(labels == each)[::2]] = True
    for fitted in (half, ~half):
        order = _best_order(predicted[fitted], labels[fitted], outputs)
        places = np.searchsorted(outputs, labels[~fitted])
        right[~fitted] = outputs[order[places]] == predicted[~fitted]
    return right


def _best_order(predicted: np.ndarray, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return the place of the output of each class that makes most images correct: -> (C,)."""
    known = np.isin(predicted, outputs)
    counts = np.zeros((len(outputs), len(outputs)))
    np.add.at(counts, (np.searchsorted(outputs, labels[known]), np.searchsorted(outputs, predicted[known])), 1)
    # Of orders that are equally good the present one is taken.
    _, order = linear_sum_assignment(-(counts + 0.5 / len(outputs) * np.eye(len(outputs))))
    return order


def _pairs(evidence: Evidence, outputs: np.ndarray) -> str:
    """Name classes that are taken for others: ``images of 'a' are taken for 'b'``."""
    names: Sequence[str] = evidence.classifier.labels
    order = _best_order(evidence.predicted, evidence.outputs, outputs)
    moved = [(own, outputs[place]) for own, place in zip(outputs, order, strict=True) if outputs[place] != own]
    shown = [f"images of '{names[own]}' are taken for '{names[seen]}'" for own, seen in moved[:_SHOWN]]
    return ", ".join(shown) + (", ..." if len(moved) > _SHOWN else "")


COMPONENT = OrderOfClasses
