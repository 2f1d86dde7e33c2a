"""Class activation map: where the last fine enough feature map speaks for the class.

Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391; computed by tf-keras-vis where it can be
"""

from dataclasses import dataclass

import numpy as np

from advcli.backend import Tensor, tf
from advcli.explainers import Shown
from advcli.explainers._feature_map import Call, feature_map, recorded
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
        shown = feature_map(classifier, self.layer)
        inputs = tf.convert_to_tensor(classifier.to_input(images))
        compute = _by_tf_keras_vis if _is_flat(classifier, shown) else _by_recording
        relevance = tf.cast(compute(classifier, inputs, classes, shown), tf.float32)
        # Not enlarged by tf-keras-vis, which aligns the corners and so moves peaks; pixels are areas.
        return tf.image.resize(relevance[..., None], images.shape[1:3])[..., 0].numpy()

    def shown(self, classifier: Classifier) -> Shown:
        """Say which layer's output is shown."""
        shown = feature_map(classifier, self.layer)
        return Shown(shown.layer.name, *shown.size)


def _is_flat(classifier: Classifier, shown: Call) -> bool:
    """Tell whether tf-keras-vis can cut the model open at a layer: it is the model's own, and called once."""
    model = classifier.model
    return bool(getattr(model, "inputs", None)) and shown.layer in model.layers and len(shown.layer._inbound_nodes) == 1


def _by_tf_keras_vis(classifier: Classifier, inputs: Tensor, classes: np.ndarray, shown: Call) -> Tensor:
    from tf_keras_vis.gradcam import Gradcam as Visualization

    return Visualization(graph_model(classifier), clone=False)(
        class_score(classifier, classes),
        inputs,
        penultimate_layer=shown.layer,
        seek_penultimate_conv_layer=False,
        expand_cam=False,
        normalize_cam=False,
    )


def _by_recording(classifier: Classifier, inputs: Tensor, classes: np.ndarray, shown: Call) -> Tensor:
    with tf.GradientTape(watch_accessed_variables=False) as tape, recorded([shown.layer]) as calls:
        tape.watch(inputs)
        score = class_score(classifier, classes)(classifier.model(inputs, training=False))
    feature = calls[shown.turn].output
    weights = tf.reduce_mean(tape.gradient(score, feature), axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(feature * weights, axis=-1))


COMPONENT = GradCAM
