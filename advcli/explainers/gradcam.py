"""Class activation map: where the last fine enough feature map speaks for the class.

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391. tf-keras-vis, which builds a model and
traces nothing on every call, gives the same map where it applies.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.explainers import Kind, Shown
from advcli.explainers._activation import activation_maps
from advcli.feature_map import feature_map
from advcli.model import Classifier


@dataclass(frozen=True)
class GradCAM:
    """The channels of a feature map, each weighted by the mean gradient of the logit by it.

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
    return np.einsum("nhwk,nk->nhw", feature, gradient.mean(axis=(1, 2)))


COMPONENT = GradCAM
