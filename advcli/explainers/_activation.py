"""What the class activation maps start from: a feature map and the gradient of the score by it."""

from collections.abc import Callable, Iterator

import numpy as np

from advcli.backend import Tensor, tf
from advcli.explainers._scores import in_batches, score, traced
from advcli.feature_map import feature_map
from advcli.layers import recorded
from advcli.model import Classifier

# (N, h, w, K) feature map, (N, h, w, K) gradient -> (N, h, w)
Combination = Callable[[np.ndarray, np.ndarray], np.ndarray]


def activation_maps(
    classifier: Classifier,
    layer: str,
    images: np.ndarray,
    classes: np.ndarray,
    against: np.ndarray | None,
    combine: Combination,
) -> np.ndarray:
    """Combine a layer's map and gradient to one value a cell, from 0 up: -> (N, edge, edge)."""
    parts = _features_and_gradients(classifier, layer, images, classes, against)
    return enlarged(np.concatenate([np.maximum(combine(*part), 0) for part in parts]), classifier.edge)


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
