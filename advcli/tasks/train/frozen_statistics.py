"""BatchNorm in inference mode inside training passes: the statistics of a trained network stay as they are.

The scale and the shift of its layers are learned all the same. Perturbed batches have other statistics than clean
ones; a moving average of both fits neither.
"""

import contextlib
from collections.abc import Callable, Iterator

from advcli.backend import KerasModel, Tensor, keras


@contextlib.contextmanager
def frozen_statistics(model: KerasModel) -> Iterator[None]:
    """Let all BatchNorm layers, nested ones too, use their moving statistics in this block, and not move them."""
    found = model._flatten_layers(include_self=False, recursive=True)
    layers = [layer for layer in found if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in layers:
        layer.call = _in_inference_mode(layer.call)
    try:
        yield
    finally:
        for layer in layers:
            del layer.call


def _in_inference_mode(own: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(inputs: Tensor, **context: object) -> Tensor:
        return own(inputs, **{**context, "training": False})

    return call
