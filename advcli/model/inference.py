"""Inference copies of a Keras model: TensorFlow operations, with BatchNorm folded into the preceding layers.

An attack evaluates a network thousands of times without changing it. Keras' own layers that take most of the time
are replaced by TensorFlow operations; all other layers are called unchanged.
"""

import inspect
from collections.abc import Callable, Iterator

import numpy as np

from advcli.backend import ArrayLike, KerasLayer, KerasModel, Tensor, keras, tf
from advcli.model.batchnorm_folding import foldable, folded, is_keras_own
from advcli.model.introspection import graph_of
from advcli.model.layer_ops import Operation, plain, weighted


class InferenceCopy:
    """The function of a Keras model in inference mode, with the weights at the time of construction.

    Constructed in a traced function, it reads the weights at each execution of the function.

    Args:
        model: the Keras model.
    """

    def __init__(self, model: KerasModel) -> None:
        self._run = _frozen(model)

    def __call__(self, images: ArrayLike, training: bool = False) -> Tensor:
        """Compute the model's output: (N, H, W, C) -> (N, K)."""
        if training:
            raise ValueError("an inference copy has no training mode")
        return self._run(images)


class TrainingInferenceCopy:
    """The function of a Keras model in inference mode, with the weights at the time of each call.

    Args:
        model: the Keras model.
    """

    def __init__(self, model: KerasModel) -> None:
        self._model = model

    def __call__(self, images: ArrayLike, training: bool = False) -> Tensor:
        """Compute the model's output: (N, H, W, C) -> (N, K)."""
        return InferenceCopy(self._model)(images, training)


def _frozen(part: KerasLayer) -> Operation:
    """Return an operation that computes the same as a part of a model."""
    part = graph_of(part)
    # A subclass may override the computation.
    if isinstance(part, keras.Function) and type(part).__name__ == "Functional":
        return _frozen_graph(part)
    operation = plain(part) if is_keras_own(part) else None
    if operation is not None:
        return _without_context(operation)
    return _in_inference_mode(part) if isinstance(part, keras.Layer) else part


def _in_inference_mode(layer: KerasLayer) -> Operation:
    """Call a layer with ``training=False``, also if the model was built with ``training=True`` for it."""
    return lambda *inputs, **context: layer(*inputs, **{**context, "training": False})


def _without_context(operation: Operation) -> Operation:
    """Ignore the arguments that Keras passes besides the inputs, such as a mask; as Keras, cast numbers to float32."""
    return lambda inputs, **context: operation(tf.nest.map_structure(_single, inputs))


def _single(values: Tensor) -> Tensor:
    """Return floating-point numbers in the precision of the layers that have copies, others unchanged."""
    values = tf.convert_to_tensor(values)
    return tf.cast(values, tf.float32) if values.dtype.is_floating else values


def _frozen_graph(graph: KerasLayer) -> Operation:
    operations = {}
    for part, normalization in foldable(graph).items():
        operations[id(part)] = _without_context(weighted(part, folded(part, normalization)))
        operations[id(normalization)] = _without_context(lambda x: x)
    for part in graph.operations:
        if id(part) not in operations:
            operations[id(part)] = _frozen(part)

    def run(inputs: Tensor, **context: object) -> Tensor:
        return graph._run_through_graph(inputs, operation_fn=lambda part: operations[id(part)])

    return run


def disagreement(copy: Callable[[], ArrayLike], model: Callable[[], ArrayLike]) -> float:
    """Return the largest difference between two networks over two calls each, relative to the largest output.

    The second call detects a randomised network, which has no copy.
    """
    outputs = [np.asarray(network(), np.float64) for network in (model, copy, model, copy)]
    scale = max(float(np.abs(outputs[0]).max(initial=0.0)), 1e-12)
    if not all(np.isfinite(output).all() for output in outputs):
        return 0.0 if all(np.array_equal(outputs[0], output, equal_nan=True) for output in outputs) else np.inf
    return max(float(np.abs(output - outputs[0]).max(initial=0.0)) for output in outputs) / scale


def switched_off(model: KerasModel) -> list[str]:
    """Return the names of the layers that a model calls with ``training=True``, which inference mode overrides.

    Keras itself calls augmentation layers this way; they are not listed.
    """
    return list(dict.fromkeys(_switched_off(model)))


def _switched_off(part: KerasLayer) -> Iterator[str]:
    part = graph_of(part)
    if not isinstance(part, keras.Function):
        return
    for node in (node for level in part._nodes_by_depth.values() for node in level):
        layer = node.operation
        if node.arguments.kwargs.get("training") is True and not _trains_by_default(layer):
            yield layer.name
        yield from _switched_off(layer)


def _trains_by_default(layer: KerasLayer) -> bool:
    parameter = getattr(layer, "_call_signature", None) or inspect.signature(layer.call)
    return getattr(parameter.parameters.get("training"), "default", None) is True
