"""Several predictions for each image: a randomised model's answers differ."""

from collections.abc import Callable

import numpy as np

from advcli.model.black_box import asking_anew
from advcli.model.classifier import UNDEFINED, predicted_classes
from advcli.tasks.benchmark.models import EvaluatedModel


def first_wrong(
    model: EvaluatedModel, ask: Callable[[np.ndarray], np.ndarray], pixels: np.ndarray, labels: np.ndarray, repeats: int
) -> np.ndarray:
    """Return the scores of the first wrong prediction of each image, or of its first if all are correct: -> (N, K).

    An image for which the model returns NaN and no wrong class has the scores with NaN.

    Args:
        model: the model.
        ask: (n, H, W, C) in [0, 1] -> (n, K) scores.
        pixels: (N, H, W, C) in [0, 1].
        labels: (N,) the true classes.
        repeats: the number of predictions; one is returned as it is.
    """
    found = ask(pixels)
    if repeats == 1:
        return found
    found = np.array(found)
    predicted = predicted_classes(found)
    left = np.flatnonzero((predicted == labels) | (predicted == UNDEFINED))
    with asking_anew(model.classifier.model):
        for _ in range(repeats - 1):
            if len(left) == 0:
                break
            scores = ask(pixels[left])
            predicted = predicted_classes(scores)
            odd = predicted != labels[left]
            found[left[odd]] = scores[odd]
            left = left[~odd | (predicted == UNDEFINED)]
    return found
