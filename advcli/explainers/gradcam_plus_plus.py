"""Class activation map for several objects of one class: weights from higher derivatives.

Chattopadhay, Sarkar, Howlader and Balasubramanian 2018, https://arxiv.org/abs/1710.11063: max(0, sum over k of w_k A_k)
with w_k = sum over cells of g+ / (2 + g+ * sum of A_k), where g+ is the positive part of d score / d A_k. The paper
differentiates the exponential of the logit; that multiplies all weights by one factor, which overflows from a logit of
88 on and is left out.
"""

from dataclasses import dataclass

import numpy as np

from advcli.explainers._activation import ActivationMap


@dataclass(frozen=True)
class GradCAMPlusPlus(ActivationMap):
    """The channels of a feature map, each weighted by its positive gradients, those of few active cells more.

    Args:
        layer: the layer whose output is the feature map; empty means the deepest one that all
            paths pass through and whose map is at least 7 x 7, or else 4 x 4.
    """

    layer: str = ""

    def combined(self, feature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Combine A and its gradient: two (N, h, w, K) -> (N, h, w)."""
        # Without the exponential, the second and third derivatives are powers of the first, and equation 19, of
        # which only cells with a positive gradient are used, becomes 1 / (2 + sum of the channel * gradient).
        positive = np.maximum(gradient, 0)
        # Only with a ReLU are all channels positive; a negative sum would make a share without bound.
        total = np.maximum(feature.sum(axis=(1, 2), keepdims=True), 0)
        weights = (positive / (2 + total * positive)).sum(axis=(1, 2))
        return np.einsum("nhwk,nk->nhw", feature, weights)


COMPONENT = GradCAMPlusPlus
