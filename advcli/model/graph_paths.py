"""Paths through a graph of TensorFlow."""

from collections.abc import Sequence

from advcli.backend import Graph

# Their results depend on no value of what they read.
_SHAPE_ONLY = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")


def nodes_between(first: Graph, last: Graph, nodes: Sequence[Graph]) -> list[Graph]:
    """Return the nodes of a graph that lie on a path from the first to the last, in their order."""
    behind = {first}
    for node in nodes:
        if node.type not in _SHAPE_ONLY and any(tensor.op in behind for tensor in node.inputs):
            behind.add(node)
    before = {last}
    for node in reversed(nodes):
        if node in before:
            before.update(tensor.op for tensor in node.inputs)
    return [node for node in nodes if node in behind and node in before]


def bottlenecks(nodes: Sequence[Graph]) -> set[Graph]:
    """Return the nodes that every path passes through."""
    place = {node: i for i, node in enumerate(nodes)}
    reach = 0
    kept = set()
    for i, node in enumerate(nodes):
        if reach <= i:
            kept.add(node)
        consumers = [place.get(consumer, 0) for output in node.outputs for consumer in output.consumers()]
        reach = max([reach, *consumers])
    return kept
