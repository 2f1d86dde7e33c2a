"""Refuse a model whose variables are much larger than the arrays of its file, before they are allocated.

A configuration of a few bytes can ask for a layer of any size. Every variable is read from the file afterwards, so that
an honest model has no more than the file stores.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from advcli.backend import Variable, tf
from advcli.errors import AdvcliError
from advcli.files.bounded import MEGA

# Variables may take this, or so many times the bytes of the arrays: those of the file may have a shorter type.
_FREE, _EXPANSION = 64 * MEGA, 4


@contextmanager
def limited_variables(path: Path, stored: int) -> Iterator[None]:
    """Limit the variables that are made in the block.

    Args:
        path: the model file, for messages.
        stored: the bytes of the arrays that it stores.

    Raises:
        AdvcliError: a variable exceeds the limit.
    """
    limit, total, refused = max(_FREE, _EXPANSION * stored), 0, ""

    def create(following: Callable[..., Variable], **options: object) -> Variable:
        nonlocal total, refused
        total += _bytes(options)
        if total > limit:
            place = "/".join(filter(None, (tf.get_current_name_scope(), str(options.get("name") or ""))))
            refused = (
                f"with '{place}' its variables have {total / MEGA:.0f} MB, and the file stores {stored / MEGA:.1f} MB"
            )
            raise MemoryError(refused)
        return following(**options)

    try:
        with tf.variable_creator_scope(create):
            yield
    except Exception as error:
        if not refused:
            raise
        # Keras and this package wrap the first error in others.
        raise AdvcliError(f"cannot load model '{path}': {refused}", "save the model again with Keras") from error


def _bytes(options: dict[str, object]) -> int:
    """Return the size of a variable from the arguments that it is made of; nothing is computed for it."""
    value, shape = options.get("initial_value"), options.get("shape")
    if value is None:
        # A SavedModel within: TensorFlow fills its variables from files of their size.
        return 0
    dtype = tf.as_dtype(options.get("dtype") or getattr(value, "dtype", None) or tf.float32)
    if not isinstance(shape, tuple | list | tf.TensorShape):
        shape = getattr(value, "shape", None)
    if shape is None:
        # Traced in a function, which may use tensors that are there already; a graph may not.
        traced = tf.function(lambda: tf.convert_to_tensor(value() if callable(value) else value), autograph=False)
        shape = traced.get_concrete_function().output_shapes
    return math.prod(tf.TensorShape(shape).as_list()) * dtype.size
