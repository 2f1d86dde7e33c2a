"""Choice of the feature map for class activation maps."""

from collections.abc import Sequence
from dataclasses import dataclass

from advcli import registry
from advcli.backend import KerasLayer, Tensor, keras, tf
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.model.classifier import Classifier
from advcli.model.introspection import Call, operations, recorded
from advcli.model.saved_model import hides_layers
from advcli.model.spatial_axes import change, is_spatial, moved_images

# Networks for 224 pixels end in 7 x 7 cells: with a minimum of 8 a 14 x 14 map in the middle would be chosen.
# A map below 4 x 4 cells has too little resolution (MobileNetV2 at 64 pixels ends in 2 x 2).
_FINE_ENOUGH = (7, 4)
_STEM = 10
# Layers that only pad, crop or pool the map of the layer before.
_NO_STAGE = ("Pad", "Crop", "Pool", "Dropout", "Reshape", "UpSampling")
_KEY = "feature maps"
_SHAPE_ONLY = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")


@dataclass(frozen=True)
class ShownLayer:
    """The layer whose output the relevance is computed on.

    Args:
        layer: the name of the layer.
        rows: height of the feature map in cells.
        columns: width of the feature map in cells.
        channels: channels of the feature map.
        reason: why this layer was chosen; empty if it was only listed.
        only_way: every path from the input to the output passes through the layer.
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
        call: the call of the layer.
        only_way: every path from the input to the output passes through the layer.
        spatial: the two middle axes were verified to be rows and columns of the image.
        reason: why the layer was chosen.
    """

    call: Call
    only_way: bool
    spatial: bool
    reason: str = ""

    @property
    def shown(self) -> ShownLayer:
        """Return the description of the layer for records."""
        channels = int(self.call.output.shape[-1])
        return ShownLayer(self.call.layer.name, *self.call.size, channels, self.reason, self.only_way)


def feature_map(classifier: Classifier, name: str = "") -> FeatureMap:
    """Choose the layer for class activation maps: the given one, or the deepest suitable one.

    Candidates are the layers that every path from the input to the output passes through, without the first tenth.
    The deepest with a map of at least 7 x 7 cells, or else 4 x 4, determines the map size; of the candidates with this
    size, the last activation is chosen, if there is one. This excludes shortcuts, branches and a convolution in the
    place of the last dense layer. A map is an output that was verified to move as the image moves.

    Raises:
        UsageError: there is no such layer, or its output is not a feature map.
        AdvcliError: the model has no feature map of 4 x 4 cells or more.
    """
    found = _found(classifier)
    if name:
        return _named(classifier, found, name)
    # The first layers detect no objects yet: the only bottlenecks of NASNet are its stem and its end.
    later = [one.call for one in found[len(found) // _STEM :] if one.only_way and one.spatial]
    # Preprocessing keeps the one to three channels of the image; the first convolution has more.
    maps = [call for call in later if call.output.shape[-1] > 3 and not _only_moves(call.layer)]
    for least in _FINE_ENOUGH:
        fine = [call for call in maps if min(call.size) >= least]
        if fine:
            stage = [call for call in fine if call.size == fine[-1].size]
            activations = [call for call in stage if _is_activation(call)]
            kind = "activation" if activations else "layer"
            reason = f"the last {kind} whose map has at least {least} x {least} cells"
            return FeatureMap((activations or stage)[-1], True, True, reason)
    if hides_layers(operations(classifier.model)):
        message = f"'{classifier.name}' is or contains a SavedModel, whose layers cannot be seen from outside"
        raise AdvcliError(message, f"give the model as a .keras file; {_methods_without_map()}")
    hint = _methods_without_map() + ("; or name a layer, see --list-layers" if maps else "")
    raise AdvcliError(f"'{classifier.name}' has no feature map of 4 x 4 cells or more to show", hint)


def listed(classifier: Classifier) -> list[ShownLayer]:
    """List the layers whose output is a map of 2 x 2 cells or more, in the order in which they are computed."""
    maps = {one.call.layer.name: one.shown for one in _found(classifier) if one.spatial}
    return list(maps.values())


def share_feature_maps(source: Classifier, target: Classifier) -> None:
    """Share the feature maps found for a classifier with another one of the same architecture."""
    target.once(_KEY, lambda: _found(source))


def _named(classifier: Classifier, found: Sequence[FeatureMap], name: str) -> FeatureMap:
    named = [one for one in found if one.call.layer.name == name]
    if not named:
        known = [one.call.layer.name for one in found if one.spatial]
        raise UsageError(f"'{classifier.name}' has no layer '{name}'", nearest(name, known))
    last = named[-1]
    if min(last.call.size) < 2:
        raise UsageError(
            f"the output of layer '{name}' is not a feature map of 2 x 2 cells or more", "see --list-layers"
        )
    if not last.spatial:
        shape = " x ".join(map(str, last.call.output.shape[1:]))
        message = f"the output of layer '{name}' ({shape}) is not a feature map: its axes do not follow the image"
        raise UsageError(message, "see --list-layers")
    return FeatureMap(last.call, last.only_way, True, "asked for")


def _methods_without_map() -> str:
    names = [name for name in registry.names("explainers") if "layer" not in registry.options("explainers", name)]
    return f"these methods need none: {', '.join(f'--method {name}' for name in names)}"


def _found(classifier: Classifier) -> list[FeatureMap]:
    return classifier.once(_KEY, lambda: _traced(classifier))


def _traced(classifier: Classifier) -> list[FeatureMap]:
    """Trace a model; return the calls between its input and its output, with their properties.

    The properties are ``only_way`` and ``spatial`` of FeatureMap.
    """
    model, size = classifier.model, classifier.image_size
    images = tf.constant(moved_images(size, classifier.channels))
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
    spatial = {id(call) for call, each in zip(maps, changes, strict=True) if is_spatial(each.numpy(), size)}
    between = _between(graph.inputs[0].op, graph.outputs[0].op, graph.get_operations())
    passed = _bottlenecks(between)
    known = set(between)
    return [
        FeatureMap(call, call.output.op in passed, id(call) in spatial)
        for call in _inside(calls, graph)
        if call.output.op in known
    ]


def _inside(calls: Sequence[Call], graph: KerasLayer) -> list[Call]:
    """Remove calls whose output is a constant, or in another graph, inside a TensorFlow function."""
    return [call for call in calls if getattr(call.output, "graph", None) is graph]


def _may_be_map(call: Call, count: int) -> bool:
    shape = call.output.shape
    return min(call.size) >= 2 and shape[0] == count and shape[3] is not None and call.output.dtype.is_floating


def _between(first: KerasLayer, last: KerasLayer, nodes: Sequence[KerasLayer]) -> list[KerasLayer]:
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


def _bottlenecks(nodes: Sequence[KerasLayer]) -> set[KerasLayer]:
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


def _only_moves(layer: KerasLayer) -> bool:
    return any(word in type(layer).__name__ for word in _NO_STAGE)


def _is_activation(call: Call) -> bool:
    function = getattr(call.layer, "activation", keras.activations.linear)
    kind = type(call.layer).__name__.lower()
    known = {name.replace("_", "") for name in dir(keras.activations)} | {"prelu"}
    return function not in (None, keras.activations.linear) or kind in known or "Relu" in call.output.op.type
