"""Infer which pixel values a model wants from the first thing that it does with them."""

from collections.abc import Iterator

import numpy as np

from advcli.backend import KerasLayer, KerasModel, keras
from advcli.model.introspection import graph_of

BYTES, UNIT = (0.0, 255.0), (0.0, 1.0)

# What changes no value, or none that tells its range.
_NEUTRAL = (
    "InputLayer",
    "Resizing",
    "CenterCrop",
    "ZeroPadding2D",
    "Cropping2D",
    "Permute",
    "GetItem",
    "Cast",
    "Identity",
)
# A divisor or a mean above this is of values up to 255, a factor below its inverse makes them small.
_LARGE = 20.0


def infer_range(model: KerasModel) -> tuple[tuple[float, float], str] | None:
    """Return the values for black and white that a model wants, and the layer that shows it; None if nothing does.

    The layers before the first one with a kernel are looked at: ``Rescaling``, ``Normalization``, and the arithmetic
    of ``preprocess_input``. 0 to 255 is inferred from division by 255, 127.5 and the like, or from means of that
    size; 0 to 1 from a rescaling or a normalization of values that small.
    """
    for operation, constants in _first_steps(model):
        found = _range_shown(operation, constants)
        if found is not None:
            return found, operation.name
        shifted = type(operation).__name__ in ("Subtract", "Add") and len(constants) > 0
        if not (shifted or _is_neutral(operation)):
            return None
    return None


def first_resizing(model: KerasModel) -> tuple[int, int] | None:
    """Return the height and width that a model resizes its images to before anything else; None if it does not."""
    for operation, _ in _first_steps(model):
        if type(operation).__name__ == "Resizing":
            return operation.height, operation.width
        if not _is_neutral(operation):
            return None
    return None


def _first_steps(part: KerasLayer) -> Iterator[tuple[KerasLayer, list[np.ndarray]]]:
    """List what a model does with its input, in order, with the constants of each step: nested models opened."""
    part = graph_of(part)
    if not isinstance(part, keras.Function):
        yield part, []
        return
    for depth in sorted(part._nodes_by_depth, reverse=True):
        nodes = part._nodes_by_depth[depth]
        if len(nodes) > 1:
            # Branches: none of them is what the model does first.
            yield None, []
            return
        node = nodes[0]
        if isinstance(node.operation, keras.Model):
            yield from _first_steps(node.operation)
            continue
        given = [*node.arguments.args, *node.arguments.kwargs.values()]
        yield node.operation, [np.asarray(value) for value in given if _is_constant(value)]


def _is_constant(value: object) -> bool:
    if isinstance(value, (bool, keras.KerasTensor)):
        return False
    return isinstance(value, int | float | np.ndarray | list) or hasattr(value, "numpy")


def _is_neutral(operation: KerasLayer) -> bool:
    if operation is None:
        return False
    kind = type(operation).__name__
    module = type(operation).__module__
    return kind in _NEUTRAL or (module.startswith("keras.") and "preprocessing.image_preprocessing" in module)


def _range_shown(operation: KerasLayer, constants: list[np.ndarray]) -> tuple[float, float] | None:
    kind = type(operation).__name__
    if kind == "Rescaling":
        return _of_factor(1 / float(np.abs(np.asarray(operation.scale)).max()))
    if kind == "Normalization" and operation.mean is not None:
        mean, spread = np.abs(np.asarray(operation.mean)).max(), np.sqrt(np.asarray(operation.variance)).max()
        return BYTES if max(mean, spread) > _LARGE else UNIT if max(mean, spread) <= 1 else None
    if not constants or any(constant.dtype.kind not in "iuf" for constant in constants):
        return None
    largest = max(float(np.abs(constant).max()) for constant in constants)
    if kind in ("TrueDivide", "Divide"):
        return _of_factor(largest)
    if kind == "Multiply" and largest > 0:
        return _of_factor(1 / largest)
    if kind in ("Subtract", "Add"):
        return BYTES if largest > _LARGE else None
    return None


def _of_factor(divisor: float) -> tuple[float, float] | None:
    """Return the range of values that are divided by something: they are about one afterwards."""
    return BYTES if divisor > _LARGE else UNIT if 0.1 <= divisor <= 2 else None
