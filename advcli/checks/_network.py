"""The model under the few images that checks look at, some at a time, since a gradient keeps all that is on its way."""

from collections.abc import Callable
from typing import Any

import numpy as np

from advcli.backend import Tensor, tf
from advcli.model import Classifier

_TOGETHER = 32


def in_parts(function: Callable[..., Any], *arrays: np.ndarray) -> np.ndarray:
    """Apply a function of some images to all of them: (N, ...) -> (N, ...)."""
    starts = range(0, len(arrays[0]), _TOGETHER)
    parts = (tuple(tf.constant(array[start : start + _TOGETHER]) for array in arrays) for start in starts)
    return np.concatenate([np.asarray(function(*part)) for part in parts])


def logits_of(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Ask the model, in plain calls that are not traced: (N, edge, edge, C) -> (N, K)."""

    def ask(part: Tensor) -> Tensor:
        return classifier.logits(part)

    return in_parts(ask, pixels)
