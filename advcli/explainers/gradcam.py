"""Class activation map: where the last fine enough feature map speaks for the class.

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391; computed by tf-keras-vis
"""

from dataclasses import dataclass

import numpy as np

from advcli.backend import tf
from advcli.explainers._feature_map import feature_layer
from advcli.explainers._score import class_score, graph_model
from advcli.model import Classifier


@dataclass(frozen=True)
class GradCAM:
    """The channels of a feature map, each weighted by the mean gradient of the logit by it.

    Args:
        layer: the layer whose output is the feature map; empty means the deepest one that all
            paths pass through and whose map is at least 7 x 7, or else 4 x 4.
    """

    layer: str = ""

    def __call__(self, classifier: Classifier, images: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
        """Explain: (N, edge, edge, C) in [0, 1], (N,) -> (N, edge, edge) relevance from 0 up."""
        from tf_keras_vis.gradcam import Gradcam as Visualization

        layer = feature_layer(classifier, self.layer)
        relevance = Visualization(graph_model(classifier), clone=False)(
            class_score(classifier, classes),
            np.asarray(classifier.to_input(images)),
            penultimate_layer=layer.name,
            seek_penultimate_conv_layer=False,
            expand_cam=False,
            normalize_cam=False,
        )
        # tf-keras-vis enlarges maps with their corners aligned, which moves peaks; pixels are areas.
        return tf.image.resize(np.asarray(relevance)[..., None], images.shape[1:3])[..., 0].numpy()


COMPONENT = GradCAM
