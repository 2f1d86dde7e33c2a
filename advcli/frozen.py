"""Inference-only forms of a Keras model: plain TensorFlow operations, BatchNorm folded into what is before it.

A search passes through a network thousands of times and never changes it. Of Keras' own layers,
those that take the time are replaced by the operations they stand for; every other part, whoever
wrote it, is called as it is.
"""

from functools import partial
from typing import Any

from advcli.backend import Tensor, keras
from advcli.folding import foldable, folded, is_keras_own
from advcli.plain import Operation, plain, weighted


class FrozenNetwork:
    """What a Keras model computes in inference mode, with the weights that it has where this is made.

    Made in a function that is traced, it has in each of the function's runs the weights of that moment.

    Args:
        model: the Keras model.
    """

    def __init__(self, model: Any) -> None:
        self._run = _frozen(model)

    def __call__(self, images: Tensor, training: bool = False) -> Tensor:
        """Compute the model's output: (N, H, W, C) -> (N, K)."""
        assert not training
        return self._run(images)


class LiveNetwork:
    """What a Keras model computes in inference mode, with the weights that it has whenever this is called.

    Args:
        model: the Keras model.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, images: Tensor, training: bool = False) -> Tensor:
        """Compute the model's output: (N, H, W, C) -> (N, K)."""
        return FrozenNetwork(self._model)(images, training)


def _frozen(part: Any) -> Operation:
    """Return what computes the same as a part of a model."""
    if type(part) is keras.Sequential and part._functional is not None:
        return _frozen(part._functional)
    # A subclass may compute in a way of its own.
    if isinstance(part, keras.Function) and type(part).__name__ == "Functional":
        return _frozen_graph(part)
    operation = plain(part) if is_keras_own(part) else None
    if operation is not None:
        return _without_context(operation)
    return partial(part, training=False) if isinstance(part, keras.Layer) else part


def _without_context(operation: Operation) -> Operation:
    """Ignore what Keras passes beside the inputs, such as the mask that images have none of."""
    return lambda inputs, **context: operation(inputs)


def _frozen_graph(graph: Any) -> Operation:
    operations = {}
    for part, normalization in foldable(graph).items():
        operations[id(part)] = _without_context(weighted(part, folded(part, normalization)))
        operations[id(normalization)] = _without_context(lambda x: x)
    for part in graph.operations:
        if id(part) not in operations:
            operations[id(part)] = _frozen(part)

    def run(inputs: Tensor, **context: Any) -> Tensor:
        return graph._run_through_graph(inputs, operation_fn=lambda part: operations[id(part)])

    return run
