"""The feature map that a class activation map shows: which one, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from advcli import registry
from advcli.backend import Tensor, keras, tf
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.model.classifier import Classifier
from advcli.model.introspection import Call, operations, recorded
from advcli.model.spatial_axes import change, is_spatial, moved_images

# Networks made for 224 pixels end in 7 x 7 cells: with 8 they would be shown half-way, where the map is 14 x 14.
# Below 4 x 4 a map does not tell places apart (MobileNetV2 at 64 pixels ends in 2 x 2).
_FINE_ENOUGH = (7, 4)
_STEM = 10
# What only moves or thins out the map of the layer before it.
_NO_STAGE = ("Pad", "Crop", "Pool", "Dropout", "Reshape", "UpSampling")
_KEY = "feature maps"
_SHAPE_ONLY = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")


@dataclass(frozen=True)
class ShownLayer:
    """The output of a layer that relevance is computed on.

    Args:
        layer: its name.
        rows: of its map, in cells.
        columns: of its map, in cells.
        channels: of its map.
        reason: why this layer; empty if it was only listed.
        only_way: no connection leads around it: it is no shortcut, and no branch.
    """

    layer: str
    rows: int
    columns: int
    channels: int
    reason: str = ""
    only_way: bool = True


@dataclass(frozen=True)
class FeatureMap:
    """A layer's output in a model.

    Args:
        call: which call of which layer.
        only_way: every path from the input to the output passes through it.
        spatial: it was proven to move along its two middle axes as the image moves.
        reason: why it was chosen.
    """

    call: Call
    only_way: bool
    spatial: bool
    reason: str = ""

    @property
    def shown(self) -> ShownLayer:
        """What a reader needs to know of it."""
        channels = int(self.call.output.shape[-1])
        return ShownLayer(self.call.layer.name, *self.call.size, channels, self.reason, self.only_way)


def feature_map(classifier: Classifier, name: str = "") -> FeatureMap:
    """Choose the layer whose output is shown: the one named, or the deepest good one.

    That is, of the layers that every path from the input to the output passes through, the first
    tenth left out, the deepest with a map of at least 7 x 7 cells, or else 4 x 4; and of the layers
    with a map of that size the last activation, if there is one. So it is no shortcut, no branch and
    no convolution that takes the place of the last dense layer. A map is an output that is proven to
    move as the image moves.

    Raises:
        UsageError: there is no such layer, or its output is no map.
        AdvcliError: the model has no feature map that is fine enough.
    """
    found = _found(classifier)
    if name:
        return _named(classifier, found, name)
    # A fine map is of no use where nothing has been recognised yet: NASNet has no bottleneck but its stem and its end.
    later = [one.call for one in found[len(found) // _STEM :] if one.only_way and one.spatial]
    # Preprocessing keeps an image's one to three channels, the first convolution makes more of them.
    maps = [call for call in later if call.output.shape[-1] > 3 and not _only_moves(call.layer)]
    for least in _FINE_ENOUGH:
        fine = [call for call in maps if min(call.size) >= least]
        if fine:
            stage = [call for call in fine if call.size == fine[-1].size]
            activations = [call for call in stage if _is_activation(call)]
            kind = "activation" if activations else "layer"
            reason = f"the last {kind} whose map has at least {least} x {least} cells"
            return FeatureMap((activations or stage)[-1], True, True, reason)
    hint = _methods_without_map() + ("; or name a layer, see --list-layers" if maps else "")
    raise AdvcliError(f"'{classifier.name}' has no feature map of 4 x 4 cells or more to show", hint)


def listed(classifier: Classifier) -> list[ShownLayer]:
    """List the layers whose output is a map of 2 x 2 cells or more, in the order in which they are computed."""
    maps = {one.call.layer.name: one.shown for one in _found(classifier) if one.spatial}
    return list(maps.values())


def share_feature_maps(source: Classifier, target: Classifier) -> None:
    """Let a classifier have the feature maps of another one of the same model, whatever its weights are now."""
    target.once(_KEY, lambda: _found(source))


def _named(classifier: Classifier, found: Sequence[FeatureMap], name: str) -> FeatureMap:
    named = [one for one in found if one.call.layer.name == name]
    if not named:
        known = [one.call.layer.name for one in found if one.spatial]
        raise UsageError(f"'{classifier.name}' has no layer '{name}'", nearest(name, known))
    last = named[-1]
    if min(last.call.size) < 2:
        raise UsageError(f"the output of layer '{name}' is no map of 2 x 2 cells or more", "see --list-layers")
    if not last.spatial:
        shape = " x ".join(map(str, last.call.output.shape[1:]))
        message = f"the output of layer '{name}' ({shape}) is no map: it does not move along its axes with the image"
        raise UsageError(message, "see --list-layers")
    return FeatureMap(last.call, last.only_way, True, "asked for")


def _methods_without_map() -> str:
    names = [name for name in registry.names("explainers") if "layer" not in registry.options("explainers", name)]
    return f"these methods need none: {', '.join(f'--method {name}' for name in names)}"


def _found(classifier: Classifier) -> list[FeatureMap]:
    return classifier.once(_KEY, lambda: _traced(classifier))


def _traced(classifier: Classifier) -> list[FeatureMap]:
    """Trace a model; return the calls between its input and its output, and what is proven of each.

    That is, whether no path leads around it, and whether its output is a map.
    """
    model, edge = classifier.model, classifier.edge
    images = tf.constant(moved_images(edge, classifier.channels))
    with recorded(operations(model)) as calls:

        def measure(pixels: Tensor) -> tuple[Tensor, list[Tensor]]:
            outputs = model(classifier.to_input(pixels), training=False)
            found = _inside(calls, pixels.graph)
            return outputs, [change(call.output) for call in found if _may_be_map(call, len(images))]

        signature = [tf.TensorSpec(images.shape, tf.float32)]
        function = tf.function(measure, input_signature=signature, autograph=False).get_concrete_function()
    graph = function.graph
    _, changes = function(images)
    maps = [call for call in _inside(calls, graph) if _may_be_map(call, len(images))]
    spatial = {id(call) for call, each in zip(maps, changes, strict=True) if is_spatial(each.numpy(), edge)}
    between = _between(graph.inputs[0].op, graph.outputs[0].op, graph.get_operations())
    passed = _bottlenecks(between)
    known = set(between)
    return [
        FeatureMap(call, call.output.op in passed, id(call) in spatial)
        for call in _inside(calls, graph)
        if call.output.op in known
    ]


def _inside(calls: Sequence[Call], graph: Any) -> list[Call]:
    """Leave out what is a constant, or inside a function of TensorFlow's own and so in another graph."""
    return [call for call in calls if getattr(call.output, "graph", None) is graph]


def _may_be_map(call: Call, count: int) -> bool:
    shape = call.output.shape
    return min(call.size) >= 2 and shape[0] == count and shape[3] is not None and call.output.dtype.is_floating


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
