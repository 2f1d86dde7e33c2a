"""The outputs of a model's layers, and which of them are maps of the image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from advcli.backend import KerasLayer, Tensor, tf
from advcli.model.classifier import Classifier
from advcli.model.graph_paths import bottlenecks, nodes_between
from advcli.model.introspection import Call, operations, recorded
from advcli.model.spatial_axes import change, is_spatial, moved_images
from advcli.model.token_grid import TokenGrid, possible_grids, proven_grid

# Share of a gradient that may differ from the sum of its parts.
_ROUNDING = 1e-3
# Bottlenecks at the end of a transformer, of which its last block has up to four, behind which normalisations are
# examined: each takes a tenth of a second.
_LATE = 6


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


def verified_maps(classifier: Classifier) -> list[FeatureMap]:
    """Trace a model, and verify the output of each call between its input and its output on moved images."""
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
