"""An inference-only copy of a Keras model: plain TensorFlow operations, BatchNorm folded into what is before it.

A search passes through a network thousands of times and never changes it. Of Keras' own layers,
those that take the time are replaced by the operations they stand for; every other part, whoever
wrote it, is called as it is.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial, reduce
from typing import Any, NamedTuple

import numpy as np

from advcli import convolution
from advcli.backend import Tensor, keras, tf

Operation = Callable[..., Tensor]


class FrozenNetwork:
    """What a Keras model computes in inference mode, with the weights that it has now.

    Args:
        model: the Keras model.
    """

    def __init__(self, model: Any) -> None:
        with tf.init_scope():
            self._run = _frozen(model)

    def __call__(self, images: Tensor, training: bool = False) -> Tensor:
        """Compute the model's output: (N, H, W, C) -> (N, K)."""
        assert not training
        return self._run(images)


def _frozen(part: Any) -> Operation:
    """Return what computes the same as a part of a model."""
    if type(part) is keras.Sequential and part._functional is not None:
        return _frozen(part._functional)
    # A subclass may compute in a way of its own.
    if isinstance(part, keras.Function) and type(part).__name__ == "Functional":
        return _frozen_graph(part)
    make = _PLAIN.get(type(part).__name__)
    if make is not None and _is_keras_own(part):
        return _without_context(make(part))
    return partial(part, training=False) if isinstance(part, keras.Layer) else part


def _without_context(plain: Operation) -> Operation:
    """Ignore what Keras passes beside the inputs, such as the mask that images have none of."""
    return lambda inputs, **context: plain(inputs)


def _frozen_graph(graph: Any) -> Operation:
    normalized = _normalized(graph)
    operations = {id(part): _frozen(part) for part in graph.operations}
    for part, normalization in normalized.items():
        scaled = _scaled(part, *_scale_and_shift(normalization))
        operations[id(part)] = _without_context(_WEIGHTED[type(part).__name__](part, scaled))
        operations[id(normalization)] = _without_context(lambda x: x)

    def run(inputs: Tensor, **context: Any) -> Tensor:
        return graph._run_through_graph(inputs, operation_fn=lambda part: operations[id(part)])

    return run


def _normalized(graph: Any) -> dict[Any, Any]:
    """Find the layers whose output goes nowhere but into one BatchNorm: the layer -> the BatchNorm."""
    nodes = [node for level in graph._nodes_by_depth.values() for node in level]
    calls = Counter(id(node.operation) for node in nodes)
    uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    uses.update(id(tensor) for tensor in graph.outputs)
    found = {}
    for node in nodes:
        part = node.operation
        if type(part).__name__ != "BatchNormalization" or not _is_keras_own(part) or calls[id(part)] > 1:
            continue
        (tensor,) = node.input_tensors
        before = tensor._keras_history.operation
        ordinary = type(before).__name__ in _WEIGHTED and _is_keras_own(before)
        if ordinary and calls[id(before)] == 1 and uses[id(tensor)] == 1 and _is_linear(before):
            found[before] = part
    return found


def _is_keras_own(part: Any) -> bool:
    """Tell whether a layer is of Keras itself and computes in the ordinary way."""
    if not isinstance(part, keras.Layer) or not type(part).__module__.startswith("keras.") or "call" in vars(part):
        return False
    if part.dtype_policy.name != "float32":
        return False
    if getattr(part, "data_format", "channels_last") != "channels_last" or getattr(part, "lora_enabled", False):
        return False
    # TensorFlow's depthwise convolutions have one stride for both ways.
    return getattr(part, "axis", None) in (None, -1, 3) and len(set(getattr(part, "strides", ()))) < 2


def _is_linear(part: Any) -> bool:
    return part.activation in (None, keras.activations.linear)


class _Weights(NamedTuple):
    """The kernels of a layer, the last of which makes its output, and its bias."""

    kernels: tuple[np.ndarray, ...]
    bias: np.ndarray | None


def _weights(part: Any) -> _Weights:
    variables = [
        getattr(part, name)
        for name in ("kernel", "depthwise_kernel", "pointwise_kernel")
        if getattr(part, name, None) is not None
    ]
    kernels = tuple(variable.numpy() for variable in variables)
    return _Weights(kernels, part.bias.numpy() if part.use_bias else None)


def _scale_and_shift(normalization: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return what a BatchNorm multiplies by and adds, in double precision."""
    mean = normalization.moving_mean.numpy().astype(np.float64)
    deviation = np.sqrt(normalization.moving_variance.numpy().astype(np.float64) + normalization.epsilon)
    scale = (normalization.gamma.numpy() if normalization.scale else 1.0) / deviation
    return scale, (normalization.beta.numpy() if normalization.center else 0.0) - mean * scale


def _scaled(part: Any, scale: np.ndarray, shift: np.ndarray) -> _Weights:
    """Return a layer's weights so that its output is multiplied and shifted."""
    kernels, bias = _weights(part)
    # A depthwise kernel's output channels are its last two axes.
    across = scale.reshape(kernels[-1].shape[2:]) if type(part).__name__ == "DepthwiseConv2D" else scale
    last = (kernels[-1] * across).astype(np.float32)
    return _Weights((*kernels[:-1], last), (shift + (0.0 if bias is None else bias * scale)).astype(np.float32))


def _finished(part: Any, bias: np.ndarray | None, multiplied: Operation) -> Operation:
    """Add the bias and the activation to what a layer's kernel does."""
    constant = None if bias is None else tf.constant(bias)

    def run(x: Tensor) -> Tensor:
        outputs = multiplied(x)
        outputs = outputs if constant is None else outputs + constant
        return outputs if _is_linear(part) else part.activation(outputs)

    return run


def _convolution(part: Any, weights: _Weights) -> Operation:
    padding = part.padding.upper()
    if weights.kernels[0].shape[2] <= convolution.FEW and part.groups == 1 and set(part.dilation_rate) == {1}:
        return _finished(part, weights.bias, convolution.of_few_channels(weights.kernels[0], part.strides[0], padding))
    kernel = tf.constant(weights.kernels[0])
    return _finished(
        part, weights.bias, lambda x: tf.nn.conv2d(x, kernel, part.strides, padding, dilations=part.dilation_rate)
    )


def _depthwise(part: Any, weights: _Weights) -> Operation:
    kernel, padding, strides = tf.constant(weights.kernels[0]), part.padding.upper(), (1, *part.strides, 1)
    dilations = part.dilation_rate
    return _finished(
        part, weights.bias, lambda x: tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=dilations)
    )


def _separable(part: Any, weights: _Weights) -> Operation:
    deep, pointwise = (tf.constant(kernel) for kernel in weights.kernels)
    padding, strides, dilations = part.padding.upper(), (1, *part.strides, 1), part.dilation_rate
    return _finished(
        part,
        weights.bias,
        lambda x: tf.nn.separable_conv2d(x, deep, pointwise, strides, padding, dilations=dilations),
    )


def _dense(part: Any, weights: _Weights) -> Operation:
    kernel = tf.constant(weights.kernels[0])
    return _finished(part, weights.bias, lambda x: tf.tensordot(x, kernel, 1))


def _normalization(part: Any) -> Operation:
    scale, shift = (tf.constant(values, tf.float32) for values in _scale_and_shift(part))
    return lambda x: x * scale + shift


def _rectifier(part: Any) -> Operation:
    if part.negative_slope == 0 and part.threshold == 0 and part.max_value in (None, 6):
        return tf.nn.relu if part.max_value is None else tf.nn.relu6
    return partial(part, training=False)


def _padding(part: Any) -> Operation:
    rows, columns = part.padding
    return lambda x: tf.pad(x, ((0, 0), tuple(rows), tuple(columns), (0, 0)))


_WEIGHTED: dict[str, Callable[[Any, _Weights], Operation]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
}
_PLAIN: dict[str, Callable[[Any], Operation]] = {
    **{name: (lambda part, make=make: make(part, _weights(part))) for name, make in _WEIGHTED.items()},
    "BatchNormalization": _normalization,
    "ReLU": _rectifier,
    "ZeroPadding2D": _padding,
    "Activation": lambda part: part.activation,
    "Add": lambda part: partial(reduce, tf.add),
    "Concatenate": lambda part: partial(tf.concat, axis=-1),
    "GlobalAveragePooling2D": lambda part: partial(tf.reduce_mean, axis=(1, 2), keepdims=part.keepdims),
    "Dropout": lambda part: lambda x: x,
}
