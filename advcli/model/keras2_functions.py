"""The TensorFlow calls in a file of Keras 2, on the tensors of Keras 3."""

import re
from collections.abc import Mapping
from functools import cache

import numpy as np

from advcli.backend import KerasLayer, Nest, Tensor, TracedFunction, keras, tf
from advcli.records.base import Json


class Unknown(Exception):
    """Something in a file of Keras 2 for which no equal in Keras 3 is known."""


def call(function: str, first: Nest, arguments: Mapping[str, Json]) -> KerasLayer:
    """Call a function of TensorFlow on Keras tensors, as a TFOpLambda layer does.

    Raises:
        Unknown: the function is not among those that are known to compute on tensors only.
    """
    given = {key: value for key, value in arguments.items() if key != "name"}
    if (
        function == "nn.bias_add"
        and set(given) <= {"bias", "data_format"}
        and given.get("data_format", "NHWC") == "NHWC"
    ):
        function, given = "math.add", {"y": given["bias"]}
    own = _operations().get(function)
    if own is not None and set(given) <= {"y"}:
        numbers = [np.asarray(value, first.dtype) if isinstance(value, list) else value for value in given.values()]
        return own(first, *numbers)
    if function not in _FUNCTIONS and function not in _operations():
        raise Unknown(f"the TensorFlow function 'tf.{function}'")
    return _call_layer()(function)(first, **given)


@cache
def _operations() -> dict[str, TracedFunction]:
    """Return the functions that are operations of Keras: what they do stays visible in the model."""
    ops = keras.ops
    return {
        "math.truediv": ops.true_divide,
        "math.divide": ops.true_divide,
        "math.subtract": ops.subtract,
        "math.add": ops.add,
        "math.multiply": ops.multiply,
        "__operators__.add": ops.add,
        "math.pow": ops.power,
        "math.abs": ops.abs,
        "math.negative": ops.negative,
        "math.sqrt": ops.sqrt,
        "math.sigmoid": ops.sigmoid,
        "nn.sigmoid": ops.sigmoid,
        "math.tanh": ops.tanh,
        "nn.tanh": ops.tanh,
        "nn.relu": ops.relu,
        "nn.relu6": ops.relu6,
        "nn.softmax": ops.softmax,
        "nn.log_softmax": ops.log_softmax,
    }


# Functions of tensors that read and write nothing else.
_FUNCTIONS_NAMES = """
    math.reduce_mean math.reduce_sum math.reduce_max math.reduce_min math.reduce_std math.reduce_variance math.square
    math.rsqrt math.exp math.log math.log1p math.maximum math.minimum math.floor math.round math.floordiv math.mod
    math.scalar_mul math.l2_normalize math.softplus math.erf math.add_n math.squared_difference nn.bias_add
    nn.leaky_relu nn.gelu nn.elu nn.selu nn.silu nn.swish nn.softplus nn.l2_normalize nn.avg_pool nn.avg_pool2d
    nn.max_pool nn.max_pool2d nn.depth_to_space nn.space_to_depth nn.local_response_normalization nn.conv2d
    nn.depthwise_conv2d nn.moments linalg.matmul linalg.l2_normalize linalg.norm linalg.einsum einsum image.resize
    image.resize_with_pad image.central_crop image.rgb_to_grayscale image.grayscale_to_rgb
    image.per_image_standardization image.adjust_brightness image.adjust_contrast image.flip_left_right
    image.rgb_to_hsv image.extract_patches cast concat reshape expand_dims squeeze transpose compat.v1.transpose
    compat.v1.image.resize_bilinear compat.v1.image.resize_images compat.v1.shape stack unstack split tile pad gather
    compat.v1.gather one_hot clip_by_value shape identity stop_gradient reverse where zeros_like ones_like slice
    strided_slice repeat roll convert_to_tensor broadcast_to
"""
_FUNCTIONS = frozenset(_FUNCTIONS_NAMES.split())


def only_computes(function: str) -> bool:
    """Return whether a function of TensorFlow, by its name without ``tf.``, reads and writes tensors only."""
    return function in _FUNCTIONS or bool(re.fullmatch(r"(math|nn|linalg|signal|__operators__)\.\w+", function))


@cache
def _call_layer() -> KerasLayer:
    """Define the layer at its first use: it needs Keras."""

    class TensorFlowCall(keras.Layer):
        """One call of a TensorFlow function."""

        def __init__(self, function: str) -> None:
            super().__init__(autocast=False)
            self.function = function
            self.built = True

        def call(self, inputs: Nest, **arguments: Json) -> KerasLayer:
            function: Json = tf
            for part in self.function.split("."):
                function = getattr(function, part)
            return function(inputs, **arguments)

    return TensorFlowCall


def sliced(tensor: Tensor, parts: list[Json]) -> KerasLayer:
    """Take a part of a Keras tensor, as a SlicingOpLambda layer does.

    Raises:
        Unknown: a bound is not a number.
    """
    return tensor[tuple(map(_part, parts))]


def _part(part: KerasLayer) -> KerasLayer:
    if isinstance(part, int) or part is None:
        return part
    if isinstance(part, dict) and part.get("class_name") == "__ellipsis__":
        return ...
    if isinstance(part, dict) and set(part) == {"start", "stop", "step"}:
        bounds = [part[key] for key in ("start", "stop", "step")]
        if all(bound is None or isinstance(bound, int) for bound in bounds):
            return slice(*bounds)
    raise Unknown(f"the slice {part!r}")
