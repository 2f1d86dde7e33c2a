"""The states of a run on disk: at the end of its last epoch, and in the middle of the next."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advcli.backend import Variable
from advcli.errors import AdvcliError
from advcli.files.archives import DAMAGED
from advcli.files.atomic import whole_file
from advcli.files.bounded import parse_json
from advcli.records.read_back import read_back
from advcli.tasks.train.checkpoint import Checkpoint

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CheckpointFolder:
    """The checkpoints of a run.

    Args:
        run: the folder of the run.
    """

    run: Path

    @property
    def exist(self) -> bool:
        """Whether there is a checkpoint to resume from."""
        return self._state.exists()

    @property
    def _state(self) -> Path:
        return self.run / "checkpoint" / "state.npz"

    @property
    def _midway(self) -> Path:
        return self._state.with_name("midway.npz")

    def save(self, checkpoint: Checkpoint, variables: Sequence[Variable]) -> None:
        """Write the state, and every variable of model and optimizer.

        After a whole epoch that is ``checkpoint/state.npz``, in the middle of one ``checkpoint/midway.npz``.
        """
        state = asdict(checkpoint)
        arrays: dict[str, Any] = {f"variable{i}": np.asarray(variable) for i, variable in enumerate(variables)}
        with whole_file(self._midway if checkpoint.step else self._state) as file:
            np.savez(file, state=np.array(json.dumps(state)), **arrays)
        if not checkpoint.step:
            self._midway.unlink(missing_ok=True)

    def restore(self, variables: Sequence[Variable], *, whole: bool = False) -> Checkpoint:
        """Restore every variable from the checkpoint.

        Args:
            variables: the variables of model and optimizer.
            whole: restore the end of an epoch, not the middle of the next.

        Raises:
            AdvcliError: there is no checkpoint, or it is of another network.
        """
        if not self.exist:
            raise AdvcliError(f"no checkpoint to resume from in '{self.run}'", "train it again with --overwrite")
        if not whole and self._midway.exists():
            try:
                if _same_attempt(read_checkpoint(self._midway), read_checkpoint(self._state)):
                    return read_checkpoint(self._midway, variables)
            except AdvcliError as error:
                log.warning("%s: the run continues from its last whole epoch", error.message)
        return read_checkpoint(self._state, variables)


def read_checkpoint(path: Path, variables: Sequence[Variable] | None = None) -> Checkpoint:
    """Read the state of a run.

    Args:
        path: its file.
        variables: those of model and optimizer, to which the stored values are assigned; None to assign none.

    Raises:
        AdvcliError: it is damaged, or of another network.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            if variables is not None and len(stored.files) != len(variables) + 1:
                raise AdvcliError(f"'{path}' is the checkpoint of another network")
            state = parse_json(str(stored["state"]))
            for i, variable in enumerate(variables or ()):
                value = stored[f"variable{i}"]
                if value.shape != tuple(variable.shape):
                    raise AdvcliError(
                        f"'{path}' is the checkpoint of another network: its variable {i} has {value.shape}"
                    )
                variable.assign(value)
    except (*DAMAGED, LookupError, TypeError, MemoryError) as error:
        message = f"'{path}' is damaged: {str(error)[:200] or type(error).__name__}"
        raise AdvcliError(message, "train it again with --overwrite") from error
    checkpoint = read_back(Checkpoint, state, f"'{path}'", finite=False)
    numbers = [record.epoch for record in checkpoint.history]
    if numbers != list(range(1, len(numbers) + 1)) or min(checkpoint.step, checkpoint.right, checkpoint.rollbacks) < 0:
        raise AdvcliError(f"'{path}' is damaged: its numbers of epochs and steps are impossible")
    if not all(0 <= fooled <= attacked for attacked, fooled in checkpoint.norms.values()):
        raise AdvcliError(f"'{path}' is damaged: its numbers of attacked and fooled images are impossible")
    return checkpoint


def _same_attempt(one: Checkpoint, other: Checkpoint) -> bool:
    """Return whether two checkpoints are of one epoch: they follow the same epochs and as many rollbacks."""
    # As text: a loss that is not a number is not equal to itself.
    return (repr(one.history), one.rollbacks) == (repr(other.history), other.rollbacks)
