"""The score that is explained, a logit or a difference of two, and its gradient, each traced once a classifier."""

from collections.abc import Hashable, Iterator, Sequence
from types import SimpleNamespace

import numpy as np

from advcli.backend import KerasModel, Nest, Tensor, TracedFunction, tf
from advcli.model.classifier import Classifier

# Of a batch; 16 images of 224 pixels, which take MobileNetV2 about a gigabyte with all that a gradient needs.
_PIXELS = 16 * 224**2
_MOST = 256


def score(logits: Tensor, classes: Tensor, against: Tensor) -> Tensor:
    """Return ``z_class``, or ``z_class - z_against`` where against is not -1: (N, K), (N,), (N,) -> (N,)."""
    picked = tf.gather(logits, classes, axis=1, batch_dims=1)
    other = tf.gather(logits, tf.maximum(against, 0), axis=1, batch_dims=1)
    return picked - tf.where(against < 0, tf.zeros_like(other), other)


def traced(classifier: Classifier, what: Hashable, function: TracedFunction) -> TracedFunction:
    """Return a function of images, classes and other classes, traced once for batches of any size.

    Raises:
        AdvcliError: the classifier gives probabilities, whose gradients vanish where it is sure.
    """

    def trace() -> TracedFunction:
        images = tf.TensorSpec((None, *classifier.image_size, classifier.channels), tf.float32)
        classes = tf.TensorSpec((None,), tf.int32)
        return tf.function(function, input_signature=[images, classes, classes], autograph=False)

    return classifier.once((what, classifier.proven_head), trace)


def in_batches(
    function: TracedFunction, images: np.ndarray, classes: np.ndarray, against: np.ndarray | None
) -> Iterator[tuple[np.ndarray, ...]]:
    """Call a traced function in batches of bounded memory."""
    others = np.full(len(images), -1) if against is None else against
    size = batch_size(images.shape[1:3])
    for start in range(0, len(images), size):
        part = slice(start, start + size)
        arguments = (images[part].astype(np.float32), classes[part].astype(np.int32), others[part].astype(np.int32))
        outputs = function(*map(tf.constant, arguments))
        yield tuple(output.numpy() for output in outputs)


def batch_size(size: Sequence[int]) -> int:
    """Return the batch size for images of this size."""
    return max(1, min(_MOST, _PIXELS // (size[0] * size[1])))


def gradients(
    classifier: Classifier, images: np.ndarray, classes: np.ndarray, against: np.ndarray | None
) -> np.ndarray:
    """Return the gradient of each image's score with respect to its pixels: (N, H, W, C) -> the same shape.

    Computed by tf-keras-vis, which is given what it needs: a model of one input and one output that
    takes pixels in [0, 1], is in inference mode and ends in logits, whatever the Keras model is.
    """

    def gradient(pixels: Tensor, labels: Tensor, others: Tensor) -> tuple[Nest]:
        from tf_keras_vis.saliency import Saliency as Visualization

        visualization = Visualization(_as_model(classifier))
        return (
            visualization(
                lambda logits: score(logits, labels, others),
                pixels,
                gradient_modifier=None,
                keepdims=True,
                normalize_map=False,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            ),
        )

    function = traced(classifier, "gradient", gradient)
    return np.concatenate([part for (part,) in in_batches(function, images, classes, against)])


def _as_model(classifier: Classifier) -> KerasModel:
    """Return an object with the attributes of a Keras model that tf-keras-vis reads."""

    class Model(SimpleNamespace):
        def __call__(self, inputs: list[Tensor], training: bool = False) -> Tensor:
            return classifier.logits(inputs[0])

    return Model(inputs=[tf.TensorSpec((None, *classifier.image_size, classifier.channels))], outputs=[None])


def asked(
    classifier: Classifier, images: np.ndarray, classes: np.ndarray, against: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Compute each image's score and probability: (N, H, W, C), (N,) -> (N,), (N,).

    The probability is the model's own score of the class. With another class, it is the probability of the class among
    these two.
    """

    def ask(pixels: Tensor, labels: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        logits = classifier.logits(pixels)
        values = score(logits, labels, others)
        probability = tf.gather(classifier.head.probabilities(logits), labels, axis=1, batch_dims=1)
        return values, tf.where(others < 0, probability, tf.sigmoid(values))

    parts = list(in_batches(traced(classifier, "score", ask), images, classes, against))
    scores, chances = zip(*parts, strict=True)
    return np.concatenate(scores), np.concatenate(chances)
