"""Several predictions for each image: a randomised model's answers differ."""

from collections.abc import Callable

import numpy as np

from advcli.model.black_box import asking_anew
from advcli.model.classifier import UNDEFINED
from advcli.tasks.benchmark.models import EvaluatedModel


def first_wrong(
    model: EvaluatedModel, ask: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, labels: np.ndarray, repeats: int
) -> np.ndarray:
    """Return the first wrong class of several predictions of each image, or its class if all are right: -> (N,).

    An image for which the model returns NaN and no wrong class is ``UNDEFINED``.

    Args:
        model: the model.
        ask: (n, H, W, C) in [0, 1] -> (n,) classes.
        pixels: (N, H, W, C) in [0, 1].
        labels: (N,) the true classes.
        repeats: the number of predictions; one is returned as it is.
    """
    if repeats == 1:
        return ask(pixels)
    found = np.array(labels)
    left = np.arange(len(labels))
    with asking_anew(model.classifier.model):
        for _ in range(repeats):
            if len(left) == 0:
                break
            predicted = ask(pixels[left])
            odd = predicted != labels[left]
            found[left[odd]] = predicted[odd]
            left = left[~odd | (predicted == UNDEFINED)]
    return found
