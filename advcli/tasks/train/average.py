"""``--average``: the mean of the weights of several runs of one network that is best on the validation images."""

import logging
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advcli.data.dataset import Dataset
from advcli.data.decoded import Images, decode
from advcli.datasets import open_dataset
from advcli.errors import AdvcliError, UsageError
from advcli.model.classifier import Classifier
from advcli.model.same_network import refuse_other_network
from advcli.records import Averaged, Mixed, Progress
from advcli.records.base import Fields, Json
from advcli.search.threat_defaults import read_training_radii, threat_for
from advcli.tasks.request import bytes_of
from advcli.tasks.train.average_members import Member, read_members, recorded_fingerprint
from advcli.tasks.train.calibrate import calibrate
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.mixes import Mixes
from advcli.tasks.train.recipe import Recipe, split_images
from advcli.tasks.train.request import Execution, Request, Select
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.start import Start, load_start
from advcli.tasks.train.start_choice import digest_of
from advcli.tasks.train.validate import check_average
from advcli.tasks.train.validation import Validator

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class AverageJob:
    """A validated request for an average.

    Args:
        members: the models to average.
        recipe: how the mixes are validated, and what the file of the best one says of its training.
        select: what the best mix has most of.
        dataset: the data set of the runs.
        run: the folder of the result.
        memory: how many bytes of decoded images may be held in memory.
    """

    members: tuple[Member, ...]
    recipe: Recipe
    select: Select
    dataset: Dataset
    run: Run
    memory: int | None = None

    def events(self) -> Iterator[Mixed | Averaged | Progress]:
        """Validate the mixes, and save the best."""
        with self.run.locked():
            yield from self._events()

    def _events(self) -> Iterator[Mixed | Averaged | Progress]:
        began = time.perf_counter()
        yield Progress("reading the models", 0, 0)
        start, values = self._load()
        yield Progress("reading the images", 0, 0)
        images = self._validation_images(start)
        validator = Validator(
            start.classifier.training_copy,
            images,
            self.recipe.robust_images,
            self.recipe.balls,
            self.recipe.seed,
            find_devices("one"),
        )
        names = tuple(member.name for member in self.members)
        mixes = Mixes(start.classifier.model, values, validator, self.select, {**self.common, "runs": names})
        yield from mixes.pair() if len(self.members) == 2 else mixes.soup()
        best = mixes.best()
        if max(best.weights) == 1:
            log.info("no mix is better than '%s' alone", best.runs[best.weights.index(1)])
        mixes.assign(best.weights)
        self.run.clear()
        recipe, resolved = self.recipe.to_json(), self._resolved(mixes, images)
        self.run.description.write(recipe, resolved)
        self.run.save_model(replace(start.classifier, recipe=recipe), "model")
        calibration = None
        if self.recipe.calibrate:
            yield Progress("calibrating", 0, 0)
            # Each run was divided by a temperature of its own, which does not fit the mix.
            calibration = calibrate(self.run, "model", images, unsafe=self.recipe.unsafe_load)
            if calibration is not None:
                self.run.description.write(recipe, resolved, calibration)
        yield Averaged(
            output=str(self.run.folder),
            runs=best.runs,
            weights=best.weights,
            select=self.select,
            norm=self.recipe.norm,
            eps=self.recipe.eps,
            threats=self.recipe.threats,
            clean=best.clean,
            robust=best.robust,
            validation_images=len(images),
            robust_images=min(self.recipe.robust_images, len(images)),
            calibration=calibration,
            seconds=time.perf_counter() - began,
            **self.common,
        )

    @property
    def common(self) -> Fields:
        """The fields that all records have."""
        return {"model": self.run.name, "data": self.dataset.name, "seed": self.recipe.seed}

    def _load(self) -> tuple[Start, list[list[np.ndarray]]]:
        """Read the models: the first, ready for the data, and the weights of all.

        Raises:
            UsageError: they are not of one network.
        """
        first = self.members[0]
        own = replace(self.recipe, model=str(first.path), model_sha256="", labels=None, input_range=None, edge=0)
        start = load_start(own, self.dataset, find_devices("one"))
        if start.new_head:
            raise AdvcliError(f"'{first.name}' lacks a class of '{self.dataset.name}'", "average runs of the same data")
        values = [_values(start.classifier)]
        for member in self.members[1:]:
            other = member.choice.load()
            refuse_other_network(replace(start.classifier, name=first.name), other)
            values.append(_values(other))
        return start, values

    def _validation_images(self, start: Start) -> Images:
        """Return the images that training validates on.

        Raises:
            AdvcliError: they are not those of one of the runs.
        """
        sample, _, validation = split_images(self.recipe, self.dataset)
        classifier = start.classifier
        chosen = decode(
            sample.take(validation), classifier.image_size, classifier.channels, self.recipe.skip_bad, self.memory
        )
        images, now = start.numbered(chosen), start.numbered(chosen).fingerprint()
        for member in self.members:
            before = recorded_fingerprint(member.path)
            if before not in ("", now):
                raise AdvcliError(
                    f"the validation images of '{member.name}' have changed: fingerprint {before} before, {now} now",
                    "restore the data",
                )
        return images

    def _resolved(self, mixes: Mixes, images: Images) -> dict[str, Json]:
        runs = [{"path": str(member.path), "sha256": digest_of(member.choice)} for member in self.members]
        tried = [
            {"weights": list(mix.weights), "clean": mix.clean, "robust": mix.robust} for mix in mixes.records.values()
        ]
        return {
            "average": {"runs": runs, "select": self.select, "weights": list(mixes.current), "mixes": tried},
            "validation": {"images": len(images), "fingerprint": images.fingerprint()},
        }


def _values(classifier: Classifier) -> list[np.ndarray]:
    return [np.array(variable) for variable in classifier.model.variables]


def make_average(request: Request, how: Execution, asked: Collection[str] | None = None) -> AverageJob:
    """Validate a request for an average before TensorFlow is imported.

    Args:
        request: of its options only those of the threat, ``calibrate`` and ``unsafe_load``.
        how: the runs, and how to do it.
        asked: the options that the user gave; None means those that differ from their default.

    Raises:
        UsageError: the request is invalid, the runs had other images, or the run folder exists.
    """
    given = check_average(request, how, asked)
    members = read_members(how.runs, unsafe=request.unsafe_load)
    if "norm" in given and "eps" not in given:
        raise UsageError(
            "--norm needs --eps: the radii of the runs are in their own norms", "say both, or leave it out"
        )
    robust = [member for member in members if member.robust]
    known = {name: getattr(request, name) for name in ("norm", "eps", "robust_images") if name in given}
    # A radius with a norm says both.
    decided = {*known, *(("norm",) if isinstance(known.get("eps"), tuple) else ())}
    for name in ("norm", "eps", "robust_images"):
        values = {_spelled(member.recipe, name): member.name for member in robust or members}
        if name not in decided and len(values) > 1:
            shown = ", ".join(f"{value} in '{run}'" for value, run in values.items())
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"the runs differ in {option}: {shown}", f"say with {option} what to validate with")
    calibrated = request.calibrate or any(member.recipe.calibrate for member in members)
    recipe = replace((robust or members)[0].recipe, unsafe_load=request.unsafe_load, calibrate=calibrated)
    if "robust_images" in known:
        recipe = replace(recipe, robust_images=request.robust_images)
    if "eps" in known:
        norms = request.norm if "norm" in decided else [ball.norm for ball in recipe.balls]
        radii = read_training_radii(norms, request.eps)
        recipe = recipe.with_balls([threat_for({}, norm, eps) for norm, eps in radii.items()])
    select = how.select or ("robust" if robust else "clean")
    dataset = open_dataset(recipe.data)
    if recipe.classes:
        dataset = dataset.restrict(recipe.classes)
    run = Run(how.out or Path("runs") / f"{dataset.name}-average")
    for member in members:
        if member.path.resolve().parent == run.folder.resolve():
            raise UsageError(f"'{run.folder}' holds '{member.name}', which is to be averaged", "give another --out")
    if not how.overwrite:
        run.refuse_existing()
    return AverageJob(members, recipe, select, dataset, run, bytes_of(how.memory))


def _spelled(recipe: Recipe, name: str) -> str:
    """Return an option of a recipe as text, of all its balls."""
    if name in ("norm", "eps"):
        return " and ".join(str(getattr(ball, name)) for ball in recipe.balls)
    return str(getattr(recipe, name))
