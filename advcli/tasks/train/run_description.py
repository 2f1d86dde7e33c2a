"""``run.json``: how a run was made, and whether what it was made from is still the same."""

import json
import logging
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from advcli import __version__
from advcli.errors import AdvcliError, UsageError
from advcli.files.atomic import whole_file
from advcli.files.bounded import parse_json, read_text
from advcli.files.wrong_kind import refuse_other_kind
from advcli.records import Temperature
from advcli.records.base import Json
from advcli.records.read_back import read_back
from advcli.tasks.train.recipe import Recipe

log = logging.getLogger(__name__)

# The options of a recipe that name files.
_PATHS = ("data", "model", "labels", "weights", "against")


@dataclass(frozen=True)
class DescriptionFile:
    """The ``run.json`` of a run.

    Args:
        run: the folder of the run.
    """

    run: Path

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.run / "run.json"

    def write(
        self, recipe: Mapping[str, Json], resolved: Mapping[str, Json], calibration: Temperature | None = None
    ) -> None:
        """Write ``run.json``: every option, its resolved value, the versions, and the temperature of the model."""
        packages = ("tensorflow", "keras", "numpy", "neural-structured-learning")
        versions = {"advcli": __version__, "python": platform.python_version()}
        versions |= {package: version(package) for package in packages}
        content = {"recipe": recipe, "resolved": resolved, "versions": versions, "relative": self._relative(recipe)}
        if calibration is not None:
            content["calibration"] = asdict(calibration)
        with whole_file(self.path) as file:
            file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())

    def read_recipe(self) -> dict[str, Json]:
        """Read the options of an earlier run.

        Raises:
            UsageError: there is no run to resume.
        """
        description = self._read()
        if "average" in description.resolved:
            raise UsageError(
                f"'{self.run}' is an average of runs: there is nothing to resume", "start from it with --model"
            )
        return description.recipe

    def _relative(self, recipe: Mapping[str, Json]) -> dict[str, str]:
        """Return the paths of a recipe relative to the run's folder: a run and its data may move together."""
        named = {name: str(recipe[name]) for name in _PATHS if recipe.get(name)}
        there = {name: Path(value).expanduser() for name, value in named.items()}
        return {
            name: os.path.relpath(path.absolute(), self.run.absolute()) for name, path in there.items() if path.exists()
        }

    def with_paths_found(self, recipe: Recipe) -> Recipe:
        """Return a recipe whose files that are not where they were are those at the same place beside the run."""
        relative = self._read().relative
        found = {}
        for name in _PATHS:
            value = getattr(recipe, name)
            beside = self.run / relative[name] if name in relative else None
            if value and beside is not None and not Path(value).expanduser().exists() and beside.exists():
                found[name] = type(value)(beside)
                log.info("'%s' does not exist: '%s' beside the run is used", value, beside)
        return replace(recipe, **found)

    def refuse_other_data(self, resolved: Mapping[str, Json]) -> None:
        """Refuse to resume with images other than those of the earlier epochs.

        Raises:
            AdvcliError: they have changed.
        """
        source = f"'{self.path}'"
        before, after = (
            read_back(_Resolved, content, source, within="resolved") for content in (self._read().resolved, resolved)
        )
        for part in ("train", "validation"):
            was, now = getattr(before, part), getattr(after, part)
            if was != now:
                raise AdvcliError(
                    f"the {part} images of '{self.run}' have changed: {was.images} with fingerprint "
                    f"{was.fingerprint} before, {now.images} with {now.fingerprint} now",
                    "restore the data, give its new place with --data, or train again with --overwrite",
                )

    def _read(self) -> "_Description":
        if not self.run.is_dir():
            refuse_other_kind(self.run, (), "the folder of a run", "--resume names the folder of a run")
        try:
            content = parse_json(read_text(self.path))
            return read_back(_Description, content, f"'{self.path}'")
        except (AdvcliError, ValueError) as error:
            reason = error.message if isinstance(error, AdvcliError) else f"'{self.path}': {error}"
            raise UsageError(
                f"cannot resume '{self.run}': no readable run.json: {reason}", "--resume names the folder of a run"
            ) from error


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
