"""What tf-keras-vis is given: a model with inputs, and the logit of each image's class."""

from collections.abc import Callable
from typing import Any

import numpy as np

from advcli import linear_head
from advcli.backend import Tensor, keras, tf
from advcli.model import Classifier


def graph_model(classifier: Classifier) -> Any:
    """Return the classifier's model, wrapped if it is a subclassed one without inputs of its own."""
    model = classifier.model
    if getattr(model, "inputs", None):
        return model
    inputs = keras.Input((classifier.edge, classifier.edge, classifier.channels))
    return keras.Model(inputs, model(inputs, training=False))


def class_score(classifier: Classifier, classes: np.ndarray) -> Callable[[Tensor], Tensor]:
    """Return the function that picks each image's own class: (N, K) output -> (N,) logits."""

    def score(output: Tensor) -> Tensor:
        picked = tf.gather(output, tf.constant(classes, tf.int32), axis=1, batch_dims=1)
        if classifier.head == linear_head.LOGARITHM:
            return tf.math.log(tf.maximum(picked, 1e-30))
        return picked

    return score
