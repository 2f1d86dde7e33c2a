"""Which perturbations a model was trained with, according to its recipe."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean

from advcli import registry
from advcli.attacks import Search
from advcli.corruptions import spec_parts
from advcli.records import Group, Score
from advcli.records.base import Json
from advcli.search.threat_defaults import trained_threats
from advcli.tasks.benchmark.perturbations import Kind, Perturbation


def was_seen(recipe: Mapping[str, Json], perturbation: Perturbation) -> bool | None:
    """Return whether a model was trained with a perturbation; None if unknown or not applicable."""
    if (
        not recipe.get("objective")
        or perturbation.kind in (Kind.CLEAN, Kind.TRANSFER)
        or perturbation.place["eps"] == 0
    ):
        return None
    if registry.canonical(recipe["objective"]) not in registry.names("objectives"):
        # It was trained with a component of another package, or of a file.
        return None
    objective = registry.component("objectives", recipe["objective"])
    if perturbation.kind is Kind.ATTACK:
        method, threat = perturbation.method, perturbation.threat
        return (
            objective.robust
            and threat is not None
            and isinstance(method, Search)
            and method.searches_as_training
            and any(threat.norm is ball.norm and threat.eps <= ball.eps * 1.001 for ball in trained_threats(recipe))
        )
    covered = set(objective.covers)
    for spec in recipe.get("augment", ()):
        if registry.canonical(spec) in registry.names("augmentations"):
            covered |= {registry.canonical(spec), *registry.component("augmentations", spec).covers}
    return {registry.canonical(part) for part in spec_parts(perturbation.spec)} <= covered


def group_means(scores: Sequence[Score]) -> Iterator[Group]:
    """Compute each model's mean accuracy over seen and over unseen perturbations of the same strength.

    Attacks are averaged at one norm and radius, corruptions over the severities that all of them were measured
    at, and neither with the other nor with noise. Corruptions whose options set their strength are left out: their
    strengths cannot be compared.
    """
    for model in dict.fromkeys(score.model for score in scores):
        strengths: dict[tuple[str, str | None, float | None], list[Score]] = {}
        for score in scores:
            if score.model == model and score.seen is not None and not _sets_its_strength(score):
                strengths.setdefault((_kind(score), score.norm, score.eps), []).append(score)
        for (kind, norm, eps), members in strengths.items():
            severities = _common_severities(members)
            for group, seen in (("seen", True), ("unseen", False)):
                accuracies: dict[str, list[float]] = {}
                for score in members:
                    if score.seen is seen and (kind != Kind.CORRUPTION or score.severity in severities):
                        accuracies.setdefault(score.perturbation, []).append(score.accuracy)
                if accuracies:
                    means = [fmean(values) for values in accuracies.values()]
                    yield Group(
                        model=model,
                        data=members[0].data,
                        seed=members[0].seed,
                        group=group,
                        kind=kind,
                        norm=norm,
                        eps=eps,
                        severities=severities,
                        perturbations=tuple(accuracies),
                        accuracy=fmean(means),
                    )


def _sets_its_strength(score: Score) -> bool:
    first = registry.canonical(spec_parts(score.perturbation)[0])
    return score.severity is None and first in registry.names("corruptions")


def _kind(score: Score) -> str:
    if score.severity is not None:
        return Kind.CORRUPTION.value
    # An attack in a ball may come from a file, which no family lists; noises have no ball.
    is_attack = score.norm is not None or registry.canonical(score.perturbation) in registry.names("attacks")
    return Kind.ATTACK.value if is_attack else Kind.NOISE.value


def _common_severities(scores: Sequence[Score]) -> tuple[int, ...]:
    """Return the severities that every corruption was measured at; empty if there are no corruptions."""
    measured: dict[str, set[int]] = {}
    for score in scores:
        if score.severity is not None:
            measured.setdefault(score.perturbation, set()).add(score.severity)
    return tuple(sorted(set.intersection(*measured.values()))) if measured else ()
