"""The layers of Keras 2 as those of Keras 3 that compute the same."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import cache

from advcli.backend import KerasLayer, Tensor, keras
from advcli.model.keras2_functions import Unknown, only_computes
from advcli.records.base import Json

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
        if not only_computes(function):
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
