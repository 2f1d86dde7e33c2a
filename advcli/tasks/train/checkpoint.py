"""The state of a run."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from advcli.records import Epoch


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run; everything else follows from it and the recipe.

    Args:
        history: the records of the whole epochs.
        step: how many steps of the epoch after them are done.
        loss: the sum of these steps' losses.
        right: the number of correctly predicted images in them.
        rollbacks: the number of rollbacks.
        norms: with several norms: how many images each norm has attacked since the run began, and how many fooled.
    """

    history: tuple[Epoch, ...] = ()
    step: int = 0
    loss: float = 0.0
    right: int = 0
    rollbacks: int = 0
    norms: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    @property
    def epoch(self) -> int:
        """The number of whole epochs done."""
        return len(self.history)

    @property
    def losses(self) -> list[float]:
        """The training losses of the whole epochs."""
        return [record.loss for record in self.history]

    def advanced(self, loss: float, right: int) -> "Checkpoint":
        """Add a step: the sum of its losses, and its number of correct images."""
        return replace(self, step=self.step + 1, loss=self.loss + loss, right=self.right + right)

    def attacked(self, norm: str, images: int, fooled: int) -> "Checkpoint":
        """Count the images that a step attacked in one of several norms, and those that it fooled."""
        before, fooled_before = self.norms.get(norm, (0, 0))
        return replace(self, norms={**self.norms, norm: (before + images, fooled_before + fooled)})

    def extended(self, record: Epoch) -> "Checkpoint":
        """Add an epoch."""
        return Checkpoint((*self.history, record), rollbacks=self.rollbacks, norms=self.norms)

    def rolled_back(self) -> "Checkpoint":
        """Count one more rollback."""
        return replace(self, rollbacks=self.rollbacks + 1)

    def best(self, *columns: str, constant: float) -> int:
        """Return the first epoch with the greatest values in some columns, compared in turn; 0 before the first.

        An epoch whose clean accuracy is at most ``constant`` counts only where all are: a network that returns one
        answer for all images is robust and of no use.
        """
        clean = next(column for column in columns if column.endswith("clean"))
        useful = [record for record in self.history if (getattr(record, clean) or 0.0) > constant] or self.history
        if not useful:
            return 0
        return max(useful, key=lambda record: tuple(getattr(record, column) or 0.0 for column in columns)).epoch
