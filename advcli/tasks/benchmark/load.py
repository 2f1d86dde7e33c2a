"""Prepare an evaluation: load the models, read the images, build the plan."""

import contextlib
import hashlib
import json
import logging
import platform
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

import numpy as np

from advcli import __version__, registry
from advcli.data.class_order import has_names
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images, decode
from advcli.data.split import Split
from advcli.datasets import open_dataset
from advcli.errors import AdvcliError, UsageError
from advcli.model.classifier import Classifier
from advcli.model.model_choice import load_all
from advcli.model.range_check import refuse_other_range, sample_rows
from advcli.records import Progress, Protocol
from advcli.search.surrogate import surrogate_for
from advcli.tasks.benchmark.class_matching import only_classes_of
from advcli.tasks.benchmark.gates import refuse_unmeasured
from advcli.tasks.benchmark.given import with_given
from advcli.tasks.benchmark.held_out import measured_part
from advcli.tasks.benchmark.models import EvaluatedModel, ImageShape, fingerprint, measured
from advcli.tasks.benchmark.numbering import note_order
from advcli.tasks.benchmark.plan import Plan
from advcli.tasks.benchmark.request import Request, Shard
from advcli.tasks.benchmark.requirements import attacks_of, note_small_sample
from advcli.tasks.benchmark.slices import refuse_unknown_columns

log = logging.getLogger(__name__)

# So many images show which input range a model wants.
_COMPARED = 128
# So many images of each given perturbation show which it is.
_HASHED = 4
_PACKAGES = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Prepared:
    """A prepared evaluation."""

    request: Request
    shard: Shard
    dataset: Dataset
    sample: Split
    models: tuple[EvaluatedModel, ...]
    plan: Plan

    @cached_property
    def protocol(self) -> Protocol:
        """The protocol of the evaluation."""
        return Protocol(
            model=", ".join(model.name for model in self.models),
            data=self.plan.data,
            seed=self.plan.seed,
            models=tuple(
                {
                    "name": model.name,
                    "fingerprint": model.subject.fingerprint,
                    "edge": model.subject.image_size[0],
                    **_width(model.subject.image_size),
                    **({"fit": model.classifier.fitting} if model.classifier.fitting != "squash" else {}),
                    "channels": model.subject.channels,
                    "head": model.classifier.head.name,
                    "input_range": list(model.classifier.input_range),
                    "labels": list(model.subject.labels),
                    "recipe": json.loads(json.dumps(model.subject.recipe)),
                    **({"outputs": list(model.classifier.only)} if model.classifier.only else {}),
                    # Older results files do not have this field.
                    **({"class_order": model.subject.class_order} if model.subject.class_order else {}),
                }
                for model in self.models
            ),
            classes=self.plan.classes,
            images=self.plan.images,
            sample=_identity(self.sample, self.models[0].given.values()),
            pixels={
                f"{height}x{width}x{channels}": digest for ((height, width), channels), digest in self._pixels.items()
            },
            perturbations=tuple(perturbation.description() for perturbation in self.plan.perturbations),
            certify=self.request.certify,
            shard=None if self.shard.of == 1 else str(self.shard),
            options=self.request.to_json(),
            environment=_environment(),
            surrogate=self._surrogate,
            requirements=self.request.requirements_file.sha256 if self.request.requirements_file else None,
            repeats=self.request.repeats,
        )

    @property
    def _surrogate(self) -> dict[str, str] | None:
        seen = self.models[0].surrogate
        return None if seen is None else {"name": seen.classifier.name, "fingerprint": fingerprint(seen.classifier)}

    @cached_property
    def _pixels(self) -> dict[ImageShape, str]:
        of_size = {model.size: model for model in self.models}
        return {size: f"{model.images.parted_fingerprint(model.rows):016x}" for size, model in of_size.items()}


def prepare_evaluation(
    request: Request, shard: Shard, memory: int | None = None, name: str = ""
) -> Generator[Progress, None, Prepared]:
    """Load the models and read the images.

    Args:
        request: the options of the evaluation.
        shard: the part of the images.
        memory: how many bytes of decoded images may be held in memory; the rest is kept on disk.
        name: of the data, if it is not its own.
    """
    yield Progress("loading the data", 0, 0)
    dataset = read_data(request)
    dataset = replace(dataset, name=name or dataset.name)
    request = request.with_given(dataset)
    refuse_unmeasured(request.summary.gates, request.perturbations, request.by, [each.name for each in request.choices])
    sample = dataset.test.sample(request.limit, request.first, request.seed)
    yield Progress("loading the models", 0, 0)
    classifiers = load_all(request.choices, sample.uniform_size)
    if request.classes_only:
        classifiers = [only_classes_of(classifier, dataset) for classifier in classifiers]
    if request.transfer and len({classifier.channels for classifier in classifiers}) > 1:
        raise UsageError(
            "some models take grey images, some colour images: --transfer is not possible", "leave --transfer out"
        )
    _check_lengths(request, classifiers)
    for text in note_small_sample(request.requirements_file, len(sample)):
        log.warning("%s", text)
    rows = shard.rows(len(sample))
    if len(rows) == 0:
        raise UsageError(f"shard {shard} of {len(sample)} images is empty", "take fewer shards")
    decoded: dict[ImageShape, Images] = {}
    for classifier in classifiers:
        size = (classifier.image_size, classifier.channels)
        if size not in decoded:
            yield Progress(f"{classifier.name}: reading the images", 0, 0)
            decoded[size] = decode(sample.take(rows), *size, request.skip_bad, memory, request.fit)
    images = [decoded[classifier.image_size, classifier.channels] for classifier in classifiers]
    chosen = sample.take(rows)
    refuse_unknown_columns(request.by, sample.columns)
    models = measured(
        classifiers, dataset, images, rows, order_chosen=request.class_order is not None, columns=chosen.columns
    )
    given = {
        (each.corruption, each.severity): each.split.sample(request.limit, request.first, request.seed)
        for each in dataset.given
    }
    models = [replace(model, given=given) for model in models]
    choice = request.choose_surrogate()
    if choice is not None:
        yield Progress("loading the surrogate", 0, 0)
        surrogate = choice.load(sample.uniform_size)
        models = [replace(model, surrogate=surrogate_for(model.classifier, surrogate)) for model in models]
    if request.class_order is not None and all(has_names(classifier.labels) for classifier in classifiers):
        raise UsageError("--class-order has no effect: the models have class names, which decide", "leave it out")
    note_order(models)
    for model in models:
        if not model.classifier.range_given:
            yield Progress(f"{model.name}: comparing input ranges", 0, 0)
            few = sample_rows(len(model.labels), _COMPARED)
            refuse_other_range(model.classifier, model.images.at(few)[0], model.labels[few])
    plan = Plan(
        dataset.name,
        dataset.labels,
        request.seed,
        len(sample),
        models[0].rows,
        tuple(model.subject for model in models),
        request.perturbations,
        request.smoothing,
        request.ranges,
        request.require,
        request.repeats,
    )
    return Prepared(request, shard, dataset, sample, tuple(models), plan)


def read_data(request: Request) -> Dataset:
    """Return the data set of a request with the chosen classes, and with the images to measure in ``test``.

    Raises:
        UsageError: there is no such data or class, or something is wrong with one of the classes.
    """
    dataset = open_dataset(request.data, request.class_order)
    dataset = measured_part(dataset, request.data, [(choice.name, choice.recipe) for choice in request.choices])
    if request.given:
        dataset = with_given(dataset, _given_data(request.given))
    if request.classes:
        dataset = dataset.restrict(request.classes)
    dataset.refuse_faults()
    return dataset


def _given_data(path: str) -> Dataset:
    dataset = open_dataset(path)
    if not dataset.given:
        hint = "CORRUPTION/SEVERITY/CLASS/IMAGE, or labels.npy and one .npy for each corruption"
        raise UsageError(f"there are no corrupted images in '{path}'", f"--given names a folder with {hint}")
    return dataset


def _check_lengths(request: Request, classifiers: Sequence[Classifier]) -> None:
    """Refuse radii that are too large for a model's images, and warn of steps that are too long for their ball."""
    searches = {spec: registry.build("attacks", spec) for spec in request.attacks}
    asked = [(spec, search, threat) for threat in request.balls for spec, search in searches.items()]
    for spec, search, threat in dict.fromkeys([*asked, *attacks_of(request.required)]):
        if search.bounded:
            threat.warn_of_long_step(search, spec)
            for classifier in classifiers:
                threat.refuse_impossible((*classifier.image_size, classifier.channels))


def _width(size: tuple[int, int]) -> dict[str, int]:
    """Return the width of images that are not square; files of results do not have it otherwise."""
    return {} if size[0] == size[1] else {"width": size[1]}


def _identity(sample: Split, given: Iterable[Split]) -> str:
    """Return a hash of a sample of images, without reading them, and of a few of those that are given corrupted."""
    digest = hashlib.sha256(np.ascontiguousarray(sample.labels, np.int32).tobytes())
    for index in range(len(sample)):
        digest.update(Path(sample.name(index)).name.encode() + b"\n")
    for split in given:
        for index in np.linspace(0, len(split) - 1, min(_HASHED, len(split)), dtype=int):
            with contextlib.suppress(AdvcliError):
                digest.update(np.ascontiguousarray(split.read(int(index))).tobytes())
    return digest.hexdigest()[:16]


def _environment() -> dict[str, str]:
    versions = {"advcli": __version__, "python": platform.python_version(), "system": platform.platform()}
    return versions | {package: version(package) for package in _PACKAGES}
