"""Gradient of a class's logit by the pixels, its positive and its negative part.

Simonyan, Vedaldi and Zisserman 2014, https://arxiv.org/abs/1312.6034; computed by tf-keras-vis
"""

from dataclasses import dataclass

import numpy as np

from advcli.backend import tf
from advcli.explainers._score import class_score, graph_model
from advcli.model import Classifier


@dataclass(frozen=True)
class Saliency:
    """The derivative of the logit by each pixel's brightness: the sum of the gradient over the channels."""

    def __call__(self, classifier: Classifier, images: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
        """Explain: (N, edge, edge, C) in [0, 1], (N,) -> (N, edge, edge) signed relevance."""
        from tf_keras_vis.saliency import Saliency as Visualization

        low, high = classifier.input_range
        gradient = Visualization(graph_model(classifier), clone=False)(
            class_score(classifier, classes),
            tf.convert_to_tensor(classifier.to_input(images)),
            gradient_modifier=None,
            keepdims=True,
            normalize_map=False,
        )
        return np.asarray(gradient).sum(axis=-1) * np.float32(high - low)

    def shown(self, classifier: Classifier) -> None:
        """Say that no layer is shown: the relevance is that of the pixels."""


COMPONENT = Saliency
