"""Give a model the input that it takes, and take its output.

advcli handles images as (N, H, W, C) floating-point numbers with 1 or 3 channels, and one tensor of scores. A model of
integers, of channels first, of an opacity channel, of vectors, or of several outputs is wrapped in a functional model
that converts them; the model itself stays as it was read.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from advcli.backend import KerasModel, Nest, Tensor, keras, tf
from advcli.errors import AdvcliError
from advcli.model.inference import disagreement
from advcli.model.input_layout import InputLayout, input_layout
from advcli.model.introspection import graph_of
from advcli.model.outputs import chosen_output, named, outputs_of

_PROBE = 64
_ROUNDING = 1e-5


class Adapted(NamedTuple):
    """A model with the input and the output that advcli needs.

    Args:
        model: (N, H, W, C) floats in the model's input range -> one tensor; the model as it was read if it has them.
        height: the height of its input in pixels; None for any.
        width: the width of its input in pixels; None for any.
        channels: 3, or 1 for grey images.
        original: the model as it was read.
        output: the name of the output that is used, if it was chosen.
        notes: what was changed.
        differentiable: whether the output has a gradient with respect to the image.
    """

    model: KerasModel
    height: int | None
    width: int | None
    channels: int
    original: KerasModel
    output: str | None = None
    notes: tuple[str, ...] = ()
    differentiable: bool = True


def adapt(model: KerasModel, name: str, white: float, output: str | None = None) -> Adapted:
    """Return a model with one floating-point image as its input and one tensor as its output.

    Args:
        model: the Keras model.
        name: its name in messages.
        white: the input value of white, for an opacity channel.
        output: the name of the output to use, if the model has several.

    Raises:
        AdvcliError: the model does not take one image.
        UsageError: the model has several outputs and none was chosen, or it has no output of this name.
    """
    dtype, layout = _input(model, name)
    integer = takes_integers(model)
    channels = 3 if layout.channels == 4 else layout.channels
    notes = [layout.note] if layout.note else []
    if layout.channels == 4:
        notes.append("takes four channels: the fourth, opacity, is full")
    size = (layout.height, layout.width, channels)
    container = outputs_of(model, size)
    chosen = chosen_output(container, output, name)
    if chosen is not None and len(container) > 1:
        notes.append(f"output '{chosen}' is used")
    if not (notes or integer) and chosen is None:
        return Adapted(model, *size, model)
    image = keras.Input(size)

    def built(inner: Callable[[Tensor], Nest]) -> KerasModel:
        outputs = inner(_arranged(image, layout, white, integer))
        return keras.Model(image, outputs if chosen is None else named(outputs, model)[chosen], name=model.name)

    if not integer:
        return Adapted(built(model), *size, model, chosen, tuple(notes))
    exact = built(lambda inputs: model(keras.ops.cast(inputs, dtype)))
    differentiable = _proven(lambda: built(lambda inputs: _on_floats(model, inputs)), exact)
    how = "gradients pass the rounding unchanged" if differentiable else "it has no gradient"
    notes.append(f"takes integers ({dtype}): pixels are rounded for it, and {how}")
    return Adapted(differentiable or exact, *size, model, chosen, tuple(notes), differentiable is not None)


def takes_integers(model: KerasModel) -> bool:
    """Return whether the input of a model has an integer type."""
    inputs = getattr(model, "inputs", None) or []
    return bool(inputs) and not inputs[0].dtype.startswith(("float", "bfloat"))


def _input(model: KerasModel, name: str) -> tuple[str, InputLayout]:
    """Return the type and the layout of a model's only input."""
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) > 1:
        found = ", ".join(each.name for each in inputs)
        raise AdvcliError(f"model '{name}' has {len(inputs)} inputs: {found}", "advcli needs a model of one image")
    if inputs:
        return inputs[0].dtype, input_layout(tuple(inputs[0].shape), name)
    # A subclassed model has no inputs of its own, only the shape of what it was called on.
    shape = (model.get_build_config() or {}).get("input_shape")
    return "float32", InputLayout(None, None, 3) if shape is None else input_layout(tuple(shape), name)


def _arranged(image: Tensor, layout: InputLayout, white: float, integer: bool) -> Tensor:
    """Convert (N, H, W, C) to the input of a model."""
    ops = keras.ops
    if integer:
        image = ops.stop_gradient(ops.round(image)) + (image - ops.stop_gradient(image))
    if layout.channels == 4:
        image = ops.concatenate([image, ops.full_like(image[..., :1], white)], axis=-1)
    if layout.channels_first:
        return ops.transpose(image, (0, 3, 1, 2))
    return ops.reshape(image, (-1, *layout.shape)) if layout.shape else image


def _on_floats(model: KerasModel, image: Tensor) -> Nest:
    """Compute a model of integers on floating-point numbers: the same layers, without the conversion to integers."""
    graph = graph_of(model)
    if type(graph).__name__ != "Functional":
        raise TypeError("a subclass may convert its input in its own code")
    return graph._run_through_graph(image, operation_fn=lambda operation: operation)


def _proven(build: Callable[[], KerasModel], exact: KerasModel) -> KerasModel:
    """Return a model if its outputs equal those of the exact model on random images; None if not, or if it fails."""
    size = [each or _PROBE for each in exact.input_shape[1:]]
    probe = np.random.default_rng(0).integers(0, 256, (4, *size)).astype(np.float32)
    try:
        model = build()
        apart = disagreement(lambda: model(probe, training=False), lambda: exact(probe, training=False))
        if not has_gradient(model, probe):
            return None
    except Exception:  # noqa: BLE001  layers may refuse floating-point numbers with any error
        return None
    return model if apart <= _ROUNDING else None


def has_gradient(model: KerasModel, images: np.ndarray) -> bool:
    """Return whether the outputs of a model have a gradient with respect to its input that is not zero everywhere."""
    pixels = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        outputs = tf.cast(model(pixels, training=False), tf.float32)
        # A sum of probabilities is constant: weigh the classes differently.
        total = tf.reduce_sum(outputs * tf.range(1.0, 1.0 + outputs.shape[-1]))
    gradient = tape.gradient(total, pixels)
    return gradient is not None and bool(tf.reduce_any(gradient != 0))
