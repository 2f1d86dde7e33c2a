"""The plan of an evaluation: its models, perturbations and images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np

from advcli.records.base import Json
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.randomized_smoothing import Smoothing
from advcli.tasks.benchmark.sweeps import Sweep
from advcli.threat.threat import Threat

CLEAN = Perturbation("clean", Kind.CLEAN)
WORST = "worst"
ANY_NORM = "any"


@dataclass(frozen=True)
class Subject:
    """The description of an evaluated model.

    Args:
        name: its name in records.
        labels: its classes' names.
        image_size: height and width of its images in pixels.
        channels: 3, or 1 if it takes grey images.
        recipe: how it was trained; empty if unknown.
        fingerprint: a hash of its weights.
        class_order: the order of the class folders for a model without class names; None where it does not matter.
        classes_only: the number of its outputs that are decided between; None for all.
    """

    name: str
    labels: tuple[str, ...]
    image_size: tuple[int, int]
    channels: int
    recipe: Mapping[str, Json]
    fingerprint: str
    class_order: str | None = None
    classes_only: int | None = None


@dataclass(frozen=True)
class Worst:
    """The worst case, image by image, over several attacks.

    Args:
        attacks: the attacks.
        threat: the ball, if all of them search it.
        name: its name in records.
    """

    attacks: tuple[Perturbation, ...]
    threat: Threat | None
    name: str = WORST

    @property
    def place(self) -> dict[str, Json]:
        """The fields of its records."""
        norm, eps = (str(self.threat.norm), self.threat.eps) if self.threat else (None, None)
        return {"perturbation": self.name, "norm": norm, "eps": eps, "severity": None}


_Searched = TypeVar("_Searched", Perturbation, Worst)


def above_zero(searched: Iterable[_Searched]) -> list[_Searched]:
    """Exclude radius 0, where the images are the clean ones."""
    return [each for each in searched if each.place["eps"] != 0]


def worst_cases(attacks: Sequence[Perturbation]) -> tuple[Worst, ...]:
    """Return the worst case of each ball that attacks search."""
    threats = list(dict.fromkeys(attack.threat for attack in attacks if attack.threat))
    if len(threats) == 1:
        bounded = all(attack.bounded for attack in attacks)
        return (Worst(tuple(attacks), threats[0] if bounded else None),)
    of_threat = ((threat, tuple(a for a in attacks if a.threat == threat and a.bounded)) for threat in threats)
    return tuple(Worst(attacks, threat) for threat, attacks in of_threat if attacks)


@dataclass(frozen=True)
class Plan:
    """The plan of an evaluation.

    Args:
        data: the data's name.
        classes: the data's class names.
        seed: of all random numbers.
        images: the number of images of the whole sample.
        rows: (N,) the indices of the images of this shard.
        subjects: the models.
        perturbations: the perturbations, clean images first.
        smoothing: the randomized smoothing, if certificates are requested.
        sweeps: the corruptions that are measured over their parameter; their points are among the perturbations.
        required: the accuracy that decides how far a model tolerates them, if tolerances are requested.
        repeats: the number of predictions for each image, all of which must be correct.
    """

    data: str
    classes: tuple[str, ...]
    seed: int
    images: int
    rows: np.ndarray
    subjects: tuple[Subject, ...]
    perturbations: tuple[Perturbation, ...] = (CLEAN,)
    smoothing: Smoothing | None = None
    sweeps: tuple[Sweep, ...] = ()
    required: float | None = None
    repeats: int = 1

    @property
    def shared(self) -> list[Perturbation]:
        """The perturbations that are the same for every model."""
        return self.of_kind(Kind.CLEAN, Kind.GIVEN, Kind.NOISE, Kind.CORRUPTION)

    @property
    def has_clean(self) -> bool:
        """Whether clean images are measured."""
        return bool(self.of_kind(Kind.CLEAN))

    @property
    def unattacked(self) -> list[Perturbation]:
        """The clean images; without any, those that are given."""
        return self.of_kind(Kind.CLEAN) or self.of_kind(Kind.GIVEN)

    def of_kind(self, *kinds: Kind) -> list[Perturbation]:
        """The perturbations of some kinds."""
        return [perturbation for perturbation in self.perturbations if perturbation.kind in kinds]

    @cached_property
    def worsts(self) -> tuple[Worst, ...]:
        """The worst case of each ball; an attack without a ball is included if there is only one ball."""
        return worst_cases(self.of_kind(Kind.ATTACK))

    @cached_property
    def any_norm(self) -> Worst | None:
        """The worst case over several norms, each at its own radius; None with one norm, or several radii in one."""
        attacks = tuple(attack for attack in self.of_kind(Kind.ATTACK) if attack.bounded)
        balls = {attack.threat for attack in attacks if attack.threat}
        norms = {ball.norm for ball in balls}
        several = len(norms) > 1 and len(balls) == len(norms)
        return Worst(attacks, None, ANY_NORM) if several else None

    @property
    def combined(self) -> tuple[Worst, ...]:
        """The worst case of each ball, then that over all norms."""
        return (*self.worsts, *((self.any_norm,) if self.any_norm else ()))

    def searched(self) -> Iterator[tuple[Subject, Perturbation | Worst]]:
        """List the models and attacks to score, in the order of the evaluation."""
        for subject in self.subjects:
            for attack in self.of_kind(Kind.ATTACK):
                yield subject, attack
                for worst in self.combined:
                    if worst.attacks[-1] is attack:
                        yield subject, worst
