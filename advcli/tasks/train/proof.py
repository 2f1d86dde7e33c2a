"""Test that a faster training pass computes the same as Keras' own."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from advcli.backend import KerasModel, Tensor


def pass_agrees(
    model: KerasModel, images: Tensor, form: Callable[[], AbstractContextManager[None]], tolerance: float
) -> bool:
    """Return whether a training pass in a context has the same outputs and statistics as one without it.

    The model's variables are the same afterwards as before, to the bit.

    Args:
        model: the Keras model.
        images: (N, H, W, C) in [0, 1].
        form: makes the context of the faster pass.
        tolerance: the allowed difference, relative to the largest output, and to the largest statistic of each layer: a
            mean that is zero but for rounding is small beside the variance.
    """
    before = [np.asarray(variable) for variable in model.variables]

    def run() -> list[np.ndarray]:
        outputs = np.asarray(model(images, training=True), np.float64)
        changed = [np.asarray(variable).astype(np.float64) for variable in model.non_trainable_variables]
        for variable, value in zip(model.variables, before, strict=True):
            variable.assign(value)
        return [outputs, *changed]

    own = run()
    with form():
        faster = run()
    places = ["", *(variable.path.rpartition("/")[0] for variable in model.non_trainable_variables)]
    largest = dict.fromkeys(places, 1e-6)
    for place, values in zip(places, own, strict=True):
        largest[place] = max(largest[place], float(np.abs(values).max(initial=0.0)))
    return all(
        np.abs(one - other).max(initial=0.0) <= tolerance * largest[place]
        for place, one, other in zip(places, own, faster, strict=True)
    )
