"""Infer which pixel values a model wants from the first things that it does with them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from advcli.backend import KerasLayer, KerasModel, keras
from advcli.model.introspection import graph_of

BYTES, UNIT, SIGNED = (0.0, 255.0), (0.0, 1.0), (-1.0, 1.0)

# What changes no value, or none that tells its range.
_SAME_SIZE = frozenset(
    (
        *("InputLayer", "Identity", "Cast", "Copy", "StopGradient", "Clip", "Round"),
        *("Permute", "Flip", "Roll", "GetItem", "Stack", "RGBToGrayscale"),
        *("Resizing", "CenterCrop", "Cropping2D", "ZeroPadding2D"),
        # In use, not in training, these change nothing.
        *("Dropout", "SpatialDropout2D", "GaussianDropout", "AlphaDropout", "GaussianNoise", "ActivityRegularization"),
    )
)
# The same, but behind these a size is not that of the image.
_OTHER_SIZE = frozenset(
    (
        # A mean or a largest value is within the range.
        *("Resize", "Pad", "UpSampling2D", "AveragePooling2D", "MaxPooling2D", "Mean"),
        *("Reshape", "Flatten", "ExpandDims", "Squeeze", "Transpose", "Moveaxis"),
        *("RepeatVector", "Repeat", "Tile", "BroadcastTo"),
    )
)
# A value above this that becomes zero is one of 255, and a factor below its inverse makes such values small.
_LARGE = 20.0
# A standard deviation of values from 0 to 1 is hardly above 0.4, that of values from -1 to 1 hardly below.
_SPREAD = 0.4


class _Affine(NamedTuple):
    """``scale * x + offset``, each one number or one for each channel or pixel."""

    scale: np.ndarray
    offset: np.ndarray

    def after(self, first: "_Affine") -> "_Affine | None":
        """Return this step after another one; None if they are of different shapes."""
        try:
            return _Affine(self.scale * first.scale, self.scale * first.offset + self.offset)
        except ValueError:
            return None


class _Branches(NamedTuple):
    """What a model does with one tensor in several ways, such as an ensemble: the steps of each way."""

    ways: "tuple[_Steps, ...]"


# What is done, in order, and what each step is given: None for what is no constant.
_Steps = Iterable[tuple[KerasLayer | _Branches, Sequence[np.ndarray | None]]]


class FirstResizing(NamedTuple):
    """The size that a model resizes its images to before anything else, and the flag that keeps their proportions."""

    height: int
    width: int
    keeps: str


def infer_range(model: KerasModel) -> tuple[tuple[float, float], str] | None:
    """Return the values for black and white that a model wants, and the layer that shows it; None if nothing does.

    The layers before the first one with a kernel are looked at: ``Rescaling``, ``Normalization``, the statistics of
    ``BatchNormalization``, and the arithmetic of ``preprocess_input``, whose steps form one affine function. 0 to 255
    is inferred if it divides by 255, 127.5 and the like, or subtracts means of that size; 0 to 1 and -1 to 1 if these
    values are brought around zero. Where the model branches, all branches must show the same.
    """
    return _inferred(_first_steps(model), _Affine(np.ones(1), np.zeros(1)), "")


def _inferred(steps: _Steps, whole: _Affine, shown: str) -> tuple[tuple[float, float], str] | None:
    """Infer the range from steps after those that were joined before, the first of which has a name."""
    for operation, given in steps:
        if isinstance(operation, _Branches):
            found = [_inferred(way, whole, shown) for way in operation.ways]
            ranges = {None if each is None else each[0] for each in found}
            return found[0] if len(ranges) == 1 else None
        if _is_neutral(operation):
            continue
        step = _affine(operation, given)
        joined = None if step is None else step.after(whole)
        if joined is None or not np.all(joined.scale):
            break
        whole, shown = joined, shown or operation.name
        if _is_of_bytes(whole):
            return BYTES, operation.name
    found = _small_range(whole)
    return None if found is None else (found, shown)


def first_resizing(model: KerasModel) -> FirstResizing | None:
    """Return the size that a model resizes its images to before anything else; None if it does not."""
    for operation, _ in _first_steps(model):
        if isinstance(operation, _Branches):
            return None
        if type(operation).__name__ == "Resizing":
            flags = ("crop_to_aspect_ratio", "pad_to_aspect_ratio")
            keeps = next((flag for flag in flags if getattr(operation, flag, False)), "")
            return FirstResizing(operation.height, operation.width, keeps)
        if not _is_neutral(operation) or type(operation).__name__ in _OTHER_SIZE:
            return None
    return None


def _first_steps(part: KerasLayer) -> Iterator[tuple[KerasLayer | _Branches, list[np.ndarray | None]]]:
    """List what a model does with its input, in order: nested models opened, up to where it branches."""
    part = graph_of(part)
    if not isinstance(part, keras.Function):
        yield part, []
        return
    for depth in sorted(part._nodes_by_depth, reverse=True):
        nodes = part._nodes_by_depth[depth]
        if len(nodes) > 1 and all(type(node.operation).__name__ == "GetItem" for node in nodes):
            # The channels one by one, before they are stacked in another order.
            continue
        if len(nodes) > 1:
            of_one = len({id(tensor) for node in nodes for tensor in node.input_tensors}) == 1
            yield _Branches(tuple(list(_steps_of(node)) for node in nodes) if of_one else ((),)), []
            return
        yield from _steps_of(nodes[0])


def _steps_of(node: KerasLayer) -> Iterator[tuple[KerasLayer | _Branches, list[np.ndarray | None]]]:
    """List what a node of a graph does: itself, or what the nested model does that it calls."""
    if isinstance(node.operation, keras.Model):
        yield from _first_steps(node.operation)
        return
    if type(node.operation).__name__ == "Concatenate" and len({id(each) for each in node.input_tensors}) == 1:
        # One grey channel becomes three.
        return
    given = [*node.arguments.args, *node.arguments.kwargs.values()]
    yield node.operation, [np.asarray(value) if _is_constant(value) else None for value in given]


def _is_constant(value: object) -> bool:
    if isinstance(value, (bool, keras.KerasTensor)):
        return False
    if isinstance(value, list | tuple) and any(isinstance(each, keras.KerasTensor) for each in value):
        return False
    return isinstance(value, int | float | np.ndarray | list) or hasattr(value, "numpy")


def _is_neutral(operation: KerasLayer) -> bool:
    kind, module = type(operation).__name__, type(operation).__module__
    random = module.startswith("keras.") and "preprocessing.image_preprocessing" in module
    return random or kind in _SAME_SIZE or kind in _OTHER_SIZE


def _affine(operation: KerasLayer, given: Sequence[np.ndarray | None]) -> _Affine | None:
    """Return what an operation does to each value; None if that is not one factor and one summand."""
    kind = type(operation).__name__
    if kind == "Rescaling":
        return _Affine(np.asarray(operation.scale, np.float64), np.asarray(operation.offset, np.float64))
    if kind == "Normalization" and operation.mean is not None and not operation.invert:
        spread = np.maximum(np.sqrt(np.asarray(operation.variance, np.float64)), keras.backend.epsilon())
        return _Affine(1 / spread, -np.asarray(operation.mean, np.float64) / spread)
    if kind == "BatchNormalization":
        # What it multiplies and adds after that says nothing of the pixels.
        spread = np.sqrt(np.asarray(operation.moving_variance, np.float64) + operation.epsilon)
        return _Affine(1 / spread, -np.asarray(operation.moving_mean, np.float64) / spread)
    if kind == "Negative":
        return _Affine(-np.ones(1), np.zeros(1))
    values = [value for value in given if value is not None]
    if len(values) != 1 or values[0].dtype.kind not in "iuf" or not values[0].size:
        return None
    value, first = values[0].astype(np.float64), given[0] is not None
    if kind == "Add":
        return _Affine(np.ones(1), value)
    if kind == "Subtract":
        return _Affine(-np.ones(1), value) if first else _Affine(np.ones(1), -value)
    if kind == "Multiply":
        return _Affine(value, np.zeros(1))
    if kind in ("TrueDivide", "Divide") and not first and np.all(value):
        return _Affine(1 / value, np.zeros(1))
    return None


def _is_of_bytes(whole: _Affine) -> bool:
    """Return whether values up to 255 become small, or one of that size becomes zero."""
    return bool(np.abs(whole.scale).max() < 1 / _LARGE or np.abs(whole.offset / whole.scale).max() > _LARGE)


def _small_range(whole: _Affine) -> tuple[float, float] | None:
    """Return which of the small ranges is brought around zero, or from -1 to 1 to between 0 and 1."""
    scale, zero = np.abs(whole.scale), -whole.offset / whole.scale
    if np.allclose(scale, 0.5, atol=0.01) and np.allclose(zero, -1, atol=0.02):
        return SIGNED
    if zero.min() >= 0 and 0.02 < zero.max() < 1:
        middle = np.abs(zero - 0.5).max() < 0.15 and scale.min() >= 1
        return UNIT if middle or scale.min() >= 1 / _SPREAD else None
    off = -0.9 < zero.min() < -0.01 and zero.max() < 0.9
    return SIGNED if off and scale.min() >= 1 and scale.max() <= 1 / 0.2 else None
