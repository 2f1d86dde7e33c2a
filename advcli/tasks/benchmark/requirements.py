"""The requirements of ``--requirements``: which perturbations are measured, and which accuracy each must reach.

A requirement is met or not by one of two statistics of the images that are classified correctly under its perturbation:

``accuracy``: correct images / all images.
``lower95``: the Clopper-Pearson lower bound with one-sided confidence 97.5%, the lower end of the two-sided 95%
    interval. With ``lower95 >= t`` a model whose true accuracy is at most t meets the requirement with probability at
    most 2.5%, for every t and every number of images. Wilson's interval, which tables show, does not keep this promise:
    for t = 0.05 and 10 images that probability is 8.6%.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from advcli.attacks import Search
from advcli.corruptions import Corruption
from advcli.errors import UsageError
from advcli.records import Requirement, Score, Support
from advcli.records.base import Json
from advcli.tasks.benchmark.intervals import clopper_pearson_low
from advcli.tasks.benchmark.perturbations import Kind, Perturbation, attacks_under, noises_of
from advcli.tasks.benchmark.plan import CLEAN, WORST, worst_cases
from advcli.threat.threat import Threat

ACCURACY, LOWER95 = "accuracy", "lower95"
# Of a wrong pass with lower95.
WRONG_PASS = 0.025


@dataclass(frozen=True)
class PlannedRequirement:
    """One requirement.

    Args:
        id: its name, which no other requirement has.
        spec: the perturbation.
        method: the component that computes it; None for clean images and for the worst case.
        threat: the ball of an attack; None for one without a ball.
        severity: of a corruption; None where its options set its strength.
        statistic: ``accuracy`` or ``lower95``.
        bound: the value that the statistic must reach.
        data: the data that it is about; empty for those of the evaluation.
        seed: the seed that it is about; None for that of the evaluation.
        text: what it requires, in words.
        supports: the terms of frameworks that it supports.
    """

    id: str
    spec: str
    method: "Search | Corruption | None"
    threat: Threat | None
    severity: int | None
    statistic: str
    bound: float
    data: str
    seed: int | None
    text: str
    supports: tuple[Support, ...]

    @property
    def place(self) -> dict[str, Json]:
        """The fields that identify its perturbation in records."""
        norm, eps = (str(self.threat.norm), self.threat.eps) if self.threat else (None, None)
        return {"perturbation": self.spec, "norm": norm, "eps": eps, "severity": self.severity}

    def perturbations(self, unbounded: Threat, surrogate: str | None, repeats: int) -> list[Perturbation]:
        """Return what is measured for it; nothing for clean images and the worst case, which others determine.

        Args:
            unbounded: the threat of an attack that has no ball.
            surrogate: the model that attacks see, if it is another one.
            repeats: the number of predictions for each image.
        """
        if self.spec in (CLEAN.spec, WORST):
            return []
        if isinstance(self.method, Search):
            return attacks_under({self.spec: self.method}, [self.threat or unbounded], surrogate, repeats)
        if isinstance(self.method, Corruption):
            return [Perturbation(self.spec, Kind.CORRUPTION, self.method, severity=self.severity)]
        return noises_of([self.spec])

    def measure(self, score: Score) -> float:
        """Return the value of its statistic."""
        return score.accuracy if self.statistic == ACCURACY else lower95(score.correct, score.images)


@dataclass(frozen=True)
class RequirementsFile:
    """The content of a file of requirements.

    Args:
        text: the whole file, as UTF-8 reads it.
        requirements: what it holds.
    """

    text: str
    requirements: tuple[PlannedRequirement, ...]

    @property
    def sha256(self) -> str:
        """The SHA-256 of the file's bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def data(self) -> str:
        """The data that the requirements are about; empty if none says it."""
        return next((each.data for each in self.requirements if each.data), "")

    @cached_property
    def seed(self) -> int | None:
        """The seed that the requirements are about; None if none says it."""
        return next((each.seed for each in self.requirements if each.seed is not None), None)

    def perturbations(self, unbounded: Threat, surrogate: str | None, repeats: int) -> tuple[Perturbation, ...]:
        """Return what is measured for the requirements.

        Args:
            unbounded: the threat of an attack that has no ball.
            surrogate: the model that attacks see, if it is another one.
            repeats: the number of predictions for each image.
        """
        return tuple(new for each in self.requirements for new in each.perturbations(unbounded, surrogate, repeats))


def lower95(correct: int, images: int) -> float:
    """Return the Clopper-Pearson lower bound of an accuracy with one-sided confidence 97.5%; 0 without images."""
    return clopper_pearson_low(correct, images, WRONG_PASS) if images else 0.0


def refuse_other_seed(file: RequirementsFile | None, seed: int | None) -> None:
    """Refuse another seed than that of the requirements.

    Raises:
        UsageError: they are about another one.
    """
    if file is not None and file.seed not in (None, seed):
        raise UsageError(f"the requirements are for seed {file.seed}, not {seed}", "leave --seed out")


def attacks_of(perturbations: Sequence[Perturbation]) -> Iterator[tuple[str, Search, Threat]]:
    """List the attacks among perturbations: spec, attack and ball."""
    for each in perturbations:
        if isinstance(each.method, Search) and each.threat is not None:
            yield each.spec, each.method, each.threat


def refuse_missing_worst(file: RequirementsFile | None, perturbations: Sequence[Perturbation]) -> None:
    """Refuse a requirement of a worst case that is not measured.

    Raises:
        UsageError: no attack is measured in its ball.
    """
    worst = [each.place for each in worst_cases([each for each in perturbations if each.kind is Kind.ATTACK])]
    for each in file.requirements if file else ():
        if each.spec == WORST and each.place not in worst:
            balls = [f'norm = "{place["norm"]}", eps = {place["eps"]}' for place in worst if place["norm"]]
            hint = f"measured: {'; '.join(balls)}" if balls else "measure attacks in one ball with --attack and --eps"
            raise UsageError(f"requirement '{each.id}' is of the worst case in a ball that no attack searches", hint)


def note_small_sample(file: RequirementsFile | None, images: int) -> list[str]:
    """Name the requirements that cannot be met by so few images, even if all are classified correctly."""
    few = [each for each in file.requirements if each.statistic == LOWER95] if file else []
    return [
        f"requirement '{each.id}' cannot be met by {images} images: {LOWER95} >= {each.bound:g} needs "
        f"{math.ceil(math.log(WRONG_PASS) / math.log(each.bound))} or more"
        for each in few
        if lower95(images, images) < each.bound
    ]


def judged_requirements(file: RequirementsFile | None, scores: Sequence[Score]) -> Iterator[Requirement]:
    """Compare the scores with the requirements: one record for each requirement and model."""
    for each in file.requirements if file else ():
        for score in scores:
            if score.place == each.place:
                value = each.measure(score)
                yield Requirement(
                    model=score.model,
                    data=score.data,
                    seed=score.seed,
                    **score.place,
                    id=each.id,
                    text=each.text,
                    statistic=each.statistic,
                    bound=each.bound,
                    value=value,
                    met=value >= each.bound,
                    images=score.images,
                    correct=score.correct,
                    requirements=file.sha256 if file else "",
                    supports=each.supports,
                )
