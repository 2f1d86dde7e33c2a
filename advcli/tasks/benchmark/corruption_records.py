"""The corruption errors of each model, from its scores."""

import logging
from collections.abc import Iterator, Sequence

from advcli.records import CorruptionError, Score
from advcli.tasks.benchmark.corruption_error import Reference, alexnet_for, corruption_error, mean_errors
from advcli.tasks.benchmark.plan import CLEAN, Plan

log = logging.getLogger(__name__)

# The image size and the number of classes that AlexNet was measured with.
_EDGE, _CLASSES = 224, 1000


def corruption_errors(plan: Plan, scores: Sequence[Score], relative_to: str | None) -> Iterator[CorruptionError]:
    """Compute the corruption errors of every model, relative to one of them, and to AlexNet where its errors apply.

    Args:
        plan: what was measured.
        scores: of all models.
        relative_to: the model that the others are relative to; None means the first of several.
    """
    errors = {subject.name: _errors(scores, subject.name) for subject in plan.subjects}
    if not any(errors.values()):
        return
    if len({tuple(sorted(severities)) for own in errors.values() for severities in own.values()}) > 1:
        log.warning("the corruptions have different severities: no mean corruption error is defined")
        return
    clean = {score.model: 1 - score.accuracy for score in scores if score.perturbation == CLEAN.spec}
    if relative_to is None and len(plan.subjects) > 1:
        relative_to = plan.subjects[0].name
    other = None
    if relative_to is not None:
        other = Reference(relative_to, mean_errors(errors[relative_to]), clean.get(relative_to))
    severities = tuple(sorted({score.severity for score in scores if score.severity}))
    for subject in plan.subjects:
        own = errors[subject.name]
        published = alexnet_for(own, subject.image_size == (_EDGE, _EDGE) and len(plan.classes) == _CLASSES)
        for reference in (other, published) if published else (other,):
            found = corruption_error(own, clean.get(subject.name), reference)
            yield CorruptionError(
                model=subject.name,
                data=plan.data,
                seed=plan.seed,
                severities=severities,
                errors=found.errors,
                mean=found.mean,
                relative_to=found.relative_to,
                relative=found.relative,
                relative_to_clean=found.relative_to_clean,
            )


def _errors(scores: Sequence[Score], model: str) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for score in scores:
        if score.model == model and score.severity is not None:
            found.setdefault(score.perturbation, {})[score.severity] = 1 - score.accuracy
    return found
