"""TensorFlow operations equivalent to Keras layers in inference mode."""

from collections.abc import Callable
from functools import partial, reduce

from advcli.backend import KerasLayer, Tensor, tf
from advcli.model import conv_gradient
from advcli.model.batchnorm_folding import Weights, is_linear, read, scale_and_shift, single

Operation = Callable[..., Tensor]


def plain(part: KerasLayer) -> Operation | None:
    """Return the TensorFlow operation of a Keras layer; None for a layer that is called unchanged."""
    name = type(part).__name__
    if name in _WEIGHTED:
        return weighted(part, read(part))
    return _WEIGHTLESS[name](part) if name in _WEIGHTLESS else None


def weighted(part: KerasLayer, weights: Weights) -> Operation:
    """Return the operation of a layer with a kernel, with the given weights."""
    multiplied = _WEIGHTED[type(part).__name__](part, *weights.kernels)

    def run(x: Tensor) -> Tensor:
        outputs = multiplied(x)
        outputs = outputs if weights.bias is None else outputs + weights.bias
        return outputs if is_linear(part) else part.activation(outputs)

    return run


def _convolution(part: KerasLayer, kernel: Tensor) -> Operation:
    padding, dilations = part.padding.upper(), part.dilation_rate
    if kernel.shape[2] <= conv_gradient.FEW and part.groups == 1 and set(dilations) == {1}:
        return conv_gradient.of_few_channels(kernel, part.strides[0], padding)

    def convolve(x: Tensor, kernel: Tensor) -> Tensor:
        # Unlike conv2d it has a gradient for dilations on every processor.
        return tf.nn.convolution(x, kernel, part.strides, padding, dilations=dilations)

    if part.groups == 1:
        return lambda x: convolve(x, kernel)
    # One convolution of all groups has a gradient on some processors only.
    kernels = tf.split(kernel, part.groups, axis=-1)

    def convolve_groups(x: Tensor) -> Tensor:
        return tf.concat([convolve(*pair) for pair in zip(tf.split(x, part.groups, axis=-1), kernels, strict=True)], -1)

    return convolve_groups


def _depthwise(part: KerasLayer, kernel: Tensor) -> Operation:
    padding, strides, dilations = part.padding.upper(), (1, *part.strides, 1), part.dilation_rate
    return lambda x: tf.nn.depthwise_conv2d(x, kernel, strides, padding, dilations=dilations)


def _separable(part: KerasLayer, deep: Tensor, pointwise: Tensor) -> Operation:
    padding, strides, dilations = part.padding.upper(), (1, *part.strides, 1), part.dilation_rate
    return lambda x: tf.nn.separable_conv2d(x, deep, pointwise, strides, padding, dilations=dilations)


def _dense(part: KerasLayer, kernel: Tensor) -> Operation:
    return lambda x: tf.tensordot(x, kernel, 1)


def _normalization(part: KerasLayer) -> Operation:
    scale, shift = (single(values) for values in scale_and_shift(part))
    return lambda x: x * scale + shift


def _rectifier(part: KerasLayer) -> Operation | None:
    if part.negative_slope == 0 and part.threshold == 0 and part.max_value in (None, 6):
        return tf.nn.relu if part.max_value is None else tf.nn.relu6
    return None


def _padding(part: KerasLayer) -> Operation:
    rows, columns = part.padding
    return lambda x: tf.pad(x, ((0, 0), tuple(rows), tuple(columns), (0, 0)))


_WEIGHTED: dict[str, Callable[..., Operation]] = {
    "Conv2D": _convolution,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Dense": _dense,
}
_WEIGHTLESS: dict[str, Callable[[KerasLayer], Operation | None]] = {
    "BatchNormalization": _normalization,
    "ReLU": _rectifier,
    "ZeroPadding2D": _padding,
    "Activation": lambda part: part.activation,
    "Add": lambda part: partial(reduce, tf.add),
    "Concatenate": lambda part: partial(tf.concat, axis=-1),
    "GlobalAveragePooling2D": lambda part: partial(tf.reduce_mean, axis=(1, 2), keepdims=part.keepdims),
    "Dropout": lambda part: lambda x: x,
}
