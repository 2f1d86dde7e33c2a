"""Gradient of the logit with respect to the pixels, its positive and its negative part.

Simonyan, Vedaldi and Zisserman 2014, https://arxiv.org/abs/1312.6034: ds/dx, summed over the channels, where s is the
score and x the image; computed by tf-keras-vis.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.explainers import Explainer
from advcli.explainers._scores import gradients
from advcli.model.classifier import Classifier


@dataclass(frozen=True)
class Saliency(Explainer):
    """The derivative of the logit by each pixel's brightness: the sum of the gradient over the channels."""

    split_signs: ClassVar[bool] = True
    is_derivative: ClassVar[bool] = True

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, H, W, C) in [0, 1], (N,) -> (N, H, W) signed relevance."""
        return gradients(classifier, images, classes, against).sum(axis=-1)


COMPONENT = Saliency
