"""Gradient of a class's logit by the pixels, its positive and its negative part.

Simonyan, Vedaldi and Zisserman 2014, https://arxiv.org/abs/1312.6034; computed by tf-keras-vis
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.explainers import Kind
from advcli.explainers._scores import gradients
from advcli.model import Classifier


@dataclass(frozen=True)
class Saliency:
    """The derivative of the logit by each pixel's brightness: the sum of the gradient over the channels."""

    signed: ClassVar[bool] = True
    kind: ClassVar[Kind] = "pixels"

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, edge, edge, C) in [0, 1], (N,) -> (N, edge, edge) signed relevance."""
        return gradients(classifier, images, classes, against).sum(axis=-1)

    def shown(self, classifier: Classifier) -> None:
        """Say that no layer is shown: the relevance is that of the pixels."""


COMPONENT = Saliency
