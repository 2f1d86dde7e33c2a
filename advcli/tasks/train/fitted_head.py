"""A new head fitted to the features of a pretrained network before the network itself learns.

A random head sends random gradients through features that are good already. Kumar, Raghunathan, Jones, Ma and Liang
2022, https://arxiv.org/abs/2202.10054
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from advcli.augmentations import augmented
from advcli.backend import KerasLayer, Tensor, keras, tf
from advcli.data.decoded import Images
from advcli.data.split import stratified
from advcli.model.classifier import Classifier
from advcli.model.introspection import called, replaced
from advcli.threat.rng import ImageRng

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

# More images cost time and hardly change a linear head.
_MOST = 20_000
_BATCH = 64
# The weights of the penalty, of which the validation images choose one.
_INVERSE_PENALTIES = (0.001, 0.01, 0.1)
_ITERATIONS = 200
_ROUNDING = 1e-3
_SMALLEST = 1e-6


@dataclass(frozen=True)
class FittedHead:
    """What a fitted head reaches on the images that it was fitted to.

    Args:
        loss: the mean cross-entropy, weighted as in the steps.
        accuracy: the share of correct images.
    """

    loss: float
    accuracy: float


def fit_head(
    classifier: Classifier,
    head: KerasLayer,
    images: Images,
    validation: Images,
    augment: Sequence[str],
    seed: int,
    class_weights: np.ndarray | None = None,
) -> FittedHead:
    """Fit the last layer by penalised logistic regression; all other weights stay as they are.

    The features are those of one augmented view of each image, in inference mode.

    Args:
        classifier: the network.
        head: its last layer, as ``linear_head`` returns it, whose weights are set.
        images: the training images.
        validation: the images that choose the penalty.
        augment: the specs of the augmentations.
        seed: of the augmentations.
        class_weights: (K,) what the loss of an image of each class counts, and its accuracy in the choice of the
            penalty; None: 1.
    """
    from sklearn.linear_model import LogisticRegression

    chosen = stratified(images.labels, min(_MOST, len(images)), seed=0)
    taken = images.take(chosen)
    features, labels = np.concatenate(list(_features(classifier, head, taken, augment, seed))), taken.labels
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    # What hardly differs between images tells nothing of their classes.
    scale = np.where(deviation > _SMALLEST * max(float(deviation.max()), 1e-12), deviation, np.inf)
    held_out = np.concatenate(list(_features(classifier, head, validation, (), seed)))
    weights = np.ones(len(classifier.labels)) if class_weights is None else np.asarray(class_weights, np.float64)
    best, result = -1.0, FittedHead(0.0, 0.0)
    for penalty in _INVERSE_PENALTIES:
        regression = LogisticRegression(C=penalty, max_iter=_ITERATIONS)
        with warnings.catch_warnings():
            # A fit that has not quite converged is as good a start.
            warnings.simplefilter("ignore")
            regression.fit((features - mean) / scale, labels, weights[labels])
        kernel, bias = _all_classes(regression, len(classifier.labels))
        kernel = kernel / scale[:, None]
        bias = bias - mean @ kernel
        correct = (held_out @ kernel + bias).argmax(axis=1) == validation.labels
        accuracy = float(np.average(correct, weights=weights[validation.labels]))
        if accuracy > best:
            best = accuracy
            if classifier.head.single:
                head.kernel.assign(kernel[:, 1:] - kernel[:, :1])
                head.bias.assign(bias[1:] - bias[:1])
            else:
                head.kernel.assign(kernel)
                head.bias.assign(bias)
            result = _reached(features @ kernel + bias, labels, weights[labels])
    return result


def _reached(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> FittedHead:
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(labels)), labels]
    return FittedHead(float((weights * losses).mean()), float((logits.argmax(axis=1) == labels).mean()))


def linear_head(classifier: Classifier, images: Images) -> KerasLayer | None:
    """Return the dense layer with a bias whose output is the logits; None if there is none.

    Args:
        classifier: the network.
        images: a few of them show whether it is so.
    """
    layers = [layer for layer in classifier.model._flatten_layers() if getattr(layer, "_trainable_variables", ())]
    pixels, _ = images.at(slice(0, 2))
    with called(layers) as order:
        classifier.logits(pixels)
    head: KerasLayer = order[-1] if order else None
    if not isinstance(head, keras.layers.Dense) or head.bias is None:
        return None
    features, logits = _pass(classifier, head, tf.constant(pixels))
    if features.shape.rank != 2:
        return None
    found = features.numpy() @ head.kernel.numpy() + head.bias.numpy()
    expected = logits.numpy()[:, 1:] - logits.numpy()[:, :1] if classifier.head.single else logits.numpy()
    same = found.shape == expected.shape and np.allclose(found, expected, _ROUNDING, _ROUNDING)
    return head if same else None


def _pass(classifier: Classifier, head: KerasLayer, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the input of the head and the logits: (N, H, W, C) in [0, 1] -> (N, F), (N, K)."""
    inputs: list[Tensor] = []
    call = head.call

    def recording(features: Tensor, **context: object) -> Tensor:
        inputs.append(features)
        return call(features, **context)

    with replaced(head, "call", recording):
        logits = classifier.logits(pixels)
    return inputs[-1], logits


def _features(
    classifier: Classifier, head: KerasLayer, images: Images, augment: Sequence[str], seed: int
) -> Iterator[np.ndarray]:
    """Yield the head's inputs of all images in batches: (n, F)."""

    @tf.function(reduce_retracing=True)
    def features(pixels: Tensor, seeds: Tensor) -> Tensor:
        return _pass(classifier, head, augmented(augment, pixels, ImageRng(seeds)))[0]

    start = 0
    for pixels, labels in images.batches(_BATCH):
        rows = np.arange(start, start + len(labels))
        seeds = np.stack([rows, np.full_like(rows, seed)], axis=1).astype(np.int32)
        yield features(tf.constant(pixels), tf.constant(seeds)).numpy()
        start += len(labels)


def _all_classes(regression: "LogisticRegression", count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return kernel and bias for all classes, also those without an image: -> (F, K) and (K,), or (F, 1) and (1,)."""
    kernel, bias, classes = regression.coef_.T, regression.intercept_, regression.classes_
    if len(classes) == 2:
        kernel, bias = np.concatenate([-kernel, kernel], axis=1) / 2, np.concatenate([-bias, bias]) / 2
    whole = np.zeros((len(kernel), count))
    # A class that is never seen is never likely.
    biases = np.full(count, np.min(bias) - 5.0)
    whole[:, classes], biases[classes] = kernel, bias
    return whole, biases
