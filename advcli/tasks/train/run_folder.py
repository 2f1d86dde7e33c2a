"""A run folder: the models, the history and the curves, how it was made, and the checkpoints."""

import contextlib
import csv
import io
import logging
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from advcli.errors import AdvcliError, UsageError
from advcli.files.atomic import whole_file
from advcli.files.lock import lock
from advcli.files.paths import refuse_long_name, refuse_unwritable
from advcli.model.classifier import Classifier
from advcli.records import Epoch
from advcli.report.curves import draw_curves
from advcli.tasks.train.checkpoint_folder import CheckpointFolder
from advcli.tasks.train.run_description import DescriptionFile

log = logging.getLogger(__name__)

_COLUMNS = (
    "epoch",
    "stage",
    "loss",
    "train_accuracy",
    "clean",
    "robust",
    "single_step",
    "zero_gradients",
    "ema_clean",
    "ema_robust",
    "learning_rate",
    "eps",
    "guard",
    "rollbacks",
    "seconds",
)
# Only in the history of runs that balance the classes.
_BALANCE = {"class_weights": "none", "sampler": "shuffle"}
_FILES = (
    *("model.keras", "best-robust.keras", "best-clean.keras", "last.keras", "ema.keras"),
    *("history.csv", "curves.png", "run.json", "checkpoint/midway.npz", "checkpoint/state.npz"),
)


@dataclass(frozen=True)
class Run:
    """A run folder and its files."""

    folder: Path

    @property
    def name(self) -> str:
        """The name of the run's model in records."""
        return self.folder.resolve().name

    @property
    def twin(self) -> "Run":
        """The folder of the run's clean twin."""
        return Run(self.folder.with_name(f"{self.name}-twin"))

    @property
    def description(self) -> DescriptionFile:
        """The file that says how the run was made."""
        return DescriptionFile(self.folder)

    @property
    def checkpoints(self) -> CheckpointFolder:
        """The states from which the run continues."""
        return CheckpointFolder(self.folder)

    def refuse_existing(self) -> None:
        """Refuse to write over another run.

        Raises:
            UsageError: the folder holds something.
        """
        refuse_long_name(self.folder / "history.csv")
        there = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise UsageError(f"'{there}' is a file, not a folder", "--out names the run's folder")
        refuse_unwritable(self.folder)
        if self.folder.is_dir() and any(self.folder.iterdir()):
            also = f", or continue it with --resume {self.folder}" if self.checkpoints.exist else ""
            raise UsageError(f"run folder exists: '{self.folder}'", f"give --overwrite or another --out{also}")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the folder; the system releases the lock of a killed process.

        Raises:
            UsageError: another process trains here now.
            AdvcliError: nothing can be written here.
        """
        path = self.folder / "checkpoint" / "lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            opened = path.open("w")
        except OSError as error:
            raise AdvcliError(f"cannot write in '{self.folder}': {error.strerror}", "give another --out") from error
        with opened as file:
            if not lock(file):
                message = f"another process is training in '{self.folder}'"
                raise UsageError(message, "wait for it, or give another --out")
            yield

    def clear(self) -> None:
        """Remove the files of an earlier run of the same name."""
        for name in _FILES:
            (self.folder / name).unlink(missing_ok=True)
        shutil.rmtree(self.folder / "tensorboard", ignore_errors=True)
        self.remove_unfinished()

    def remove_unfinished(self) -> None:
        """Remove the files that a killed process was about to write."""
        for file in map(self.folder.joinpath, _FILES):
            for unfinished in file.parent.glob(f".{file.name}.*"):
                unfinished.unlink(missing_ok=True)

    def save_model(self, classifier: Classifier, name: str) -> None:
        """Save one of the run's models."""
        classifier.save(self.folder / f"{name}.keras")

    def choose_model(self, name: str) -> None:
        """Copy one of the models to ``model.keras``."""
        with whole_file(self.folder / "model.keras") as file:
            file.write((self.folder / f"{name}.keras").read_bytes())

    def write_history(self, history: Sequence[Epoch]) -> None:
        """Write ``history.csv`` and ``curves.png``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        used = [name for name, usual in _BALANCE.items() if any(getattr(each, name) != usual for each in history)]
        columns = (*_COLUMNS, *used)
        writer.writerow(columns)
        writer.writerows([_cell(getattr(record, column)) for column in columns] for record in history)
        self._write("history.csv", text.getvalue())
        with whole_file(self.folder / "curves.png") as file:
            draw_curves(history, self.name, file)

    def _write(self, name: str, text: str) -> None:
        with whole_file(self.folder / name) as file:
            file.write(text.encode())


def _cell(value: object) -> object:
    return "; ".join(value) if isinstance(value, tuple) else value
