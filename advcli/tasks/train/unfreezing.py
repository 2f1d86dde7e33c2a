"""Unfreezing: first the new head learns, then one block after another, from the highest down."""

from collections.abc import Sequence

from advcli.backend import KerasLayer, KerasModel
from advcli.schedules import since_best

HOW = ("plateau", "all", "head")

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

    Args:
        model: a functional Keras model whose last layer with weights is the head.
        how: ``all`` at once, the ``head`` only, or on a ``plateau`` one part more.
        count: how many stages ``plateau`` has, that of the head included.
    """

    def __init__(self, model: KerasModel, how: str, count: int) -> None:
        self.model = model
        blocks = _blocks(model)
        if how == "all":
            self._parts = [[layer for block in blocks for layer in block]]
        elif how == "head":
            self._parts = [blocks[-1]]
        else:
            body, head = blocks[:-1], blocks[-1]
            self._parts = [head, *_shares(body, min(count - 1, len(body)))]

    def __len__(self) -> int:
        return len(self._parts)

    def enter(self, stage: int) -> None:
        """Unfreeze the parts of this stage and those before it, and freeze the others.

        BatchNorm of a part that does not learn stays in inference mode.
        """
        learning = {id(layer) for part in self._parts[: stage + 1] for layer in part}
        for layer in self.model.layers:
            layer.trainable = id(layer) in learning


def _blocks(model: KerasModel) -> list[list[KerasLayer]]:
    """Split the network into blocks at the layers whose output is the only tensor used later, from input to head."""
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
    return _joined([*blocks, block] if block else blocks)


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
