"""Class activation map: the deepest fine feature map, weighted by the mean gradient of the logit.

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391: max(0, sum over k of w_k A_k), where A_k is channel k of the
feature map and w_k the mean of d score / d A_k over its cells. tf-keras-vis computes the same map where it applies.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from advcli.explainers._activation import ActivationMap


@dataclass(frozen=True)
class GradCAM(ActivationMap):
    """The channels of a feature map, each weighted by the mean gradient of the logit by it.

    Args:
        layer: the layer whose output is the feature map; empty means the deepest one that all
            paths pass through and whose map is at least 7 x 7, or else 4 x 4.
    """

    suits: ClassVar[Literal["any", "fine", "coarse"]] = "fine"

    layer: str = ""

    def combined(self, feature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Combine A and its gradient: two (N, h, w, K) -> (N, h, w)."""
        return np.einsum("nhwk,nk->nhw", feature, gradient.mean(axis=(1, 2)))


COMPONENT = GradCAM
