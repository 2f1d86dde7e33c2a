"""Class activation map with a weight for each cell, which also suits finer feature maps.

Jiang et al. 2021, https://doi.org/10.1109/TIP.2021.3089943: max(0, sum over k of max(0, d score / d A_k) * A_k),
cell by cell, where A_k is channel k of the feature map. tf-keras-vis gives the same map where it applies.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from advcli.explainers._activation import ActivationMap


@dataclass(frozen=True)
class LayerCAM(ActivationMap):
    """The cells of a feature map, each weighted by the gradient of the logit by it where that is positive.

    Args:
        layer: the layer whose output is the feature map; empty means the deepest one that all
            paths pass through and whose map is at least 7 x 7, or else 4 x 4.
    """

    suits: ClassVar[Literal["any", "fine", "coarse"]] = "coarse"

    layer: str = ""

    def combined(self, feature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Combine A and its gradient: two (N, h, w, K) -> (N, h, w)."""
        return (feature * np.maximum(gradient, 0)).sum(axis=-1)


COMPONENT = LayerCAM
