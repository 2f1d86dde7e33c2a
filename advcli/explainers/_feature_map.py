"""The feature map that a class activation map shows: which one, and how to get hold of it."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from advcli.backend import Tensor, keras, tf
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.layers import operations, replaced
from advcli.model import Classifier

_FINE_ENOUGH = (7, 4, 2)
_STEM = 10
# What only moves or thins out the map of the layer before it.
_NO_STAGE = ("Pad", "Crop", "Pool", "Dropout", "Reshape", "UpSampling")
_SHAPE_ONLY = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")


@dataclass(frozen=True)
class Call:
    """One call of a layer while a model runs.

    Args:
        layer: a layer, or a bare operation.
        turn: how many times it was called before in the same run.
        output: what the call returned.
    """

    layer: Any
    turn: int
    output: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the output; (0, 0) if it is no map."""
        shape = self.output.shape
        return (shape[1], shape[2]) if len(shape) == 4 and None not in shape[1:3] else (0, 0)


@contextlib.contextmanager
def recorded(layers: Sequence[Any]) -> Iterator[list[Call]]:
    """Record the calls of some layers, in the order in which they return, wherever in a model they are."""
    calls: list[Call] = []

    def recording(layer: Any, call: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            if tf.is_tensor(output):
                calls.append(Call(layer, sum(earlier.layer is layer for earlier in calls), output))
            return output

        return wrapped

    with contextlib.ExitStack() as stack:
        for layer in layers:
            stack.enter_context(replaced(layer, "call", recording(layer, layer.call)))
        yield calls


def feature_map(classifier: Classifier, name: str = "") -> Call:
    """Choose the layer whose output is shown: the one named, or the deepest good one.

    That is, of the layers that every path from the input to the output passes through, the first
    tenth left out, the deepest with a map of at least 7 x 7 cells, or else 4 x 4, or else 2 x 2;
    and of the layers with a map of that size the last activation, if there is one.

    Raises:
        UsageError: there is no such layer, or its output is no map.
        AdvcliError: the model has no feature map.
    """
    calls, passed = _traced(classifier.model, classifier.edge, classifier.channels)
    if name:
        named = [call for call in calls if call.layer.name == name]
        if not named:
            raise UsageError(
                f"'{classifier.name}' has no layer '{name}'", nearest(name, [call.layer.name for call in calls])
            )
        if min(named[-1].size) < 2:
            raise UsageError(f"the output of layer '{name}' is no map of 2 x 2 cells or more")
        return named[-1]
    # Preprocessing keeps an image's one to three channels, the first convolution makes more of them.
    maps = [call for call in passed if call.output.shape[-1] > 3 and not _only_moves(call.layer)]
    for least in _FINE_ENOUGH:
        fine = [call for call in maps if min(call.size) >= least]
        if fine:
            stage = [call for call in fine if call.size == fine[-1].size]
            return ([call for call in stage if _is_activation(call)] or stage)[-1]
    raise AdvcliError(f"'{classifier.name}' has no feature map to show", "explain it with --method saliency")


@lru_cache(maxsize=1)
def _traced(model: Any, edge: int, channels: int) -> tuple[list[Call], list[Call]]:
    """Trace a model; return the calls between its input and its output, and those no path leads around."""
    with recorded(operations(model)) as calls:
        signature = [tf.TensorSpec((1, edge, edge, channels), tf.float32)]
        graph = tf.function(lambda x: model(x, training=False), input_signature=signature).get_concrete_function().graph
    between = _between(graph.inputs[0].op, graph.outputs[0].op, graph.get_operations())
    passed = _bottlenecks(between)
    # A call inside a function of TensorFlow's own, or a constant, is in no graph or in another one.
    known = set(between)
    inside = [call for call in calls if getattr(call.output, "graph", None) is graph and call.output.op in known]
    # A fine map is of no use where nothing has been recognised yet: NASNet has no bottleneck but its stem and its end.
    later = inside[len(inside) // _STEM :]
    return inside, [call for call in later if call.output.op in passed]


def _between(first: Any, last: Any, nodes: Sequence[Any]) -> list[Any]:
    """Keep the nodes of a graph that lie on a path, in their order."""
    behind = {first}
    for node in nodes:
        if node.type not in _SHAPE_ONLY and any(tensor.op in behind for tensor in node.inputs):
            behind.add(node)
    before = {last}
    for node in reversed(nodes):
        if node in before:
            before.update(tensor.op for tensor in node.inputs)
    return [node for node in nodes if node in behind and node in before]


def _bottlenecks(nodes: Sequence[Any]) -> set[Any]:
    """Keep the nodes that no connection leads around."""
    place = {node: i for i, node in enumerate(nodes)}
    reach = 0
    kept = set()
    for i, node in enumerate(nodes):
        if reach <= i:
            kept.add(node)
        consumers = [place.get(consumer, 0) for output in node.outputs for consumer in output.consumers()]
        reach = max([reach, *consumers])
    return kept


def _only_moves(layer: Any) -> bool:
    return any(word in type(layer).__name__ for word in _NO_STAGE)


def _is_activation(call: Call) -> bool:
    function = getattr(call.layer, "activation", keras.activations.linear)
    kind = type(call.layer).__name__.lower()
    known = {name.replace("_", "") for name in dir(keras.activations)} | {"prelu"}
    return function not in (None, keras.activations.linear) or kind in known or "Relu" in call.output.op.type
