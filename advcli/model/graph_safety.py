"""Look for operations in a SavedModel that reach beyond the model: files, Python code, other machines.

TensorFlow runs the graph of a SavedModel as it stands, parts of it already while it is loaded.
"""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from advcli.backend import Graph, saved_model_proto, tf
from advcli.errors import AdvcliError

# Operations with a side effect that stays inside the model: variables, tables, random numbers, control flow.
_HARMLESS = re.compile(
    r"VarHandleOp|VarIsInitializedOp|(Read|Assign(Add|Sub)?)VariableOp|Variable(V2|Shape)?|DisableCopyOnRead"
    r"|Resource(Gather|Scatter|Apply|SparseApply|StridedSlice)\w*|DestroyResourceOp|Mutex(V2|Lock)|ConsumeMutexLock"
    r"|StatefulPartitionedCall|If|While|Case|Assert|CheckNumerics(V2)?|GuaranteeConst|Empty|Print"
    r"|(Anonymous)?(Mutable)?(Dense)?HashTable\w*|LookupTable\w+|InitializeTableV2"
    r"|Random(Crop|Gamma|Poisson|PoissonV2|Shuffle|StandardNormal|Uniform|UniformInt)|(Parameterized)?TruncatedNormal"
    r"|Stateful(Random|Standard|Truncated|Uniform)\w*|Rng(ReadAndSkip|Skip)|StatelessRandomGetAlg|Multinomial"
    r"|NonDeterministicInts|SampleDistortedBoundingBox(V2)?|TensorArray\w*|Stack(Close|Pop|Push)?(V2)?"
)
# Operations that TensorFlow registers as free of side effects, but that read files or run code that is data.
_OUTSIDE = re.compile(
    r"ReadFile|MatchingFiles|ImmutableConst|InitializeTableFromTextFile|PyFuncStateless|Reader\w+|Debug\w+|\w*Dataset\w*"
)
# Of all that reach beyond: those that read or write files or run Python, which no model needs to classify an image.
_NEVER = re.compile(
    r"\w*(File|PyFunc|Reader|Save|Restore|Checkpoint|Summary|Print|Debug|ImmutableConst|Rpc|RemoteCall"
    r"|Record|TextLine|CSV|Sql|LMDB|Snapshot|CacheDataset|DataService)\w*"
)
# The functions that save and restore a model's variables have these; nothing calls them but a checkpoint.
_SAVER = ("SaveV2", "RestoreV2", "MergeV2Checkpoints")


def check(folder: Path) -> None:
    """Refuse a SavedModel whose graph reaches beyond the model.

    Raises:
        AdvcliError: the folder contains no readable SavedModel, or one with such operations.
    """
    found: dict[str, None] = {}
    for graph in saved_model_proto(folder).meta_graphs:
        found.update(dict.fromkeys(_reaching(graph)))
    if found:
        message = f"SavedModel '{folder}' contains operations with effects outside the model: {', '.join(found)}"
        worst = next(filter(_NEVER.fullmatch, found), None)
        if worst:
            raise AdvcliError(message, f"'{worst}' reads or writes files, or runs Python: do not load it")
        raise AdvcliError(message, "if you trust it, give --unsafe-load")


def _reaching(graph: Graph) -> Iterator[str]:
    """Yield the types of the operations in one graph that read or write files, run code or use the network."""
    library = graph.graph_def.library
    bodies = {function.signature.name: function.node_def for function in library.function}
    for nodes in (graph.graph_def.node, *bodies.values()):
        yield from (node.op for node in nodes if node.op not in bodies and not _is_harmless(node.op))
    called = set(graph.object_graph_def.concrete_functions)
    called.update(gradient.gradient_func for gradient in library.gradient)
    called.update(gradient.gradient_func for gradient in library.registered_gradients)
    kept = graph.HasField("object_graph_def")
    # A file of TensorFlow 1 has no objects: its graph is used as it stands, from its outputs back.
    nodes = [] if kept else _before(graph.graph_def.node, _used(graph))
    restoring = [] if kept else _before(graph.graph_def.node, [graph.saver_def.restore_op_name])
    called.update(_functions_of([*nodes, *restoring]))
    yield from (node.op for node in nodes if node.op in _SAVER)
    yield from (node.op for node in restoring if node.op in _SAVER and node.op != "RestoreV2")
    for name in _reachable(called, bodies):
        yield from (node.op for node in bodies[name] if node.op in _SAVER)


def _is_harmless(kind: str) -> bool:
    if kind in _SAVER or _HARMLESS.fullmatch(kind):
        return True
    if _OUTSIDE.fullmatch(kind):
        return False
    registered = getattr(tf.raw_ops, kind, None)
    # TensorFlow refuses an operation that it does not know; those without a Python name are its own.
    return registered is None or not tf.Graph().op_def_for_type(kind).is_stateful


def _reachable(names: Iterable[str], bodies: dict[str, Graph]) -> set[str]:
    """Return the functions that these call, and themselves."""
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name in bodies and name not in seen:
            seen.add(name)
            waiting += _functions_of(bodies[name])
    return seen


def _functions_of(nodes: Iterable[Graph]) -> Iterator[str]:
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            yield value.func.name
            yield from (function.name for function in value.list.func)


def _used(graph: Graph) -> Iterator[str]:
    """Yield the names of the tensors that a loaded graph of TensorFlow 1 computes."""
    for signature in graph.signature_def.values():
        yield from (output.name for output in signature.outputs.values())
    for key in ("saved_model_main_op", "legacy_init_op"):
        yield from graph.collection_def[key].node_list.value


def _before(nodes: Iterable[Graph], tensors: Iterable[str]) -> list[Graph]:
    """Return the nodes that tensors are computed from."""
    named = {node.name: node for node in nodes}
    waiting, found = list(tensors), {}
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in named and name not in found:
            found[name] = named[name]
            waiting += named[name].input
    return list(found.values())
