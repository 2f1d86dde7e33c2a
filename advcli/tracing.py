"""What goes into a traced function of TensorFlow: Python that is not converted, loops, gradients, functions of arrays.

A graph holds what it needs, and TensorFlow holds nothing of it once the graph is gone.
"""

import functools
import types
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from advcli.backend import Graph, Nest, Tensor, registered_gradients, tf

# The attribute that AutoGraph looks for.
_MARK = "autograph_info__"

_Written = TypeVar("_Written")


def as_written(written: _Written) -> _Written:
    """Exclude a function, or a class with its methods, and what they call from AutoGraph.

    None of their loops and branches may depend on a tensor. In each process the conversion of a function takes tens of
    milliseconds of its first trace, so that of a whole attack takes longer than all the rest of its trace.
    """
    methods = vars(written).values() if isinstance(written, type) else ()
    for each in (written, *(method for method in methods if isinstance(method, types.FunctionType))):
        setattr(each, _MARK, _AsWritten(written))
    return written


class _AsWritten:
    """The mark of a class, which its subclasses do not inherit: they may have other methods."""

    def __init__(self, written: object) -> None:
        self._written = written

    def __get__(self, instance: object, owner: type) -> "_AsWritten":
        if owner is not self._written:
            raise AttributeError
        return self


def converted(function: Callable[..., Nest]) -> Callable[..., Nest]:
    """Let AutoGraph convert a function that is called by one that is as written."""
    autograph: Any = tf.__internal__.autograph
    return autograph.tf_convert(function, autograph.control_status_ctx())


@as_written
def repeated(times: int | Tensor, step: Callable[..., tuple[Nest, ...]], state: tuple[Nest, ...]) -> tuple[Nest, ...]:
    """Take a step a number of times, in a traced function too: -> the last state.

    Args:
        times: how often; 0: the state is returned.
        step: the number of the step, from 0, and the parts of the state -> the parts of the next state.
        state: the parts at first: tensors, or structures of them.
    """

    def again(number: Tensor, *state: Nest) -> tuple[Nest, ...]:
        return number + 1, *step(number, *state)

    return tf.while_loop(lambda number, *_: number < times, again, (tf.constant(0), *state))[1:]


def custom_gradient(function: Callable[..., Nest]) -> Callable[..., Nest]:
    """Decorate a function that returns values and the function of their gradient, as ``tf.custom_gradient`` does.

    In a graph TensorFlow registers each gradient for ever, and with it the graph and the weights of the network. Here
    the registration ends with the graph.
    """
    decorated = tf.custom_gradient(function)

    @functools.wraps(function)
    def call(*arguments: Tensor) -> Nest:
        values: Nest = decorated(*arguments)
        if not tf.executing_eagerly():
            _register_while_it_lives(tf.nest.flatten(values)[0].op)
        return values

    return call


def _register_while_it_lives(operation: Graph) -> None:
    """Have the graph of an operation, and not the registry of TensorFlow, hold the operation's gradient."""
    entries = registered_gradients()
    name: str = operation.get_attr("_gradient_op_type").decode()
    if name not in entries:
        return
    gradient = entries[name]["type"]
    operation.graph.add_to_collection("gradients of advcli", gradient)
    entries[name]["type"] = weakref.proxy(gradient)
    weakref.finalize(operation.graph, entries.pop, name, None).atexit = False


@as_written
def numpy_function(function: Callable[..., Nest], inputs: list[Tensor], dtypes: Nest) -> Nest:
    """Call a function of arrays, also inside a traced function, as ``tf.numpy_function`` does.

    TensorFlow keeps each such function for ever, and with it what the function holds. Here the graphs that call it
    hold it.
    """
    if tf.executing_eagerly():
        return tf.numpy_function(function, inputs, dtypes)
    graph: Graph = tf.compat.v1.get_default_graph()
    # A traced function inside another is kept, and may be called again when the outer one is gone.
    while hasattr(graph, "outer_graph"):
        graph.add_to_collection("functions of advcli", function)
        graph = graph.outer_graph
    held = weakref.proxy(function)
    return tf.numpy_function(lambda *arrays: held(*arrays), inputs, dtypes)
