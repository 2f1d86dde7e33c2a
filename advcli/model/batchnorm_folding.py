"""The weights of Keras layers in inference mode, with BatchNorm folded into the preceding layer.

The variables are read where these functions are called: immediately, or, in a traced function, at each execution.
In both cases they are constants for the gradient with respect to the input.
"""

from collections import Counter
from typing import NamedTuple

from advcli.backend import KerasLayer, Tensor, Variable, keras, tf

KERNELS = {
    "Conv2D": ("kernel",),
    "DepthwiseConv2D": ("kernel",),
    "SeparableConv2D": ("depthwise_kernel", "pointwise_kernel"),
    "Dense": ("kernel",),
}


class Weights(NamedTuple):
    """The kernels of a layer, in order of use, and its bias."""

    kernels: tuple[Tensor, ...]
    bias: Tensor | None


def read(part: KerasLayer) -> Weights:
    """Read a layer's weights."""
    kernels = tuple(_constant(getattr(part, name)) for name in KERNELS[type(part).__name__])
    return Weights(kernels, _constant(part.bias) if part.use_bias else None)


def scale_and_shift(normalization: KerasLayer) -> tuple[Tensor, Tensor]:
    """Return a BatchNorm's factor ``gamma / sqrt(var + epsilon)`` and offset ``beta - mean * factor``, in float64."""
    mean, variance = _double(normalization.moving_mean), _double(normalization.moving_variance)
    scale = tf.math.rsqrt(variance + normalization.epsilon)
    if normalization.scale:
        scale *= _double(normalization.gamma)
    shift = -mean * scale
    return scale, shift + _double(normalization.beta) if normalization.center else shift


def folded(part: KerasLayer, normalization: KerasLayer) -> Weights:
    """Return weights with which the layer computes the output of the BatchNorm that follows it."""
    scale, shift = scale_and_shift(normalization)
    kernels, bias = read(part)
    # A depthwise kernel's output channels are its last two axes.
    across = tf.reshape(scale, kernels[-1].shape[2:]) if type(part).__name__ == "DepthwiseConv2D" else scale
    last = single(tf.cast(kernels[-1], tf.float64) * across)
    return Weights((*kernels[:-1], last), single(shift if bias is None else shift + tf.cast(bias, tf.float64) * scale))


def single(values: Tensor) -> Tensor:
    """Round to float32."""
    return tf.cast(values, tf.float32)


def foldable(graph: KerasLayer) -> dict[KerasLayer, KerasLayer]:
    """Return the layers whose output is used by one BatchNorm only: layer -> BatchNorm."""
    nodes = [node for level in graph._nodes_by_depth.values() for node in level]
    calls = Counter(id(node.operation) for node in nodes)
    uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    uses.update(id(tensor) for tensor in graph.outputs)
    found = {}
    for node in nodes:
        part = node.operation
        if type(part).__name__ != "BatchNormalization" or not is_keras_own(part) or calls[id(part)] > 1:
            continue
        (tensor,) = node.input_tensors
        before = tensor._keras_history.operation
        ordinary = type(before).__name__ in KERNELS and is_keras_own(before)
        if ordinary and calls[id(before)] == 1 and uses[id(tensor)] == 1 and is_linear(before):
            found[before] = part
    return found


def is_keras_own(part: KerasLayer) -> bool:
    """Return whether a layer is one of Keras' own classes, in its standard configuration."""
    if not isinstance(part, keras.Layer) or not type(part).__module__.startswith("keras.") or "call" in vars(part):
        return False
    if part.dtype_policy.name != "float32":
        return False
    if getattr(part, "data_format", "channels_last") != "channels_last" or getattr(part, "lora_enabled", False):
        return False
    # TensorFlow's depthwise convolution supports a single stride for rows and columns.
    return getattr(part, "axis", None) in (None, -1, 3) and len(set(getattr(part, "strides", ()))) < 2


def is_linear(part: KerasLayer) -> bool:
    """Return whether a layer has no activation."""
    return part.activation in (None, keras.activations.linear)


def _constant(variable: Variable) -> Tensor:
    return tf.stop_gradient(tf.convert_to_tensor(variable))


def _double(variable: Variable) -> Tensor:
    return tf.cast(_constant(variable), tf.float64)
