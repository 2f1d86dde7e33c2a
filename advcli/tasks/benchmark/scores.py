"""The scores of each model, from its predictions."""

from collections.abc import Iterator

import numpy as np

from advcli.attacks import Suite
from advcli.records import Score
from advcli.tasks.benchmark.intervals import counted
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan, Subject, Worst
from advcli.tasks.benchmark.predictions import UNKNOWN, Results
from advcli.tasks.benchmark.training_coverage import was_seen
from advcli.threat.spelling import spell_perturbation, spell_spec


def scores(plan: Plan, results: Results) -> Iterator[Score]:
    """Score every model under every perturbation, in the order of the evaluation."""
    for perturbation in plan.shared:
        for subject in plan.subjects:
            yield score_model(plan, results, subject, perturbation)
    for subject, searched in plan.searched():
        yield score_model(plan, results, subject, searched)


def score_model(plan: Plan, results: Results, subject: Subject, measured: Perturbation | Worst) -> Score:
    """Score one model under one perturbation, or in the worst case of several."""
    correct = correct_under(results, subject.name, measured)[plan.rows]
    clean = results.correct(subject.name, CLEAN)[plan.rows] if plan.has_clean else None
    if isinstance(measured, Worst):
        members = [spell_spec(attack.spec) for attack in measured.attacks]
        if measured is plan.any_norm:
            members = [spell_perturbation(**attack.place) for attack in measured.attacks]
        protocol = "correct under every one of: " + ", ".join(members)
        seconds = sum(results.seconds(subject.name, attack) for attack in measured.attacks)
    else:
        protocol = measured.protocol(len(subject.labels))
        seconds = results.seconds(subject.name, measured)
    if plan.repeats > 1:
        protocol += f"; correct in all of {plan.repeats} predictions"
    known = _searched(results, subject.name, measured)[plan.rows]
    return Score(
        model=subject.name,
        data=plan.data,
        seed=plan.seed,
        **measured.place,
        protocol=protocol,
        **counted(correct),
        accuracy_of_clean_correct=None if clean is None else float(correct[clean].mean()) if clean.any() else 0.0,
        searched=None if known.all() else int(known.sum()),
        not_a_number=_undefined(results, subject.name, measured, plan.rows),
        seen=None if isinstance(measured, Worst) else was_seen(subject.recipe, measured),
        class_order=subject.class_order,
        classes_only=subject.classes_only,
        repeats=plan.repeats,
        queries=_queries(results, subject.name, measured),
        surrogate=None if isinstance(measured, Worst) else measured.surrogate,
        fooled_by=None if isinstance(measured, Worst) else _fooled_by(plan, results, subject.name, measured),
        seconds=seconds,
    )


def correct_under(results: Results, model: str, measured: Perturbation | Worst) -> np.ndarray:
    """Return which images a model predicts correctly under a perturbation, or in the worst case: -> (N,) bool."""
    if isinstance(measured, Worst):
        return np.logical_and.reduce([results.correct(model, CLEAN, attack) for attack in measured.attacks])
    return results.correct(model, CLEAN, measured)


def _undefined(results: Results, model: str, measured: Perturbation | Worst, rows: np.ndarray) -> int:
    members = measured.attacks if isinstance(measured, Worst) else [measured]
    return sum(results.undefined(model, member, rows) for member in members)


def _queries(results: Results, model: str, measured: Perturbation | Worst) -> int | None:
    members = measured.attacks if isinstance(measured, Worst) else [measured]
    counts = [results.queries(model, member) for member in members]
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _fooled_by(plan: Plan, results: Results, model: str, attack: Perturbation) -> dict[str, int] | None:
    """Count the images that each member of a suite fooled; None for other attacks, and for older results."""
    if not isinstance(attack.method, Suite):
        return None
    fooled = results.fooled(model, CLEAN, attack)[plan.rows]
    numbers = results.members(model, attack)[plan.rows][fooled]
    if (numbers == UNKNOWN).any():
        return None
    counts = dict.fromkeys(attack.members, 0)
    for number, member in enumerate(attack.members):
        counts[member] += int((numbers == number).sum())
    return counts


def _searched(results: Results, model: str, measured: Perturbation | Worst) -> np.ndarray:
    """Return which images are attacked completely: -> (N,) bool."""
    if isinstance(measured, Worst):
        every = np.logical_and.reduce([_searched(results, model, attack) for attack in measured.attacks])
        return every | ~correct_under(results, model, measured)
    if measured.kind is not Kind.ATTACK:
        return np.ones(results.images, dtype=bool)
    return (results.predicted(model, measured) != UNKNOWN) | ~results.correct(model, CLEAN)
