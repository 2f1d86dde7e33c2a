"""Unfreezing: first the new head learns, then one block after another, from the highest down."""

import contextlib
from collections.abc import Callable, Iterator, Sequence

from advcli.backend import KerasLayer, KerasModel, keras
from advcli.model.introspection import called, graph_of
from advcli.schedules import since_best

# A smaller relative decrease of the loss does not count.
_THRESHOLD = 0.02


def stage_after(losses: Sequence[float], stages: int, patience: int, longest: int) -> int:
    """Compute the next stage, from 0, from the history alone.

    Args:
        losses: the training losses of these epochs.
        stages: how many stages there are.
        patience: a stage ends after this many epochs without a clear decrease of the loss.
        longest: the longest stage in epochs, so that short runs reach the last stage.
    """
    stage, start = 0, 0
    for end in range(1, len(losses) + 1):
        plateau = since_best(losses[start:end], _THRESHOLD) >= patience
        if stage < stages - 1 and (plateau or end - start >= longest):
            stage, start = stage + 1, end
    return stage


class Stages:
    """The parts of a network in the order in which they begin to learn.

    A BatchNorm layer of a user's model that was saved frozen stays frozen.

    Args:
        model: a Keras model whose last layer with weights is the head.
        how: ``all`` at once, the ``head`` only, or on a ``plateau`` one part more.
        count: how many stages ``plateau`` has, that of the head included.
        run: calls the model on an image, to find the order of the layers of a subclassed model.
        normalization_learns: whether scale and shift of BatchNorm layers learn.

    Attributes:
        weights: all weights that learn in any stage, or would if more than the head did.
    """

    def __init__(
        self,
        model: KerasModel,
        how: str,
        count: int,
        run: Callable[[], object] = lambda: None,
        normalization_learns: bool = True,
    ) -> None:
        self.model = model
        self._given = [(layer, layer.trainable) for layer in model._flatten_layers()]
        self._frozen = [
            layer
            for layer, learns in self._given
            if isinstance(layer, keras.layers.BatchNormalization) and not (learns and normalization_learns)
        ]
        blocks = _joined(_blocks(model, run))
        _set_trainable(model, True)
        self._own = _weights_outside(model, blocks)
        for layer in self._frozen:
            layer.trainable = False
        self.weights = list(model.trainable_variables)
        if how == "all":
            self._parts = [[layer for block in blocks for layer in block]]
        elif how == "head":
            self._parts = [blocks[-1]]
        else:
            body, head = blocks[:-1], blocks[-1]
            self._parts = [head, *_shares(body, min(count - 1, len(body)))]
        self._whole = how != "head" or len(blocks) == 1
        self._units = [layer for block in blocks for layer in block]

    def __len__(self) -> int:
        return len(self._parts)

    def enter(self, stage: int) -> None:
        """Unfreeze the parts of this stage and those before it, and freeze the others.

        BatchNorm of a part that does not learn stays in inference mode.
        """
        learning = {id(layer) for part in self._parts[: stage + 1] for layer in part}
        # A frozen model hides the weights of all its layers.
        _set_trainable(self.model, True)
        for layer in self._units:
            if isinstance(layer, keras.Layer):
                _set_trainable(layer, id(layer) in learning)
        for layer in self._frozen:
            layer.trainable = False
        for weight in self._own:
            weight.trainable = self._whole and stage == len(self) - 1

    @contextlib.contextmanager
    def as_given(self) -> Iterator[None]:
        """Give every layer in this block the ``trainable`` attribute that it had at first."""
        now = [(layer, layer.trainable) for layer, _ in self._given]
        weights = [(weight, weight.trainable) for weight in self.model.variables]
        for layer, learns in self._given:
            layer.trainable = learns
        try:
            yield
        finally:
            for layer, learns in now:
                layer.trainable = learns
            for weight, learns in weights:
                weight.trainable = learns


def _set_trainable(layer: KerasLayer, learns: bool) -> None:
    """Freeze or unfreeze a layer with all that are nested in it."""
    for each in layer._flatten_layers():
        # Keras ignores a value that the layer has already, and then does not pass it on to the layers inside.
        each.trainable = not learns
        each.trainable = learns


def _blocks(model: KerasModel, run: Callable[[], object]) -> list[list[KerasLayer]]:
    """Split a network into blocks that come one after another, from input to head; nested networks are opened."""
    model = graph_of(model)
    blocks = _blocks_of_graph(model) if isinstance(model, keras.Function) else _blocks_called(model, run)
    return [part for block in blocks for part in _opened(block, run)]


def _opened(block: list[KerasLayer], run: Callable[[], object]) -> list[list[KerasLayer]]:
    """Split a block at the blocks of the only network in it, if nothing else in it has a kernel."""
    inner = [layer for layer in block if isinstance(layer, keras.Model)]
    if len(inner) != 1 or _has_kernel([layer for layer in block if layer is not inner[0]]):
        return [block]
    at = block.index(inner[0])
    parts = _blocks(inner[0], run)
    return [block[:at], *parts, block[at + 1 :]] if parts else [block]


def _blocks_called(model: KerasModel, run: Callable[[], object]) -> list[list[KerasLayer]]:
    """Return each layer of a model with its own Python code as a block, in the order of the last calls."""
    layers = list(model._flatten_layers(include_self=False, recursive=False))
    with called(layers) as order:
        run()
    last = {id(layer): i for i, layer in enumerate(order)}
    # What is not called does not learn, and may stand anywhere.
    return [[layer] for layer in sorted(layers, key=lambda layer: last.get(id(layer), -1))]


def _weights_outside(model: KerasModel, blocks: list[list[KerasLayer]]) -> list[KerasLayer]:
    """Return the weights that are no layer's but the model's own, such as a class token."""
    inside = {id(weight) for block in blocks for layer in block for weight in getattr(layer, "variables", ())}
    return [weight for weight in model.variables if id(weight) not in inside and weight.trainable]


def _blocks_of_graph(model: KerasModel) -> list[list[KerasLayer]]:
    """Split a functional network at the layers whose output is the only tensor used later, from input to head."""
    order = [node.operation for depth in sorted(model._nodes_by_depth, reverse=True)
             for node in model._nodes_by_depth[depth]]  # fmt: skip
    position = {id(layer): i for i, layer in enumerate(order)}
    needed_until = list(range(len(order)))
    for level in model._nodes_by_depth.values():
        for node in level:
            for tensor in node.input_tensors:
                maker = position[id(tensor._keras_history.operation)]
                needed_until[maker] = max(needed_until[maker], position[id(node.operation)])
    blocks: list[list[KerasLayer]] = []
    block: list[KerasLayer] = []
    open_until = 0
    for i, layer in enumerate(order):
        block.append(layer)
        # No earlier output is used after this layer: only its own.
        if open_until <= i:
            blocks.append(block)
            block = []
        open_until = max(open_until, needed_until[i])
    return [*blocks, block] if block else blocks


def _joined(blocks: list[list[KerasLayer]]) -> list[list[KerasLayer]]:
    """Join blocks without a kernel, such as BatchNorm or an activation, to the block before them."""
    joined: list[list[KerasLayer]] = []
    for block in blocks:
        if joined and not (_has_kernel(block) and _has_kernel(joined[-1])):
            joined[-1] += block
        else:
            joined.append(list(block))
    return joined


def _has_kernel(block: list[KerasLayer]) -> bool:
    return any(len(weight.shape) > 1 for layer in block for weight in getattr(layer, "weights", ()))


def _shares(blocks: list[list[KerasLayer]], count: int) -> list[list[KerasLayer]]:
    """Split the blocks below the head evenly, from the top down."""
    shares = []
    for share in range(count):
        end = len(blocks) - share * len(blocks) // count
        start = len(blocks) - (share + 1) * len(blocks) // count
        shares.append([layer for block in blocks[start:end] for layer in block])
    return shares
