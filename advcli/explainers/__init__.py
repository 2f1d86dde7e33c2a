"""What a prediction rests on: one file a method."""

from typing import ClassVar, Literal, Protocol

import numpy as np

from advcli.feature_map import Shown
from advcli.model import Classifier

__all__ = ["Explainer", "Kind", "Shown", "is_evidence"]

Kind = Literal["pixels", "map", "picture"]


class Explainer(Protocol):
    """A method that says how much each pixel matters for a class.

    ``signed`` says that negative values are there and speak against the class. ``kind`` says what comes
    back: a value for each of the ``pixels``, a ``map`` that is smooth over regions, or a ``picture``.
    """

    signed: ClassVar[bool]
    kind: ClassVar[Kind]

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, edge, edge, C) in [0, 1], (N,) -> (N, edge, edge) relevance, raw.

        Relevance is signed where the method is: positive speaks for the class, negative against it.
        A ``picture`` is (N, edge, edge, C) in [0, 1] instead. Neither depends on the other images.

        Args:
            classifier: what is explained.
            images: at the classifier's own size.
            classes: the class of each image whose logit is explained.
            seed: together with an image's own pixels it determines the image's random draws.
            against: (N,) other classes; then what is explained is how far the logit of the first is ahead of theirs.
        """
        ...

    def shown(self, classifier: Classifier) -> Shown | None:
        """Say which layer's output the relevance is computed on; None if on the pixels themselves.

        Raises:
            AdvcliError: the method cannot explain this classifier.
        """
        ...


def is_evidence(relevance: np.ndarray) -> np.ndarray:
    """Tell which maps tell one place from another: (N, H, W) -> (N,); one that is constant, or no numbers, does not."""
    flat = relevance.reshape(len(relevance), -1)
    # Rounding errors are no evidence: they would fill a picture that is scaled to its own maximum.
    return np.isfinite(flat).all(axis=1) & (np.ptp(flat, axis=1) > 1e-6 * np.abs(flat).max(axis=1))
