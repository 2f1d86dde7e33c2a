"""What a prediction rests on: one file a method."""

from typing import Protocol

import numpy as np

from advcli.model import Classifier


class Explainer(Protocol):
    """A method that says how much each pixel matters for a class."""

    def __call__(self, classifier: Classifier, images: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
        """Explain: (N, edge, edge, C) in [0, 1], (N,) -> (N, edge, edge) relevance, raw.

        Relevance is signed where the method is: positive speaks for the class, negative against it.
        """
        ...
