"""Averages of the weights of several runs of one network, the best of which is chosen on validation images.

Two runs are interpolated, as a clean and a robust fine-tuning of one start: Wortsman, Ilharco, Kim et al. 2022,
https://arxiv.org/abs/2109.01903. More are averaged greedily and uniformly: Wortsman, Ilharco, Gadre et al. 2022,
https://arxiv.org/abs/2203.05482. Mixtures of robust runs: Croce, Rebuffi, Shelhamer and Gowal 2023,
https://arxiv.org/abs/2302.10164
"""

import logging
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advcli import registry
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images, decode
from advcli.datasets import open_dataset
from advcli.errors import AdvcliError, UsageError
from advcli.files.bounded import parse_json, read_text
from advcli.model.classifier import Classifier
from advcli.model.model_choice import ModelChoice
from advcli.model.same_network import refuse_other_network
from advcli.records import Averaged, Mixed, Progress
from advcli.records.base import Fields, Json
from advcli.search.threat_defaults import read_training_radii, threat_for
from advcli.tasks.request import bytes_of
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.recipe import Recipe, split_images
from advcli.tasks.train.request import Execution, Request, Select
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.start import Start, load_start
from advcli.tasks.train.start_choice import digest_of
from advcli.tasks.train.validate import check_average
from advcli.tasks.train.validation import Validator

log = logging.getLogger(__name__)

_STEPS = 10

Weights = tuple[float, ...]


@dataclass(frozen=True)
class Member:
    """One of the averaged models and the recipe it was trained by."""

    choice: ModelChoice
    path: Path
    recipe: Recipe

    @property
    def name(self) -> str:
        """The name of the model in messages and records."""
        return self.choice.name

    @property
    def robust(self) -> bool:
        """Whether the model was trained to be robust."""
        return registry.component("objectives", self.recipe.objective).robust


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
    writes = True

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
        mixes = _Mixes(self, start.classifier, values, images)
        yield from mixes.pair() if len(self.members) == 2 else mixes.soup()
        best = max(mixes.records.values(), key=self.score)
        if max(best.weights) == 1:
            log.info("no mix is better than '%s' alone", best.runs[best.weights.index(1)])
        mixes.assign(best.weights)
        self.run.clear()
        self.run.write_description(self.recipe.to_json(), self._resolved(mixes, images))
        self.run.save_model(replace(start.classifier, recipe=self.recipe.to_json()), "model")
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
            seconds=time.perf_counter() - began,
            **self.common,
        )

    @property
    def common(self) -> Fields:
        """The fields that all records have."""
        return {"model": self.run.name, "data": self.dataset.name, "seed": self.recipe.seed}

    def score(self, mix: Mixed) -> Weights:
        """Return what mixes are compared by, the first number first."""
        if self.select == "both":
            return mix.clean + mix.robust, mix.robust
        return (mix.robust, mix.clean) if self.select == "robust" else (mix.clean, mix.robust)

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
            before = _recorded_fingerprint(member.path)
            if before not in ("", now):
                raise AdvcliError(
                    f"the validation images of '{member.name}' have changed: fingerprint {before} before, {now} now",
                    "restore the data",
                )
        return images

    def _resolved(self, mixes: "_Mixes", images: Images) -> dict[str, Json]:
        runs = [{"path": str(member.path), "sha256": digest_of(member.choice)} for member in self.members]
        tried = [
            {"weights": list(mix.weights), "clean": mix.clean, "robust": mix.robust} for mix in mixes.records.values()
        ]
        return {
            "average": {"runs": runs, "select": self.select, "weights": list(mixes.current), "mixes": tried},
            "validation": {"images": len(images), "fingerprint": images.fingerprint()},
        }


class _Mixes:
    """The mixes of several weights in one model, each validated once."""

    def __init__(
        self, job: AverageJob, classifier: Classifier, values: Sequence[Sequence[np.ndarray]], images: Images
    ) -> None:
        self.records: dict[Weights, Mixed] = {}
        self.current: Weights = ()
        self._job = job
        self._variables = classifier.model.variables
        self._values = values
        recipe = job.recipe
        self._validate = Validator(
            classifier.live_copy, images, recipe.robust_images, recipe.balls, recipe.seed, find_devices("one")
        )

    def assign(self, weights: Weights) -> None:
        """Give the model the weighted means, BatchNorm's statistics included; a counter stays that of the first."""
        self.current = weights
        for variable, values in zip(self._variables, zip(*self._values, strict=True), strict=True):
            if np.issubdtype(values[0].dtype, np.floating):
                mean = sum(weight * value.astype(np.float64) for weight, value in zip(weights, values, strict=True))
                variable.assign(np.asarray(mean, values[0].dtype))

    def pair(self) -> Iterator[Mixed | Progress]:
        """Validate ``(1 - alpha) * first + alpha * second`` for alpha from 0 to 1."""
        for step in range(_STEPS + 1):
            yield Progress("validating mixes", step, _STEPS + 1)
            yield from self._tried(((_STEPS - step) / _STEPS, step / _STEPS))

    def soup(self) -> Iterator[Mixed | Progress]:
        """Validate each run, the mean of all, and means that grow by each run that does not make them worse."""
        count = len(self._values)
        alone = [_mean([i], count) for i in range(count)]
        for i, weights in enumerate([*alone, _mean(range(count), count)]):
            yield Progress("validating mixes", i, 2 * count)
            yield from self._tried(weights)
        order = sorted(range(count), key=lambda i: self._score(alone[i]), reverse=True)
        kept = order[:1]
        for place, i in enumerate(order[1:], start=count + 1):
            yield Progress("validating mixes", place, 2 * count)
            yield from self._tried(_mean([*kept, i], count))
            if self._score(_mean([*kept, i], count)) >= self._score(_mean(kept, count)):
                kept.append(i)

    def _score(self, weights: Weights) -> Weights:
        return self._job.score(self.records[weights])

    def _tried(self, weights: Weights) -> Generator[Mixed, None, None]:
        if weights in self.records:
            return
        began = time.perf_counter()
        self.assign(weights)
        found = self._validate()
        self.records[weights] = Mixed(
            runs=tuple(member.name for member in self._job.members),
            weights=weights,
            clean=found.clean,
            robust=found.robust,
            single_step=found.single_step,
            zero_gradients=found.zero_gradients,
            seconds=time.perf_counter() - began,
            **self._job.common,
        )
        yield self.records[weights]


def _mean(chosen: Collection[int], count: int) -> Weights:
    return tuple(1 / len(chosen) if i in chosen else 0.0 for i in range(count))


def _values(classifier: Classifier) -> list[np.ndarray]:
    return [np.array(variable) for variable in classifier.model.variables]


def _recorded_fingerprint(path: Path) -> str:
    """Return the fingerprint of the validation images beside a model; empty if there is none."""
    try:
        content = parse_json(read_text(path.parent / "run.json"))
        return str(content["resolved"]["validation"]["fingerprint"])
    except (AdvcliError, ValueError, LookupError, TypeError):
        return ""


def make_average(request: Request, how: Execution, asked: Collection[str] | None = None) -> AverageJob:
    """Validate a request for an average before TensorFlow is imported.

    Args:
        request: of its options only those of the threat, and ``unsafe_load``.
        how: the runs, and how to do it.
        asked: the options that the user gave; None means those that differ from their default.

    Raises:
        UsageError: the request is invalid, the runs had other images, or the run folder exists.
    """
    given = check_average(request, how, asked)
    files = [_file_of(text, request.unsafe_load) for text in how.runs]
    for i, (choice, path) in enumerate(files):
        if path.resolve() in [other.resolve() for _, other in files[:i]]:
            raise UsageError(f"'{choice.name}' is given twice", "leave one out")
    members = tuple(_member(*file) for file in files)
    for member in members[1:]:
        _refuse_other_images(members[0], member)
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
    recipe = replace((robust or members)[0].recipe, unsafe_load=request.unsafe_load)
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


def _file_of(text: str, unsafe: bool) -> tuple[ModelChoice, Path]:
    choice = ModelChoice.read(text, unsafe=unsafe)
    path = None if choice.access != "gradient" else choice.path
    if path is None:
        raise UsageError(f"'{text}' is not a run", "give run folders, or .keras files that advcli trained")
    return choice, path


def _member(choice: ModelChoice, path: Path) -> Member:
    if not choice.recipe:
        message = f"'{choice.value}' does not record its training data: advcli did not train it"
        raise UsageError(message, "give run folders, or .keras files that advcli trained")
    return Member(choice, path, Recipe.from_json(choice.recipe, f"the recipe in '{path}'"))


def _refuse_other_images(first: Member, other: Member) -> None:
    """Refuse runs of different images: those that one validates on, another may have learned.

    Raises:
        UsageError: they differ.
    """
    one, two = _images_of(first.recipe), _images_of(other.recipe)
    for name, value in one.items():
        if two[name] != value:
            raise UsageError(
                f"'{first.name}' and '{other.name}' differ in --{name}: {value} and {two[name]}",
                "average runs that were trained and validated on the same images",
            )


def _images_of(recipe: Recipe) -> dict[str, object]:
    """Return the options that decide which images a run learns from and which it validates on."""
    path = Path(recipe.data).expanduser()
    found: dict[str, object] = {"data": str(path.resolve()) if path.exists() else recipe.data.lower()}
    found |= {name: getattr(recipe, name) for name in ("classes", "limit", "first", "validation")}
    return found | ({"seed": recipe.seed} if recipe.limit is not None else {"seed": None})
