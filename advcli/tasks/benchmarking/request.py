"""What an evaluation was asked for, in words that a file can hold."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from advcli import registry
from advcli.class_order import ClassOrder
from advcli.errors import UsageError
from advcli.tasks.benchmarking import perturbations
from advcli.tasks.benchmarking.certification import Smoothing, read_smoothing
from advcli.tasks.benchmarking.gates import Least
from advcli.tasks.benchmarking.perturbations import Perturbation
from advcli.tasks.benchmarking.plan import CLEAN
from advcli.tasks.benchmarking.reading import read_scores
from advcli.tasks.benchmarking.summary import Summary
from advcli.tasks.models import ModelChoice
from advcli.threat import Norm, Threat


@dataclass(frozen=True)
class Request:
    """All that determines an evaluation; the options of ``advcli benchmark`` by their names.

    Args:
        models: run folders, model files or backbones.
        data: what is measured on.
        threats: norm and radius of each ball.
        attacks: specs of the attacks; so for the others.
        class_order: how names of class folders number the classes of a model without class names.
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
    class_order: str | None = None
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
    checks: bool = True
    per_class: bool = False
    relative_to: str | None = None
    fail_under: tuple[str, ...] = ()
    baseline: str | None = None

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

    @property
    def order(self) -> ClassOrder | None:
        """The order of class folders that was asked for."""
        return None if self.class_order is None else ClassOrder(self.class_order)

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
    def summary(self) -> Summary:
        """What the results are summed up to.

        Raises:
            UsageError: there is no such accuracy or baseline.
        """
        return Summary(
            self.per_class,
            self.relative_to,
            tuple(Least.read(text) for text in self.fail_under),
            () if self.baseline is None else tuple(read_scores(Path(self.baseline))),
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


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list) else value
