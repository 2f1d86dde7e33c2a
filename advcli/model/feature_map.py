"""Choice of the feature map for class activation maps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from advcli import registry
from advcli.backend import KerasLayer, Tensor, keras, tf
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.model.classifier import Classifier
from advcli.model.graph_paths import bottlenecks, nodes_between
from advcli.model.introspection import Call, operations, recorded
from advcli.model.saved_model import hides_layers
from advcli.model.spatial_axes import change, is_spatial, moved_images
from advcli.model.token_grid import TokenGrid, possible_grids, proven_grid

# Networks for 224 pixels end in 7 x 7 cells: with a minimum of 8 a 14 x 14 map in the middle would be chosen.
# A map below 4 x 4 cells has too little resolution (MobileNetV2 at 64 pixels ends in 2 x 2).
_FINE_ENOUGH = (7, 4)
_STEM = 10
# Layers that only pad, crop or pool the map of the layer before.
_NO_STAGE = ("Pad", "Crop", "Pool", "Dropout", "Reshape", "UpSampling")
# Share of a gradient that may differ from the sum of its parts.
_ROUNDING = 1e-3
# Bottlenecks at the end of a transformer, of which its last block has up to four, behind which normalisations are
# examined: each takes a tenth of a second.
_LATE = 6
_KEY = "feature maps"


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
        only_way: every path from the input to the output passes through the layer, or every path of the patch tokens.
        spatial: the two middle axes, or those of the token grid, were verified to be rows and columns of the image.
        grid: where the patches are among the tokens, if the output is tokens (N, T, K).
        reaches: the scores depend on the cells; those of a transformer that reads the class token do not depend on the
            other tokens of the last block.
        reason: why the layer was chosen.
    """

    call: Call
    only_way: bool
    spatial: bool
    grid: TokenGrid | None = None
    reaches: bool = True
    reason: str = ""

    @property
    def size(self) -> tuple[int, int]:
        """Return rows and columns; (0, 0) if the output is not a feature map."""
        return self.call.size if self.grid is None else (self.grid.rows, self.grid.columns)

    @property
    def shown(self) -> ShownLayer:
        """Return the description of the layer for records."""
        channels = int(self.call.output.shape[-1])
        return ShownLayer(self.call.layer.name, *self.size, channels, self.reason, self.only_way)

    def cells(self, output: Tensor) -> Tensor:
        """Return the cells of the layer's output, or of the gradient by it: -> (N, h, w, K)."""
        return output if self.grid is None else self.grid.patches(output)


def feature_map(classifier: Classifier, name: str = "") -> FeatureMap:
    """Choose the layer for class activation maps: the given one, or the deepest suitable one.

    Candidates are the layers that every path from the input to the output passes through, without the first tenth.
    The deepest with a map of at least 7 x 7 cells, or else 4 x 4, determines the map size; of the candidates with this
    size, the last activation is chosen, if there is one. This excludes shortcuts, branches and a convolution in the
    place of the last dense layer. Of a transformer's token layers, the last whose patches reach the scores is chosen.
    A map is an output that was verified to move as the image moves.

    Raises:
        UsageError: there is no such layer, its output is not a feature map, or its patches do not reach the scores.
        AdvcliError: the model has no feature map of 4 x 4 cells or more.
    """
    found = _found(classifier)
    if name:
        return _named(classifier, found, name)
    # The first layers detect no objects yet: the only bottlenecks of NASNet are its stem and its end.
    later = [one for one in found[len(found) // _STEM :] if one.only_way and one.spatial and one.reaches]
    # Preprocessing keeps the one to three channels of the image; the first convolution has more.
    maps = [one for one in later if one.call.output.shape[-1] > 3 and not _only_moves(one.call.layer)]
    for least in _FINE_ENOUGH:
        fine = [one for one in maps if min(one.size) >= least]
        if fine and fine[-1].grid is not None:
            reason = f"the last layer whose patch tokens reach the scores, of at least {least} x {least} patches"
            return replace(fine[-1], reason=reason)
        if fine:
            stage = [one for one in fine if one.size == fine[-1].size]
            activations = [one for one in stage if _is_activation(one.call)]
            kind = "activation" if activations else "layer"
            reason = f"the last {kind} whose map has at least {least} x {least} cells"
            return replace((activations or stage)[-1], reason=reason)
    if hides_layers(operations(classifier.model)):
        message = f"'{classifier.name}' is or contains a SavedModel, whose layers are not accessible"
        raise AdvcliError(message, f"give the model as a .keras file; {_methods_without_map()}")
    hint = _methods_without_map() + ("; or name a layer, see --list-layers" if maps else "")
    raise AdvcliError(f"'{classifier.name}' has no feature map of 4 x 4 cells or more to show", hint)


def listed(classifier: Classifier) -> list[ShownLayer]:
    """List the layers whose output is a map of 2 x 2 cells or more, in the order in which they are computed.

    Token layers whose patches do not reach the scores are left out.
    """
    maps = {one.call.layer.name: one.shown for one in _found(classifier) if one.spatial and one.reaches}
    return list(maps.values())


def token_grid(classifier: Classifier, tokens: int | None) -> TokenGrid | None:
    """Return where the patches are among this number of tokens; None if it was verified of no layer."""
    grids = (one.grid for one in _found(classifier) if one.spatial and one.grid is not None)
    return next((grid for grid in grids if grid.tokens == tokens), None)


def share_feature_maps(source: Classifier, target: Classifier) -> None:
    """Share the feature maps found for a classifier with another one of the same architecture."""
    target.once(_KEY, lambda: _found(source))


def _named(classifier: Classifier, found: Sequence[FeatureMap], name: str) -> FeatureMap:
    named = [one for one in found if one.call.layer.name == name]
    if not named:
        known = [one.call.layer.name for one in found if one.spatial]
        raise UsageError(f"'{classifier.name}' has no layer '{name}'", nearest(name, known))
    last = named[-1]
    if min(last.size) < 2:
        raise UsageError(
            f"the output of layer '{name}' is not a feature map of 2 x 2 cells or more", "see --list-layers"
        )
    if not last.spatial:
        shape = " x ".join(map(str, last.call.output.shape[1:]))
        message = f"the output of layer '{name}' ({shape}) is not a feature map: its axes do not follow the image"
        raise UsageError(message, "see --list-layers")
    if not last.reaches:
        message = f"the scores do not depend on the patch tokens of layer '{name}', only on its class token"
        raise UsageError(message, "name an earlier layer, see --list-layers")
    return replace(last, reason="requested")


def _methods_without_map() -> str:
    explainers = {name: registry.component("explainers", name) for name in registry.names("explainers")}
    needs = {name for name, one in explainers.items() if one.needs_attention}
    names = [name for name in explainers if name not in needs and "layer" not in registry.options("explainers", name)]
    return f"these methods need none: {', '.join(f'--method {name}' for name in names)}"


def _found(classifier: Classifier) -> list[FeatureMap]:
    return classifier.once(_KEY, lambda: _traced(classifier))


def _traced(classifier: Classifier) -> list[FeatureMap]:
    """Trace a model; return the calls between its input and its output, with their properties.

    The properties are those of FeatureMap.
    """
    model, size = classifier.model, classifier.image_size
    images = tf.constant(moved_images(size, classifier.channels))
    with recorded(operations(model)) as calls:

        def measure(pixels: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor], list[tuple[Tensor, Tensor]]]:
            outputs = model(classifier.to_input(pixels), training=False)
            found = _inside(calls, pixels.graph)
            maps = [change(call.output) for call in found if _may_be_map(call, len(images))]
            tokens = _with_grids(found, images)
            moved = [change(grid.patches(call.output)) for call, grid in tokens]
            first, last = pixels.op, tf.nest.flatten(outputs)[0].op
            passed = bottlenecks(nodes_between(first, last, pixels.graph.get_operations()))
            return outputs, maps, moved, _gradients(classifier.head.logits(outputs), tokens, passed) if tokens else []

        signature = [tf.TensorSpec(images.shape, tf.float32)]
        function = tf.function(measure, input_signature=signature, autograph=False).get_concrete_function()
    graph = function.graph
    _, changes, moved, gradients = function(images)
    found = _inside(calls, graph)
    maps = [call for call in found if _may_be_map(call, len(images))]
    spatial = {id(call) for call, each in zip(maps, changes, strict=True) if is_spatial(each.numpy(), size)}
    grids = _proven(_with_grids(found, images), [each.numpy() for each in moved], gradients, size)
    between = nodes_between(graph.inputs[0].op, graph.outputs[0].op, graph.get_operations())
    passed = bottlenecks(between)
    known = set(between)
    verified = [grids.get(id(call)) or FeatureMap(call, False, id(call) in spatial) for call in found]
    counts = {one.grid.tokens for one in verified if one.grid is not None and one.spatial}
    return [
        replace(
            one,
            only_way=one.only_way or one.call.output.op in passed,
            spatial=one.spatial and not _is_token_heads(one, counts, size),
        )
        for one in verified
        if one.call.output.op in known
    ]


def _is_token_heads(one: FeatureMap, counts: set[int], size: tuple[int, int]) -> bool:
    """Return whether an output is (N, T, heads, K): as high as there are tokens, and not of the image's shape."""
    rows, columns = one.size
    return one.grid is None and rows in counts and rows * size[1] != columns * size[0]


def _with_grids(calls: Sequence[Call], images: Tensor) -> list[tuple[Call, TokenGrid]]:
    """Pair each call whose output may be tokens (N, T, K) with each of the grids they may have."""
    count, *size, _ = images.shape
    tokens = [call for call in calls if len(call.output.shape) == 3 and call.output.dtype.is_floating]
    return [
        (call, grid)
        for call in tokens
        if call.output.shape[0] == count and call.output.shape[2] is not None
        for grid in possible_grids(call.output.shape[1], (size[0], size[1]))
    ]


def _gradients(
    logits: Tensor, tokens: Sequence[tuple[Call, TokenGrid]], passed: set[KerasLayer]
) -> list[tuple[Tensor, Tensor]]:
    """Examine the gradient of the logits by the patches of token layers, in a traced function.

    A normalisation before the last attention is not the only way of the class token, but may be that of the patches:
    then the gradient by the patches of an earlier layer is the same if it passes only through the normalisation.

    Args:
        logits: (N, K).
        tokens: the layers in order, with a grid each.
        passed: the nodes that every path passes through.

    Returns:
        For each layer the greatest gradient, and the share of the patches' gradient that does not pass through it.
    """
    # The sum of all logits may be constant.
    weights = np.random.default_rng(0).standard_normal(logits.shape[-1])
    score = tf.reduce_sum(logits * tf.cast(weights, logits.dtype))
    outputs = [call.output for call, _ in tokens]
    zero = tf.UnconnectedGradients.ZERO
    slopes = [tf.convert_to_tensor(each) for each in tf.gradients(score, outputs, unconnected_gradients=zero)]

    def greatest(slope: Tensor, grid: TokenGrid) -> Tensor:
        return tf.reduce_max(tf.abs(tf.cast(grid.patches(slope), tf.float32)))

    ends = list(dict.fromkeys(call.output.op for call, _ in tokens if call.output.op in passed))
    late = set(ends[-_LATE:])
    before: dict[TokenGrid, int] = {}
    past: dict[int, Tensor] = {}
    found = []
    for i, (call, grid) in enumerate(tokens):
        missed = tf.constant(1.0)
        if call.output.op in passed:
            before[grid], missed = i, tf.constant(0.0)
        elif grid.class_token is not None and grid in before and outputs[before[grid]].op in late:
            start = before[grid]
            # The grids that differ in the place of the class token share one gradient.
            if id(call) not in past:
                (through,) = tf.gradients(outputs[i], outputs[start], grad_ys=slopes[i], unconnected_gradients=zero)
                past[id(call)] = slopes[start] - through
            missed = tf.math.divide_no_nan(greatest(past[id(call)], grid), greatest(slopes[start], grid))
        found.append((greatest(slopes[i], grid), missed))
    return found


def _proven(
    tokens: Sequence[tuple[Call, TokenGrid]],
    changes: Sequence[np.ndarray],
    gradients: Sequence[tuple[Tensor, Tensor]],
    size: tuple[int, int],
) -> dict[int, FeatureMap]:
    """Choose one grid for all layers with the same number of tokens: -> by the identity of the call."""
    found = {}
    for count in {grid.tokens for _, grid in tokens}:
        moved: dict[TokenGrid, list[np.ndarray]] = {}
        for (_, grid), each in zip(tokens, changes, strict=True):
            if grid.tokens == count:
                moved.setdefault(grid, []).append(each)
        proven = proven_grid(moved, size)
        for (call, grid), each, (slope, missed) in zip(tokens, changes, gradients, strict=True):
            if grid == proven:
                only_way = float(missed) <= _ROUNDING
                found[id(call)] = FeatureMap(call, only_way, is_spatial(each, size), grid, bool(slope != 0))
    return found


def _inside(calls: Sequence[Call], graph: KerasLayer) -> list[Call]:
    """Remove calls whose output is a constant, or in another graph, inside a TensorFlow function."""
    return [call for call in calls if getattr(call.output, "graph", None) is graph]


def _may_be_map(call: Call, count: int) -> bool:
    shape = call.output.shape
    return min(call.size) >= 2 and shape[0] == count and shape[3] is not None and call.output.dtype.is_floating


def _only_moves(layer: KerasLayer) -> bool:
    return any(word in type(layer).__name__ for word in _NO_STAGE)


def _is_activation(call: Call) -> bool:
    function = getattr(call.layer, "activation", keras.activations.linear)
    kind = type(call.layer).__name__.lower()
    known = {name.replace("_", "") for name in dir(keras.activations)} | {"prelu"}
    return function not in (None, keras.activations.linear) or kind in known or "Relu" in call.output.op.type
