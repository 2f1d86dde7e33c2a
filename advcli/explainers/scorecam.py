"""Class activation map without gradients: channels weighted by the class's probability under each as a mask.

Wang et al. 2020, https://arxiv.org/abs/1910.01279: max(0, sum over k of p_c(x * M_k) A_k), where M_k is channel k
of the feature map, enlarged to the image and scaled to [0, 1]. As in the authors' code, a weight is the probability of
the class. tf-keras-vis gives the same map where it applies, but computes all channels of all images at once.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.errors import UsageError
from advcli.explainers import Explainer, MapKind, ShownLayer, enlarge_maps
from advcli.explainers._activation import features
from advcli.explainers._perturbed import answers, check_fill, each
from advcli.model.classifier import Classifier
from advcli.model.feature_map import feature_map


@dataclass(frozen=True)
class ScoreCAM(Explainer):
    """The channels of a feature map, each weighted by the probability of the class where only it is shown.

    Args:
        layer: the layer whose output is the feature map; empty means the deepest one that all
            paths pass through and whose map is at least 7 x 7, or else 4 x 4.
        channels: only those with the greatest standard deviation over the cells are used; 0 means all.
        fill: the value of hidden pixels: ``mean``, the image's mean colour, or ``black``.
    """

    signed: ClassVar[bool] = False
    kind: ClassVar[MapKind] = "map"

    layer: str = ""
    channels: int = 64
    fill: str = "mean"

    def __post_init__(self) -> None:
        if self.channels < 0:
            raise UsageError(f"channels is less than zero: {self.channels}", "0 means all")
        check_fill(self.fill)

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, H, W, C) in [0, 1], (N,) -> (N, h, w) relevance from 0 up, one value a cell."""
        maps = [
            self._weighted(classifier, feature, image, explained, other)
            for feature, (image, explained, other) in zip(
                features(classifier, self.layer, images), each(images, classes, against), strict=True
            )
        ]
        return np.maximum(np.stack(maps), 0)

    def _weighted(
        self, classifier: Classifier, feature: np.ndarray, image: np.ndarray, explained: int, against: int | None
    ) -> np.ndarray:
        channels = self._chosen(feature)

        def masks(part: slice) -> np.ndarray:
            large = enlarge_maps(np.moveaxis(channels[..., part], -1, 0), classifier.image_size)
            low, high = large.min(axis=(1, 2), keepdims=True), large.max(axis=(1, 2), keepdims=True)
            return (large - low) / np.maximum(high - low, np.finfo(np.float32).tiny)

        asked = answers(classifier, image, explained, against, self.fill, channels.shape[-1], masks)
        weights = [chances for _, _, chances in asked]
        return channels @ np.concatenate(weights) if weights else np.zeros(feature.shape[:2], np.float32)

    def _chosen(self, feature: np.ndarray) -> np.ndarray:
        """Keep the channels that vary most, in order: (h, w, K) -> (h, w, k); a constant one makes no mask."""
        spread = feature.std(axis=(0, 1))
        order = np.argsort(-spread, kind="stable")[: self.channels or None]
        order = np.sort(order[np.ptp(feature[..., order], axis=(0, 1)) > 0])
        return feature[..., order]

    def shown(self, classifier: Classifier) -> ShownLayer:
        """Return the layer whose output is shown."""
        return feature_map(classifier, self.layer).shown


COMPONENT = ScoreCAM
