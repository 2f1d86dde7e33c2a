"""Introspection of any Keras model: its operations, their outputs, and temporary replacement of attributes."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advcli.backend import KerasLayer, KerasModel, Nest, Tensor, TracedFunction, keras, tf


def graph_of(model: KerasModel) -> KerasModel:
    """Return the functional graph inside a Sequential model that is built, else the model itself."""
    sequential = type(model) is keras.Sequential and model._functional is not None
    return model._functional if sequential else model


def operations(model: KerasModel) -> list[KerasLayer]:
    """List all operations of a model: layers, nested layers, and operations such as ``x + y``."""
    found: dict[KerasLayer, None] = {}
    for layer in model._flatten_layers(include_self=True, recursive=True):
        found[layer] = None
        if isinstance(layer, keras.Function):
            found.update(dict.fromkeys(layer.operations))
    return [operation for operation in found if not isinstance(operation, keras.Model)]


@contextlib.contextmanager
def replaced(owner: object, name: str, value: object) -> Iterator[None]:
    """Replace the value of an attribute, and restore it at the end."""
    # A method belongs to the class: delete the instance attribute that overrides it.
    own = name in vars(owner)
    old = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, old)
        else:
            delattr(owner, name)


@contextlib.contextmanager
def called(layers: Sequence[KerasLayer]) -> Iterator[list[KerasLayer]]:
    """List some layers in the order in which they are called, nested ones too."""
    order: list[KerasLayer] = []

    def noting(layer: KerasLayer, call: TracedFunction) -> TracedFunction:
        def wrapped(*args: Nest, **kwargs: Nest) -> Nest:
            order.append(layer)
            return call(*args, **kwargs)

        return wrapped

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, "call", noting(layer, layer.call)))
        yield order


@dataclass(frozen=True)
class Call:
    """One call of a layer during an execution of a model.

    Args:
        layer: a layer or an operation.
        turn: the number of earlier calls of the layer in the same execution.
        output: the result of the call.
    """

    layer: KerasLayer
    turn: int
    output: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Return rows and columns of the output; (0, 0) if it is not a feature map."""
        shape = self.output.shape
        return (shape[1], shape[2]) if len(shape) == 4 and None not in shape[1:3] else (0, 0)


@contextlib.contextmanager
def recorded(layers: Sequence[KerasLayer]) -> Iterator[list[Call]]:
    """Record the calls of some layers, nested ones too, in the order in which they return."""
    calls: list[Call] = []

    def recording(layer: KerasLayer, call: TracedFunction) -> TracedFunction:
        def wrapped(*args: object, **kwargs: object) -> Nest:
            output = call(*args, **kwargs)
            if tf.is_tensor(output):
                calls.append(Call(layer, sum(earlier.layer is layer for earlier in calls), output))
            return output

        return wrapped

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, "call", recording(layer, layer.call)))
        yield calls
