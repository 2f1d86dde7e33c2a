"""What a prediction rests on: one file a method."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from advcli.model import Classifier


@dataclass(frozen=True)
class Shown:
    """The output of a layer that relevance is computed on: the layer's name, the map's rows and columns."""

    layer: str
    rows: int
    columns: int


class Explainer(Protocol):
    """A method that says how much each pixel matters for a class."""

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
