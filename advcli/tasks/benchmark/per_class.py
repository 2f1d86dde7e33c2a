"""Accuracy by class, the most frequent confusions, and the transfer of attacks."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from advcli.model.classifier import UNDEFINED
from advcli.records import ClassScore, Confused, Transferred
from advcli.records.base import Fields, Json
from advcli.report.confusion import MOST_CLASSES, Confusion
from advcli.tasks.benchmark.intervals import counted
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan, Subject, above_zero
from advcli.tasks.benchmark.predictions import UNKNOWN, Results
from advcli.tasks.benchmark.scores import correct_under

_CONFUSIONS = 5


def by_class(plan: Plan, results: Results) -> Iterator[ClassScore]:
    """Score each class of the data, clean and in the worst case."""
    for subject in plan.subjects:
        labels = results.labels(subject.name)[plan.rows]
        for measured in (*plan.unattacked, *above_zero(plan.combined)):
            correct = correct_under(results, subject.name, measured)[plan.rows]
            for index in np.unique(labels):
                own = correct[labels == index]
                yield ClassScore(
                    **_common(plan, subject),
                    **measured.place,
                    label=subject.labels[index],
                    **counted(own),
                )


def confusions(plan: Plan, results: Results) -> Iterator[Confused]:
    """Count the most frequent confusions of one class with another, clean and under every attack."""
    for subject in plan.subjects:
        labels = results.labels(subject.name)[plan.rows]
        for measured in (*plan.unattacked, *above_zero(plan.of_kind(Kind.ATTACK))):
            predicted = results.predicted(subject.name, measured)[plan.rows]
            if measured.kind is Kind.ATTACK:
                # Images that are wrong when clean are not attacked.
                clean = results.predicted(subject.name, CLEAN)[plan.rows]
                predicted = np.where(predicted == UNKNOWN, clean, predicted)
            # NaN is no class.
            wrong = (predicted != labels) & (predicted != UNDEFINED)
            pairs = Counter(zip(labels[wrong].tolist(), predicted[wrong].tolist(), strict=True))
            for (label, taken_for), count in sorted(pairs.items(), key=lambda item: (-item[1], item[0]))[:_CONFUSIONS]:
                yield Confused(
                    **_common(plan, subject),
                    **measured.place,
                    label=subject.labels[label],
                    taken_for=subject.labels[taken_for],
                    images=count,
                )


def confusion_tables(plan: Plan, results: Results) -> Iterator[Confusion]:
    """Count the predictions for each class, clean and in the worst case at the largest radius of each norm.

    In the worst case an image counts under the first attack that fooled the model. There are no tables of many classes.
    """
    largest = {worst.place["norm"]: worst for worst in above_zero(plan.worsts)}
    for worst in above_zero(plan.worsts):
        if (worst.place["eps"] or 0) > (largest[worst.place["norm"]].place["eps"] or 0):
            largest[worst.place["norm"]] = worst
    for subject in plan.subjects:
        labels = results.labels(subject.name)[plan.rows]
        if len(np.unique(labels)) > MOST_CLASSES:
            continue
        for unattacked in plan.unattacked:
            predicted = results.predicted(subject.name, unattacked)[plan.rows]
            yield _confusion(subject, unattacked.place, labels, predicted)
        for worst in largest.values() if plan.has_clean else ():
            predicted = results.predicted(subject.name, CLEAN)[plan.rows].copy()
            for attack in worst.attacks:
                fooled = (predicted == labels) & results.fooled(subject.name, CLEAN, attack)[plan.rows]
                predicted[fooled] = results.predicted(subject.name, attack)[plan.rows][fooled]
            yield _confusion(subject, worst.place, labels, predicted)


def _confusion(subject: Subject, place: dict[str, Json], labels: np.ndarray, predicted: np.ndarray) -> Confusion:
    classes = np.unique(labels)
    columns = np.searchsorted(classes, predicted).clip(max=len(classes) - 1)
    # A model may have classes that the data lacks, or return no class.
    columns[classes[columns] != predicted] = len(classes)
    counts = np.zeros((len(classes), len(classes) + 1), dtype=np.int64)
    np.add.at(counts, (np.searchsorted(classes, labels), columns), 1)
    names = [subject.labels[index] for index in classes]
    others = counts[:, -1].any()
    shown = counts if others else counts[:, :-1]
    return Confusion(subject.name, place, names, [*names, "(other)"] if others else names, shown.tolist())


def transferred(
    plan: Plan, results: Results, perturbation: Perturbation, crafted_on: Subject, scored_on: Subject
) -> Transferred:
    """Score a model on the images that were perturbed against another, or against itself."""
    correct = results.correct(scored_on.name, CLEAN, perturbation, crafted_on.name)[plan.rows]
    return Transferred(**_common(plan, scored_on), **perturbation.place, crafted_on=crafted_on.name, **counted(correct))


def transfer_matrix(plan: Plan, results: Results) -> Iterator[Transferred]:
    """Score every model on the images crafted on each model, in the order of the evaluation."""
    for perturbation in plan.of_kind(Kind.TRANSFER):
        for crafted_on in plan.subjects:
            for scored_on in plan.subjects:
                yield transferred(plan, results, perturbation, crafted_on, scored_on)


def _common(plan: Plan, subject: Subject) -> Fields:
    return {"model": subject.name, "data": plan.data, "seed": plan.seed}
