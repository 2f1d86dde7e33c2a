"""A run folder: the models, the history, the curves, how it was made, and the checkpoint."""

import contextlib
import csv
import io
import json
import logging
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from advcli import __version__
from advcli.backend import Variable
from advcli.errors import AdvcliError, UsageError
from advcli.files.archives import DAMAGED
from advcli.files.atomic import whole_file
from advcli.files.bounded import parse_json, read_text
from advcli.files.lock import lock
from advcli.files.paths import refuse_long_name
from advcli.files.wrong_kind import refuse_other_kind
from advcli.model.classifier import Classifier
from advcli.records import Epoch, Temperature
from advcli.records.base import Json
from advcli.records.read_back import read_back
from advcli.report.curves import draw_curves
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.recipe import Recipe

log = logging.getLogger(__name__)

# The options of a recipe that name files.
_PATHS = ("data", "model", "labels", "weights", "against")

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

    def can_resume(self) -> bool:
        """Return whether there is a checkpoint to resume from."""
        return (self.folder / "checkpoint" / "state.npz").exists()

    def refuse_existing(self) -> None:
        """Refuse to write over another run.

        Raises:
            UsageError: the folder holds something.
        """
        refuse_long_name(self.folder / "history.csv")
        there = next(path for path in (self.folder, *self.folder.absolute().parents) if path.exists())
        if not there.is_dir():
            raise UsageError(f"'{there}' is a file, not a folder", "--out names the run's folder")
        if not os.access(there, os.W_OK):
            raise UsageError(f"nothing can be written in '{there}'", "give another --out")
        if self.folder.is_dir() and any(self.folder.iterdir()):
            also = f", or continue it with --resume {self.folder}" if self.can_resume() else ""
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

    def write_description(
        self, recipe: Mapping[str, Json], resolved: Mapping[str, Json], calibration: Temperature | None = None
    ) -> None:
        """Write ``run.json``: every option, its resolved value, the versions, and the temperature of the model."""
        packages = ("tensorflow", "keras", "numpy", "neural-structured-learning")
        versions = {"advcli": __version__, "python": platform.python_version()}
        versions |= {package: version(package) for package in packages}
        content = {"recipe": recipe, "resolved": resolved, "versions": versions, "relative": self._relative(recipe)}
        if calibration is not None:
            content["calibration"] = asdict(calibration)
        self._write("run.json", json.dumps(content, indent=2, ensure_ascii=False) + "\n")

    def read_recipe(self) -> dict[str, Json]:
        """Read the options of an earlier run.

        Raises:
            UsageError: there is no run to resume.
        """
        description = self._description()
        if "average" in description.resolved:
            raise UsageError(
                f"'{self.folder}' is an average of runs: there is nothing to resume", "start from it with --model"
            )
        return description.recipe

    def _relative(self, recipe: Mapping[str, Json]) -> dict[str, str]:
        """Return the paths of a recipe relative to the run's folder: a run and its data may move together."""
        named = {name: str(recipe[name]) for name in _PATHS if recipe.get(name)}
        there = {name: Path(value).expanduser() for name, value in named.items()}
        return {
            name: os.path.relpath(path.absolute(), self.folder.absolute())
            for name, path in there.items()
            if path.exists()
        }

    def with_paths_found(self, recipe: Recipe) -> Recipe:
        """Return a recipe whose files that are not where they were are those at the same place beside the run."""
        relative = self._description().relative
        found = {}
        for name in _PATHS:
            value = getattr(recipe, name)
            beside = self.folder / relative[name] if name in relative else None
            if value and beside is not None and not Path(value).expanduser().exists() and beside.exists():
                found[name] = type(value)(beside)
                log.info("'%s' does not exist: '%s' beside the run is used", value, beside)
        return replace(recipe, **found)

    def refuse_other_data(self, resolved: Mapping[str, Json]) -> None:
        """Refuse to resume with images other than those of the earlier epochs.

        Raises:
            AdvcliError: they have changed.
        """
        source = f"'{self.description_file}'"
        before, after = (
            read_back(_Resolved, content, source, within="resolved")
            for content in (self._description().resolved, resolved)
        )
        for part in ("train", "validation"):
            was, now = getattr(before, part), getattr(after, part)
            if was != now:
                raise AdvcliError(
                    f"the {part} images of '{self.folder}' have changed: {was.images} with fingerprint "
                    f"{was.fingerprint} before, {now.images} with {now.fingerprint} now",
                    "restore the data, give its new place with --data, or train again with --overwrite",
                )

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

    def save(self, checkpoint: Checkpoint, variables: Sequence[Variable]) -> None:
        """Write the history, and every variable of model and optimizer.

        After a whole epoch that is ``checkpoint/state.npz``, in the middle of one ``checkpoint/midway.npz``.
        """
        state = asdict(checkpoint)
        arrays: dict[str, Any] = {f"variable{i}": np.asarray(variable) for i, variable in enumerate(variables)}
        midway = self.folder / "checkpoint" / "midway.npz"
        with whole_file(midway if checkpoint.step else midway.with_name("state.npz")) as file:
            np.savez(file, state=np.array(json.dumps(state)), **arrays)
        if not checkpoint.step:
            midway.unlink(missing_ok=True)

    def restore(self, variables: Sequence[Variable], *, whole: bool = False) -> Checkpoint:
        """Restore every variable from the checkpoint.

        Args:
            variables: the variables of model and optimizer.
            whole: restore the end of an epoch, not the middle of the next.

        Raises:
            AdvcliError: there is no checkpoint, or it is of another network.
        """
        path = self.folder / "checkpoint" / "state.npz"
        if not path.exists():
            raise AdvcliError(f"no checkpoint to resume from in '{self.folder}'", "train it again with --overwrite")
        midway = path.with_name("midway.npz")
        if not whole and midway.exists():
            try:
                if _same_attempt(read_checkpoint(midway), read_checkpoint(path)):
                    return read_checkpoint(midway, variables)
            except AdvcliError as error:
                log.warning("%s: the run continues from its last whole epoch", error.message)
        return read_checkpoint(path, variables)

    @property
    def description_file(self) -> Path:
        """The file that says how the run was made."""
        return self.folder / "run.json"

    def _description(self) -> "_Description":
        if not self.folder.is_dir():
            refuse_other_kind(self.folder, (), "the folder of a run", "--resume names the folder of a run")
        try:
            content = parse_json(read_text(self.description_file))
            return read_back(_Description, content, f"'{self.description_file}'")
        except (AdvcliError, ValueError) as error:
            reason = error.message if isinstance(error, AdvcliError) else f"'{self.description_file}': {error}"
            raise UsageError(
                f"cannot resume '{self.folder}': no readable run.json: {reason}", "--resume names the folder of a run"
            ) from error

    def _write(self, name: str, text: str) -> None:
        with whole_file(self.folder / name) as file:
            file.write(text.encode())


@dataclass(frozen=True)
class _Description:
    """What ``run.json`` says."""

    recipe: dict[str, Json]
    resolved: dict[str, Json]
    relative: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Part:
    """A part of the images, as ``run.json`` describes it."""

    images: int
    fingerprint: str


@dataclass(frozen=True)
class _Resolved:
    """What of ``run.json`` must not have changed when a run is resumed."""

    train: _Part
    validation: _Part


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


def _cell(value: object) -> object:
    return "; ".join(value) if isinstance(value, tuple) else value
