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
        tolerance: the allowed difference of outputs and statistics, relative to the largest value of each.
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
    return all(
        np.abs(one - other).max(initial=0.0) <= tolerance * max(np.abs(one).max(initial=0.0), 1e-6)
        for one, other in zip(own, faster, strict=True)
    )
