"""What an evaluation was asked for, in words that a file can hold, and how it is made ready from them."""

import hashlib
import json
import platform
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from advcli import __version__, registry
from advcli.data import Dataset, Images, Split, decode
from advcli.datasets import find
from advcli.errors import UsageError
from advcli.records import Progress, Protocol
from advcli.tasks.benchmarking import perturbations
from advcli.tasks.benchmarking.certification import Smoothing, read_smoothing
from advcli.tasks.benchmarking.perturbations import Perturbation
from advcli.tasks.benchmarking.plan import CLEAN, Plan
from advcli.tasks.benchmarking.subjects import Measured, measured
from advcli.tasks.models import ModelChoice, load_all
from advcli.threat import Norm, Threat

_PACKAGES = ("tensorflow", "keras", "numpy")


@dataclass(frozen=True)
class Request:
    """All that determines an evaluation; the options of ``advcli benchmark`` by their names.

    Args:
        models: run folders, model files or backbones.
        data: what is measured on.
        threats: norm and radius of each ball.
        attacks: specs of the attacks; so for the others.
        memory: how many bytes of decoded images may be held in memory.
    """

    models: tuple[str, ...]
    data: str
    weights: str = "imagenet"
    labels: str | None = None
    input_range: tuple[float, float] | None = None
    edge: int | None = None
    unsafe_load: bool = False
    classes: tuple[str, ...] = ()
    limit: int | None = None
    first: int | None = None
    skip_bad: bool = False
    threats: tuple[tuple[str, float], ...] = (("linf", 8 / 255),)
    attacks: tuple[str, ...] = ()
    noises: tuple[str, ...] = ()
    corruptions: tuple[str, ...] = ()
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    transfer: bool = False
    certify: str | None = None
    batch: int = 64
    seed: int = 0

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Request":
        """Read what an earlier evaluation was asked for.

        Raises:
            UsageError: it was written by another version.
        """
        known = {field.name for field in fields(cls)}
        if not set(content) <= known:
            raise UsageError(f"the results have options unknown here: {', '.join(sorted(set(content) - known))}")
        return cls(**{key: _frozen(value) for key, value in content.items()})

    def to_json(self) -> dict[str, Any]:
        """Return what ``from_json`` reads."""
        return json.loads(json.dumps(asdict(self)))

    @cached_property
    def choices(self) -> list[ModelChoice]:
        """The models, looked for.

        Raises:
            UsageError: one is not there.
        """
        labels = Path(self.labels) if self.labels else None
        return [
            ModelChoice(model, self.weights, labels, self.input_range, self.edge, self.unsafe_load)
            for model in self.models
        ]

    @cached_property
    def balls(self) -> tuple[Threat, ...]:
        """The balls that are searched."""
        return tuple(Threat(Norm(norm), eps) for norm, eps in self.threats)

    @cached_property
    def perturbations(self) -> tuple[Perturbation, ...]:
        """Everything the models are measured under, clean images first."""
        methods = {spec: registry.build("attacks", spec) for spec in self.attacks}
        return (
            CLEAN,
            *perturbations.noises_of(self.noises),
            *perturbations.corruptions_of(self.corruptions, self.severities),
            *perturbations.attacks_under(methods, self.balls),
            *(perturbations.transfers_under(methods, self.balls) if self.transfer else ()),
        )

    @cached_property
    def smoothing(self) -> Smoothing | None:
        """How the models are certified, if they are."""
        return None if self.certify is None else read_smoothing(self.certify)


@dataclass(frozen=True)
class Shard:
    """One of several equal parts of the images: every ``of``-th one, from the ``number``-th on."""

    number: int = 1
    of: int = 1

    @classmethod
    def read(cls, text: str) -> "Shard":
        """Read ``2/8``.

        Raises:
            UsageError: it is no such part.
        """
        number, _, of = text.partition("/")
        if not (number.isdecimal() and of.isdecimal() and 1 <= int(number) <= int(of)):
            raise UsageError(f"--shard is no part of a whole: '{text}'", "write 1/8 for the first of eight")
        return cls(int(number), int(of))

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def rows(self, images: int) -> np.ndarray:
        """Choose its images: -> (n,) their places."""
        return np.arange(self.number - 1, images, self.of)


@dataclass(frozen=True)
class Prepared:
    """An evaluation that can begin."""

    request: Request
    shard: Shard
    dataset: Dataset
    sample: Split
    models: tuple[Measured, ...]
    plan: Plan

    @cached_property
    def protocol(self) -> Protocol:
        """What is measured, and how."""
        return Protocol(
            model=", ".join(model.name for model in self.models),
            data=self.plan.data,
            seed=self.plan.seed,
            models=tuple(
                {
                    "name": model.name,
                    "fingerprint": model.subject.fingerprint,
                    "edge": model.subject.edge,
                    "channels": model.subject.channels,
                    "head": model.classifier.head,
                    "input_range": list(model.classifier.input_range),
                    "labels": list(model.subject.labels),
                    "recipe": json.loads(json.dumps(model.subject.recipe)),
                }
                for model in self.models
            ),
            classes=self.plan.classes,
            images=self.plan.images,
            sample=_identity(self.sample),
            pixels={f"{edge}x{edge}x{channels}": digest for (edge, channels), digest in self._pixels.items()},
            perturbations=tuple(perturbation.description() for perturbation in self.plan.perturbations),
            certify=self.request.certify,
            shard=None if self.shard.of == 1 else str(self.shard),
            options=self.request.to_json(),
            environment=_environment(),
        )

    @cached_property
    def _pixels(self) -> dict[tuple[int, int], str]:
        return {
            size: images.fingerprint() for size, images in {model.size: model.images for model in self.models}.items()
        }


def prepare(request: Request, shard: Shard = Shard(), memory: int | None = None) -> Generator[Progress, None, Prepared]:
    """Load the models and read the images.

    Args:
        request: what was asked for.
        shard: which part of the images.
        memory: how many bytes of decoded images may be held in memory; the rest is kept on disk.
    """
    yield Progress("loading the data", 0, 0)
    dataset = find(request.data)()
    if request.classes:
        dataset = dataset.restrict(request.classes)
    sample = dataset.test.sample(request.limit, request.first, request.seed)
    yield Progress("loading the models", 0, 0)
    classifiers = load_all(request.choices)
    if request.transfer and len({classifier.channels for classifier in classifiers}) > 1:
        raise UsageError("some models take grey images, some colour: nothing transfers", "leave --transfer out")
    rows = shard.rows(len(sample))
    if len(rows) == 0:
        raise UsageError(f"shard {shard} of {len(sample)} images is empty", "take fewer shards")
    decoded: dict[tuple[int, int], Images] = {}
    for classifier in classifiers:
        size = (classifier.edge, classifier.channels)
        if size not in decoded:
            yield Progress(f"{classifier.name}: reading the images", 0, 0)
            decoded[size] = decode(sample.take(rows), *size, skip_bad=request.skip_bad, memory=memory)
    images = [decoded[classifier.edge, classifier.channels] for classifier in classifiers]
    models = measured(classifiers, dataset, images, rows)
    plan = Plan(
        dataset.name,
        dataset.labels,
        request.seed,
        len(sample),
        models[0].rows,
        tuple(model.subject for model in models),
        request.perturbations,
        request.smoothing,
    )
    return Prepared(request, shard, dataset, sample, tuple(models), plan)


def _identity(sample: Split) -> str:
    """Return a hash that tells one sample of images from another without reading them."""
    digest = hashlib.sha256(np.ascontiguousarray(sample.labels, np.int32).tobytes())
    for index in range(len(sample)):
        digest.update(Path(sample.name(index)).name.encode() + b"\n")
    return digest.hexdigest()[:16]


def _environment() -> dict[str, str]:
    versions = {"advcli": __version__, "python": platform.python_version(), "system": platform.platform()}
    return versions | {package: version(package) for package in _PACKAGES}


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
