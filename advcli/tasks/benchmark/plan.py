"""What an evaluation measures: which models, under which perturbations, on which images."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.randomized_smoothing import Smoothing
from advcli.threat.threat import Threat

CLEAN = Perturbation("clean", Kind.CLEAN)
WORST = "worst"


@dataclass(frozen=True)
class Subject:
    """A model that is measured.

    Args:
        name: what it is called in records.
        labels: its classes' names.
        edge: the side in pixels at which images are perturbed for it.
        channels: 3, or 1 if it takes grey images.
        recipe: how it was made; empty if that is not known.
        fingerprint: a hash of its weights.
        class_order: the order of the folders that its classes are taken for; None where another would be the same.
    """

    name: str
    labels: tuple[str, ...]
    edge: int
    channels: int
    recipe: Mapping[str, Any]
    fingerprint: str
    class_order: str | None = None


@dataclass(frozen=True)
class Worst:
    """The worst case, image by image, over several attacks.

    Args:
        attacks: the attacks.
        threat: the ball, if all of them search it.
    """

    attacks: tuple[Perturbation, ...]
    threat: Threat | None

    @property
    def place(self) -> dict[str, Any]:
        """What every record of it says."""
        norm, eps = (str(self.threat.norm), self.threat.eps) if self.threat else (None, None)
        return {"perturbation": WORST, "norm": norm, "eps": eps, "severity": None}


_Searched = TypeVar("_Searched", Perturbation, Worst)


def above_zero(searched: Iterable[_Searched]) -> list[_Searched]:
    """Leave out what is searched at no radius, where the images are the clean ones."""
    return [each for each in searched if each.place["eps"] != 0]


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Args:
        data: the data's name.
        classes: the data's class names.
        seed: for all random draws.
        images: how many images there are in all, whatever the shard.
        rows: (N,) which of them are measured here.
        subjects: the models.
        perturbations: what they are measured under, clean images first.
        smoothing: how they are certified, if they are.
    """

    data: str
    classes: tuple[str, ...]
    seed: int
    images: int
    rows: np.ndarray
    subjects: tuple[Subject, ...]
    perturbations: tuple[Perturbation, ...] = (CLEAN,)
    smoothing: Smoothing | None = None

    @property
    def shared(self) -> list[Perturbation]:
        """The perturbations that are the same for every model."""
        return self.of_kind(Kind.CLEAN, Kind.NOISE, Kind.CORRUPTION)

    def of_kind(self, *kinds: Kind) -> list[Perturbation]:
        """The perturbations of some kinds."""
        return [perturbation for perturbation in self.perturbations if perturbation.kind in kinds]

    @cached_property
    def worsts(self) -> tuple[Worst, ...]:
        """The worst case of each ball; an attack without a ball counts where there is one ball only."""
        attacks = self.of_kind(Kind.ATTACK)
        threats = list(dict.fromkeys(attack.threat for attack in attacks if attack.threat))
        if len(threats) == 1:
            bounded = all(attack.bounded for attack in attacks)
            return (Worst(tuple(attacks), threats[0] if bounded else None),)
        of_threat = ((threat, tuple(a for a in attacks if a.threat == threat and a.bounded)) for threat in threats)
        return tuple(Worst(attacks, threat) for threat, attacks in of_threat if attacks)

    def searched(self) -> Iterator[tuple[Subject, Perturbation | Worst]]:
        """List what is scored of attacks, in the order in which it becomes known."""
        for subject in self.subjects:
            for attack in self.of_kind(Kind.ATTACK):
                yield subject, attack
                for worst in self.worsts:
                    if worst.attacks[-1] is attack:
                        yield subject, worst
