"""Class activation maps: a feature map A (h, w, K) and the gradient G of the score by it, combined cell by cell."""

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.backend import Tensor, tf
from advcli.explainers import Explainer, MapKind, ShownLayer
from advcli.explainers._scores import in_batches, score, traced
from advcli.model.classifier import Classifier
from advcli.model.feature_map import feature_map
from advcli.model.introspection import recorded


@dataclass(frozen=True)
class ActivationMap(Explainer):
    """The positive part of a combination of a feature map and the gradient of the score by it.

    Args:
        layer: the layer whose output is the feature map; empty means the deepest that is fine enough.
    """

    signed: ClassVar[bool] = False
    kind: ClassVar[MapKind] = "map"

    layer: str = ""

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, H, W, C) in [0, 1], (N,) -> (N, h, w) relevance from 0 up, one value a cell."""
        parts = _features_and_gradients(classifier, self.layer, images, classes, against)
        return np.concatenate([np.maximum(self.combined(*part), 0) for part in parts])

    def shown(self, classifier: Classifier) -> ShownLayer:
        """Return the layer whose output is shown."""
        return feature_map(classifier, self.layer).shown

    @abstractmethod
    def combined(self, feature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Combine A and G: two (N, h, w, K) -> (N, h, w); the negative part is removed by the caller."""


def features(classifier: Classifier, layer: str, images: np.ndarray) -> np.ndarray:
    """Compute a layer's map: (N, H, W, C) -> (N, h, w, K)."""
    parts = _features_and_gradients(classifier, layer, images, np.zeros(len(images)), None)
    return np.concatenate([feature for feature, _ in parts])


def _features_and_gradients(
    classifier: Classifier, layer: str, images: np.ndarray, classes: np.ndarray, against: np.ndarray | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Compute A and G with one traced function for all methods that show the layer.

    Of a transformer they are on the grid of its tokens, without the class token. The feature map is recorded while the
    model runs, which works inside nested and subclassed models too.
    """
    found = feature_map(classifier, layer)
    call = found.call

    def record(pixels: Tensor, labels: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape, recorded([call.layer]) as calls:
            tape.watch(pixels)
            values = score(classifier.logits(pixels), labels, others)
        feature = calls[call.turn].output
        gradient = tape.gradient(values, feature, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tf.cast(found.cells(feature), tf.float32), tf.cast(found.cells(gradient), tf.float32)

    function = traced(classifier, ("feature map", call.layer.name, call.turn), record)
    return in_batches(function, images, classes, against)
