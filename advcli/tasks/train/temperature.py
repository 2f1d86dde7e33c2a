"""Temperature scaling: dividing the logits by a number makes confidences agree with accuracies.

Guo, Pleiss, Sun and Weinberger 2017, https://arxiv.org/abs/1706.04599
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from advcli.backend import KerasLayer, keras, tf
from advcli.data.decoded import Images
from advcli.errors import AdvcliError
from advcli.model.classifier import Classifier, predicted_classes
from advcli.model.introspection import called
from advcli.model.output_head import LOGITS, Head
from advcli.tasks.calibration import beliefs_of, calibration_error

log = logging.getLogger(__name__)

_BATCH = 64
PROVED = 256
_PROBED = 8
# Beyond these a temperature is a sign of something else.
_LOWEST, _HIGHEST = 0.05, 20.0
_ROUNDING = 1e-4
# What multiplies or is added to the output of a layer.
_SCALING = ("kernel", "bias", "gamma", "beta")


class Calibrated(NamedTuple):
    """How well calibrated a classifier is on some images.

    Args:
        nll: the mean negative log-likelihood.
        ece: the expected calibration error.
    """

    nll: float
    ece: float


def measure_calibration(scores: np.ndarray, labels: np.ndarray, head: Head) -> Calibrated:
    """Measure the calibration on images: (N, K) scores, (N,) labels."""
    found = beliefs_of(scores, labels, independent=head.independent)
    correct = scores.argmax(axis=1) == labels
    return Calibrated(float(found.log_loss.mean()), calibration_error(found.confidence, correct))


def fit_temperature(logits: np.ndarray, labels: np.ndarray, head: Head) -> float:
    """Return the temperature T with the least mean negative log-likelihood of logits / T; 1 if all images are correct.

    Args:
        logits: (N, K).
        labels: (N,) the true classes.
        head: how logits become probabilities.
    """
    if (logits.argmax(axis=1) == labels).all():
        log.warning("all %d validation images are correct, which fits no temperature: it stays 1", len(labels))
        return 1.0

    def loss(logarithm: float) -> float:
        return measure_loss(logits / np.exp(logarithm), labels, head)

    bounds = (float(np.log(_LOWEST)), float(np.log(_HIGHEST)))
    best = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(best.x)) if best.fun < loss(0.0) else 1.0


def measure_loss(logits: np.ndarray, labels: np.ndarray, head: Head) -> float:
    """Return the mean negative log-likelihood of logits: (N, K), (N,)."""
    scores = head.probabilities(tf.constant(logits, tf.float64)).numpy()
    return float(beliefs_of(scores, labels, independent=head.independent).log_loss.mean())


def divide_logits(classifier: Classifier, temperature: float, pixels: np.ndarray) -> Classifier:
    """Return a classifier whose logits are divided by a temperature, proved on images.

    The weights of the last layer are divided, in place; where this does not divide the logits, a layer is added.

    Args:
        classifier: the classifier.
        temperature: the temperature.
        pixels: (N, H, W, C) in [0, 1], whose predicted classes must stay.

    Raises:
        AdvcliError: the logits cannot be divided.
    """
    scores = classifier.answers(pixels)
    scaled = tf.constant(classifier.logits_of(pixels) / temperature, tf.float64)
    wanted = classifier.head.probabilities(scaled).numpy()

    def is_divided(found: Classifier) -> bool:
        after = found.answers(pixels)
        same = np.array_equal(predicted_classes(after), predicted_classes(scores))
        return same and np.allclose(after, wanted, atol=_ROUNDING)

    weights = [getattr(layer, name, None) for layer in _last_layer(classifier, pixels) for name in _SCALING]
    weights = [weight for weight in weights if weight is not None]
    values = [np.array(weight) for weight in weights]
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value / temperature)
    # What is cached belongs to the former weights.
    found = replace(classifier)
    if is_divided(found):
        return found
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)
    model = classifier.model
    if classifier.head == LOGITS and classifier.adapted is None and getattr(model, "outputs", None):
        added = keras.layers.Rescaling(1 / temperature, name="temperature")(model.outputs[0])
        found = replace(classifier, model=keras.Model(model.inputs, added))
        if is_divided(found):
            return found
    raise AdvcliError(f"the logits of '{classifier.name}' cannot be divided by a temperature", "leave --calibrate out")


def refuse_uncalibratable(classifier: Classifier, images: Images) -> None:
    """Refuse a classifier whose logits cannot be divided by a temperature; its weights stay as they are.

    Raises:
        AdvcliError: it is such a one.
    """
    before = [np.array(variable) for variable in classifier.model.variables]
    try:
        divide_logits(classifier, 2.0, images.at(slice(0, _PROBED))[0])
    finally:
        for variable, value in zip(classifier.model.variables, before, strict=True):
            variable.assign(value)


def predictions_on(classifier: Classifier, images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and the model's own scores of images: (N, K) each."""
    batches = [pixels for pixels, _ in images.batches(_BATCH)]
    logits = [classifier.logits_of(pixels) for pixels in batches]
    return np.concatenate(logits), np.concatenate([classifier.predict(pixels) for pixels in batches])


def _last_layer(classifier: Classifier, pixels: np.ndarray) -> Sequence[KerasLayer]:
    """Return the layer with weights that is called last, if there is one."""
    layers = [layer for layer in classifier.model._flatten_layers() if getattr(layer, "_trainable_variables", ())]
    with called(layers) as order:
        classifier.logits(pixels[:1])
    return order[-1:]
