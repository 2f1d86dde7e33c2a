"""What the class activation maps start from: a feature map and the gradient of the score by it."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.backend import Tensor, tf
from advcli.explainers import Kind, Shown
from advcli.explainers._scores import in_batches, score, traced
from advcli.feature_map import feature_map
from advcli.layers import recorded
from advcli.model import Classifier


@dataclass(frozen=True)
class ActivationMap(ABC):
    """A feature map and the gradient of the score by it, combined to one value a cell.

    Args:
        layer: the layer whose output is the feature map; empty means the deepest that is fine enough.
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
        parts = _features_and_gradients(classifier, self.layer, images, classes, against)
        maps = [np.maximum(self.combined(*part), 0) for part in parts]
        return enlarged(np.concatenate(maps), classifier.edge)

    def shown(self, classifier: Classifier) -> Shown:
        """Say which layer's output is shown."""
        return feature_map(classifier, self.layer).shown

    @abstractmethod
    def combined(self, feature: np.ndarray, gradient: np.ndarray) -> np.ndarray:
        """Combine: two (N, h, w, K) -> (N, h, w); what is below zero is cut off."""


def features(classifier: Classifier, layer: str, images: np.ndarray) -> np.ndarray:
    """Compute a layer's map: (N, edge, edge, C) -> (N, h, w, K)."""
    parts = _features_and_gradients(classifier, layer, images, np.zeros(len(images)), None)
    return np.concatenate([feature for feature, _ in parts])


def _features_and_gradients(
    classifier: Classifier, layer: str, images: np.ndarray, classes: np.ndarray, against: np.ndarray | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Compute maps and gradients with one trace for all the methods that show a layer.

    Maps are recorded while the model runs, which works inside nested and subclassed models too.
    """
    call = feature_map(classifier, layer).call

    def record(pixels: Tensor, labels: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        with tf.GradientTape(watch_accessed_variables=False) as tape, recorded([call.layer]) as calls:
            tape.watch(pixels)
            values = score(classifier.logits(pixels), labels, others)
        feature = calls[call.turn].output
        slope = tape.gradient(values, feature, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tf.cast(feature, tf.float32), tf.cast(slope, tf.float32)

    function = traced(classifier, ("feature map", call.layer.name, call.turn), record)
    return in_batches(function, images, classes, against)


def enlarged(maps: np.ndarray, edge: int) -> np.ndarray:
    """Enlarge maps to the image, with cells as areas: (N, h, w) -> (N, edge, edge)."""
    # Not as tf-keras-vis does, which aligns the corners and so moves peaks.
    return tf.image.resize(maps[..., None], (edge, edge))[..., 0].numpy()
