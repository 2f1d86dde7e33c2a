"""The layers and TensorFlow calls of Keras 2 as those of Keras 3 that compute the same."""

import importlib
import inspect
import re
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np

from advcli.backend import KerasLayer, Nest, Tensor, TracedFunction, keras, tf
from advcli.records.base import Json


class Unknown(Exception):
    """Something in a file of Keras 2 for which no equal in Keras 3 is known."""


# Layers of the same name that compute the same in inference mode.
_SAME_NAMES = """
    InputLayer Conv1D Conv2D DepthwiseConv2D SeparableConv2D Conv2DTranspose Dense EinsumDense Embedding
    BatchNormalization LayerNormalization GroupNormalization UnitNormalization Normalization Rescaling Resizing
    CenterCrop Activation ReLU LeakyReLU PReLU ELU Softmax MaxPooling2D AveragePooling2D MaxPooling1D AveragePooling1D
    GlobalAveragePooling2D GlobalMaxPooling2D GlobalAveragePooling1D GlobalMaxPooling1D Flatten Reshape Permute
    RepeatVector Dropout SpatialDropout1D SpatialDropout2D GaussianNoise GaussianDropout AlphaDropout
    ActivityRegularization Add Subtract Multiply Average Maximum Minimum Concatenate Dot ZeroPadding2D Cropping2D
    UpSampling2D RandomFlip RandomRotation RandomZoom RandomTranslation RandomContrast RandomBrightness
    MultiHeadAttention
"""
_SAME = frozenset(_SAME_NAMES.split())
_RENAMED = {"SyncBatchNormalization": "BatchNormalization"}
# Keras 2 writes these, and only these values of them change nothing.
_MEANINGLESS: Mapping[str, Callable[[Json], bool]] = {
    "groups": lambda value: value == 1,
    "rng_type": lambda value: True,
    "query_shape": lambda value: True,
    "key_shape": lambda value: True,
    "value_shape": lambda value: True,
    "batch_input_shape": lambda value: True,
    "trainable": lambda value: True,
    "implementation": lambda value: True,
    "fused": lambda value: True,
    "softmax_robust_masking": lambda value: not value,
    "renorm": lambda value: not value,
    "virtual_batch_size": lambda value: value is None,
    "noise_shape": lambda value: value is None,
    "input_dtype": lambda value: value in (None, "float32"),
}
# What training starts from and is held to.
_FOR_TRAINING = ("_initializer", "_regularizer", "_constraint")


def layer(kind: str, config: Mapping[str, Json]) -> KerasLayer:
    """Build the Keras 3 layer of a Keras 2 configuration.

    Raises:
        Unknown: no layer that computes the same is known.
    """
    kind = _RENAMED.get(kind, kind)
    if kind == "LayerScale":
        # A class of ConvNeXt that Keras does not export.
        made = importlib.import_module(keras.applications.ConvNeXtTiny.__module__).LayerScale
    elif kind in _SAME:
        made = getattr(keras.layers, kind)
    else:
        raise Unknown(f"the layer '{kind}'")
    values = {key: value for key, value in config.items() if not key.endswith(_FOR_TRAINING)}
    if kind == "LeakyReLU" and "alpha" in values:
        values["negative_slope"] = values.pop("alpha")
    values["name"] = _name(values.get("name", kind))
    values["dtype"] = _policy(values.get("dtype", "float32"))
    if isinstance(values.get("axis"), list) and len(values["axis"]) == 1:
        values["axis"] = values["axis"][0]
    if "activation" in values:
        values["activation"] = _activation(values["activation"])
    accepted = _parameters(made)
    for key in [key for key in values if key not in accepted]:
        value = values.pop(key)
        if not (key in _MEANINGLESS and _MEANINGLESS[key](value)):
            raise Unknown(f"{key}={value!r} of the layer '{kind}'")
    built = made(**values)
    built.trainable = bool(config.get("trainable", True))
    return built


def code_in(config: Json) -> str:
    """Name the first thing in a configuration that Keras 2 would run as code; empty if there is none.

    Keras 2 calls any function of TensorFlow that a TFOpLambda layer names, while it reads the file.
    """
    if isinstance(config, list):
        return next(filter(None, map(code_in, config)), "")
    if not isinstance(config, dict):
        return ""
    kind, inside = config.get("class_name"), config.get("config")
    if kind in ("Lambda", "__lambda__"):
        return "Python code (a Lambda layer)"
    if kind == "TFOpLambda" and isinstance(inside, dict):
        function = str(inside.get("function"))
        if function not in _FUNCTIONS and not re.fullmatch(r"(math|nn|linalg|signal|__operators__)\.\w+", function):
            return f"a call of 'tf.{function}'"
    return code_in(list(config.values()))


def _name(name: str) -> str:
    return name.replace("/", "_")


@cache
def _parameters(made: KerasLayer) -> frozenset[str]:
    """Return the arguments of a layer class, those it hands to its base classes included."""
    found: set[str] = set()
    for one in made.__mro__:
        parameters = inspect.signature(one.__init__).parameters
        found.update(parameters)
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
            break
    return frozenset(found)


def _policy(dtype: Json) -> str:
    """Return the name of a data type or policy."""
    return dtype["config"]["name"] if isinstance(dtype, dict) else dtype


def _activation(value: Json) -> KerasLayer:
    if value is None or (isinstance(value, str) and value != "hard_sigmoid" and hasattr(keras.activations, value)):
        return value
    if value == "hard_sigmoid":
        return hard_sigmoid
    raise Unknown(f"the activation {value!r}")


def hard_sigmoid(inputs: Tensor) -> Tensor:
    """Compute the hard sigmoid of Keras 2, which is steeper than that of Keras 3: clip(x / 5 + 1 / 2, 0, 1)."""
    return keras.ops.clip(0.2 * inputs + 0.5, 0.0, 1.0)


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
