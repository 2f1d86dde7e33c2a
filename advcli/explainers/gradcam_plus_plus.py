"""Class activation map that gives several objects of the class their due: weights from higher derivatives.

Chattopadhay, Sarkar, Howlader and Balasubramanian 2018, https://arxiv.org/abs/1710.11063. The paper
derives from the exponential of the logit, which is a factor of every weight alike: left out here, it
scales the map and makes it overflow from a logit of 88 on.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.explainers import Kind, Shown
from advcli.explainers._activation import activation_maps
from advcli.feature_map import feature_map
from advcli.model import Classifier


@dataclass(frozen=True)
class GradCAMPlusPlus:
    """The channels of a feature map, each weighted by its positive gradients, those of few active cells more.

    Args:
        layer: the layer whose output is the feature map; empty means the deepest one that all
            paths pass through and whose map is at least 7 x 7, or else 4 x 4.
    """

    signed: ClassVar[bool] = False
    kind: ClassVar[Kind] = "map"

    layer: str = ""

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, edge, edge, C) in [0, 1], (N,) -> (N, edge, edge) relevance from 0 up."""
        return activation_maps(classifier, self.layer, images, classes, against, _combined)

    def shown(self, classifier: Classifier) -> Shown:
        """Say which layer's output is shown."""
        return feature_map(classifier, self.layer).shown


def _combined(feature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    # Without the exponential, the second and third derivatives are powers of the first, and equation 19, of
    # which only cells with a positive gradient are used, becomes 1 / (2 + sum of the channel * gradient).
    positive = np.maximum(gradient, 0)
    # Only with a ReLU are all channels positive; a negative sum would make a share without bound.
    total = np.maximum(feature.sum(axis=(1, 2), keepdims=True), 0)
    weights = (positive / (2 + total * positive)).sum(axis=(1, 2))
    return np.einsum("nhwk,nk->nhw", feature, weights)


COMPONENT = GradCAMPlusPlus
