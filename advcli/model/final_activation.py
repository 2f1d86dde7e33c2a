"""Compute a traced function without its last activation, so that gradients do not vanish where it saturates."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from advcli.backend import Graph, Tensor, keras, tf

_CALLS = ("StatefulPartitionedCall", "PartitionedCall")
_ACTIVATIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh"}


@dataclass(frozen=True)
class FinalActivation:
    """The last activation of a function, and the function without it.

    Args:
        function: the activation.
        without: images -> the input of the activation.
    """

    function: Callable[[Tensor], Tensor]
    without: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class _Level:
    """One graph of a chain of nested calls: each is called by the one before.

    Args:
        graph: the graph.
        wanted: the tensors that the next graph takes as its inputs; of the last graph: the input of the activation.
    """

    graph: Graph
    wanted: Sequence[Tensor]


def final_activation(concrete: Graph) -> FinalActivation | None:
    """Return the last activation of a traced function of one tensor; None if its result comes from something else."""
    if len(concrete.outputs) != 1 or len(concrete.inputs) != len(concrete.captured_inputs) + 1:
        return None
    levels: list[_Level] = []
    graph, tensor = concrete.graph, concrete.outputs[0]
    while tensor.op.type in ("Identity", *_CALLS):
        if tensor.op.type == "Identity":
            tensor = tensor.op.inputs[0]
            continue
        levels.append(_Level(graph, tensor.op.inputs))
        graph, tensor = _called(graph, tensor)
    if tensor.op.type not in _ACTIVATIONS:
        return None
    levels.append(_Level(graph, tensor.op.inputs))
    image = concrete.inputs[0]
    signature = [tf.TensorSpec(image.shape, image.dtype)]

    @tf.function(input_signature=signature, autograph=False)
    def without(images: Tensor) -> Tensor:
        here: Graph = tf.compat.v1.get_default_graph()
        values = [images, *map(here.capture, concrete.captured_inputs)]
        for level in levels:
            values = _inlined(level, values)
        return values[0]

    return FinalActivation(getattr(keras.activations, _ACTIVATIONS[tensor.op.type]), without)


def _called(graph: Graph, tensor: Tensor) -> tuple[Graph, Tensor]:
    """Return the graph that a call runs, and the tensor in it that is the call's result."""
    inner = graph._get_function(tensor.op.get_attr("f").name).graph
    return inner, inner.outputs[tensor.value_index]


def _inlined(level: _Level, values: Sequence[Tensor]) -> list[Tensor]:
    """Insert the part of a graph that the wanted tensors need into the current one; return the wanted tensors."""
    given: Mapping[str, Tensor] = {own.name: value for own, value in zip(level.graph.inputs, values, strict=True)}
    passed = [given.get(tensor.name) for tensor in level.wanted]
    names = [tensor.name for tensor, value in zip(level.wanted, passed, strict=True) if value is None]
    # Operations that are not needed would run too: TensorFlow keeps those with side effects.
    part = tf.compat.v1.graph_util.extract_sub_graph(
        level.graph.as_graph_def(), [name.partition(":")[0] for name in names]
    )
    kept = {node.name for node in part.node}
    inputs = {name: value for name, value in given.items() if name.partition(":")[0] in kept}
    computed = iter(tf.graph_util.import_graph_def(part, inputs, names, name="inlined") if names else ())
    return [next(computed) if value is None else value for value in passed]
