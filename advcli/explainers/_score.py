"""What tf-keras-vis is given: a model with inputs, and the logit of each image's class."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from advcli import linear_head
from advcli.backend import Tensor, keras, tf
from advcli.model import Classifier


def graph_model(classifier: Classifier) -> Any:
    """Return the classifier's model as a functional one that takes a list of one image batch."""
    return _graph_model(classifier.model, classifier.edge, classifier.channels)


@lru_cache(maxsize=1)
def _graph_model(model: Any, edge: int, channels: int) -> Any:
    if getattr(model, "inputs", None):
        return keras.Model(model.inputs, model.outputs[0])
    # A subclassed model has no inputs of its own.
    image = keras.Input((edge, edge, channels))
    return keras.Model([image], model(image, training=False))


def class_score(classifier: Classifier, classes: np.ndarray) -> Callable[[Tensor], Tensor]:
    """Return the function that picks each image's own class: (N, K) output -> (N,) logits."""

    def score(output: Tensor) -> Tensor:
        picked = tf.gather(tf.cast(output, tf.float32), tf.constant(classes, tf.int32), axis=1, batch_dims=1)
        if classifier.head == linear_head.LOGARITHM:
            return tf.math.log(tf.maximum(picked, 1e-30))
        return picked

    return score
