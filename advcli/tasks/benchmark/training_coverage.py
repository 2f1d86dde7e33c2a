"""Which perturbations a model was trained with, as far as its recipe says."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from advcli import registry
from advcli.attacks import is_bounded
from advcli.records import Group, Score
from advcli.tasks.benchmark.perturbations import Kind, Perturbation

# What an augmentation does to training images is what these do to test images.
_LIKE = {
    "gaussian": ("gaussian", "gaussian_noise"),
    "poisson": ("poisson", "shot_noise"),
    "salt-pepper": ("salt-pepper", "impulse_noise"),
    "jitter": ("brightness", "contrast", "saturate"),
}
# Attacks that look elsewhere than training did: along other roads, or for something else than a perturbed image.
_OTHER_KINDS = ("score", "decision", "random", "geometry", "pattern")


def was_seen(recipe: Mapping[str, Any], perturbation: Perturbation) -> bool | None:
    """Tell whether a model was trained with a perturbation; None if that is not known, or is no question."""
    if not recipe or perturbation.kind in (Kind.CLEAN, Kind.TRANSFER) or perturbation.place["eps"] == 0:
        return None
    objective = registry.canonical(recipe["objective"])
    if perturbation.kind is Kind.ATTACK:
        threat = perturbation.threat
        return (
            getattr(registry.component("objectives", objective), "robust", False)
            and threat is not None
            and is_bounded(perturbation.method)  # type: ignore[arg-type]
            and registry.component("attacks", perturbation.spec).kind not in _OTHER_KINDS
            and str(threat.norm) == recipe["norm"]
            and threat.eps <= float(recipe["eps"]) * 1.001
        )
    trained_with = [registry.canonical(spec) for spec in recipe.get("augment", ())]
    if objective == "gaussian":
        trained_with.append("gaussian")
    known = {name for augmentation in trained_with for name in _LIKE.get(augmentation, ())}
    return perturbation.spec.partition(":")[0].strip() in known


def groups(scores: Sequence[Score]) -> Iterator[Group]:
    """Average what each model was trained with, and what it was not: a corruption counts once, not five times."""
    for model in dict.fromkeys(score.model for score in scores):
        for group, seen in (("seen", True), ("unseen", False)):
            accuracies: dict[str, list[float]] = {}
            for score in scores:
                if score.model == model and score.seen is seen:
                    accuracies.setdefault(score.perturbation, []).append(score.accuracy)
            if accuracies:
                means = [sum(values) / len(values) for values in accuracies.values()]
                first = next(score for score in scores if score.model == model)
                yield Group(
                    model=model,
                    data=first.data,
                    seed=first.seed,
                    group=group,
                    perturbations=tuple(accuracies),
                    accuracy=sum(means) / len(means),
                )
