"""Measure the missing predictions batch by batch, and compute the scores."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from advcli.model.classifier import predicted_classes
from advcli.records import Progress, Score, Verdicts
from advcli.search.compiled_attack import SearchResult
from advcli.tasks.benchmark.believed import believed
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.numbering import refuse_other_order
from advcli.tasks.benchmark.perturb import changed, searched, unsearched
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan, Worst
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.repeats import first_wrong
from advcli.tasks.benchmark.scores import score_model
from advcli.threat.spelling import spell_perturbation

Keep = Callable[[Verdicts], None]
# Writes the adversarial images of a batch: the model, the attack, the images' indices among the model's, their classes.
Store = Callable[[EvaluatedModel, Perturbation, np.ndarray, np.ndarray, SearchResult], None]


def evaluate_shared(
    plan: Plan, models: Sequence[EvaluatedModel], results: Results, keep: Keep, batch: int
) -> Iterator[Score | Progress]:
    """Measure every model on clean, noisy and corrupted images.

    These perturbations do not depend on the model, so each is computed once for all models of one image size.

    Args:
        plan: what is measured.
        models: the models of the plan.
        results: the predictions so far; new ones are added.
        keep: writes a finished batch.
        batch: the batch size.

    Raises:
        AdvcliError: clean images show that the classes of a model without class names are numbered in another order.
    """
    for perturbation in plan.shared:
        for size in dict.fromkeys(model.size for model in models):
            same = [model for model in models if model.size == size]
            yield from classify_shared(plan, same, perturbation, results, keep, batch)
        if perturbation is plan.perturbations[0]:
            refuse_other_order(models, results, perturbation)
        for subject in plan.subjects:
            yield score_model(plan, results, subject, perturbation)


def evaluate_attacks(
    plan: Plan,
    models: Sequence[EvaluatedModel],
    results: Results,
    keep: Keep,
    batch: int,
    *,
    search: bool = True,
    store: Store | None = None,
) -> Iterator[Score | Progress]:
    """Measure every model under every attack.

    Only images that are correct without any perturbation are attacked: the others count as wrong.

    Args:
        plan: what is measured.
        models: the models of the plan.
        results: the predictions so far; new ones are added.
        keep: writes a finished batch.
        batch: the batch size.
        search: whether to run the missing attacks.
        store: writes the adversarial images of a batch, if they are kept.
    """
    of_name = {model.name: model for model in models}
    for subject, attack in plan.searched():
        if search and not isinstance(attack, Worst):
            yield from _attacked(plan, of_name[subject.name], attack, results, keep, batch, store)
        yield score_model(plan, results, subject, attack)


def classify_shared(
    plan: Plan, models: Sequence[EvaluatedModel], perturbation: Perturbation, results: Results, keep: Keep, batch: int
) -> Iterator[Progress]:
    """Classify the same perturbed images with all models of one image size, where that is missing."""
    first = models[0]
    change = None if perturbation.kind is Kind.GIVEN else changed(perturbation, plan.seed)
    # Labels and columns are recorded once.
    is_first = perturbation is plan.perturbations[0]
    for done, places in enumerate(first.parts(first.rows, batch)):
        rows = first.rows[places]
        asked = [model for model in models if len(results.missing(model.name, perturbation, rows))]
        if not asked:
            continue
        start = time.perf_counter()
        if change is None:
            pixels = first.given_pixels(perturbation.spec, perturbation.severity or 0, rows)
        else:
            pixels = change(first.images.at(places)[0])
        making = time.perf_counter() - start
        for model in asked:
            yield Progress(f"{model.name}: {spell_perturbation(**perturbation.place)}", done * batch, len(first.rows))
            start = time.perf_counter()
            ask = model.classifier.predict if perturbation is CLEAN else model.classifier.answers
            labels = model.labels[places]
            scores = first_wrong(model, ask, pixels, labels, plan.repeats)
            seconds = time.perf_counter() - start + making / len(asked)
            columns = {name: values[places] for name, values in model.columns.items()} if is_first else None
            add(plan, model, perturbation, rows, labels, scores, results, keep, seconds, columns=columns)


def _attacked(
    plan: Plan,
    model: EvaluatedModel,
    attack: Perturbation,
    results: Results,
    keep: Keep,
    batch: int,
    store: Store | None,
) -> Iterator[Progress]:
    """Attack the images that are correct when clean and not attacked yet."""
    correct = results.correct(model.name, CLEAN)
    rows = model.rows[correct[model.rows]]
    if len(results.missing(model.name, attack, rows)) == 0:
        return
    start = time.perf_counter()
    search = None
    # At radius 0 there is nothing to search.
    if attack.place["eps"] != 0:
        search = yield from searched(model, attack, rows, batch, plan.seed)
    for done, places in enumerate(model.parts(rows, batch)):
        own = model.rows[places]
        if len(results.missing(model.name, attack, own)):
            yield Progress(f"{model.name}: {spell_perturbation(**attack.place)}", done * batch, len(rows))
            pixels = model.images.at(places)[0]
            labels = model.labels[places]
            found = search(pixels, labels) if search is not None else unsearched(model, pixels)
            found = decided(plan, model, found, labels)
            seconds = time.perf_counter() - start
            if store is not None:
                store(model, attack, places, labels, found)
            add(plan, model, attack, own, labels, found.scores, results, keep, seconds, members=found.members)
        start = time.perf_counter()


def decided(plan: Plan, model: EvaluatedModel, found: SearchResult, labels: np.ndarray) -> SearchResult:
    """Return the result with the scores that decide about each adversarial image; several predictions are made anew."""
    if plan.repeats == 1:
        return found
    return found._replace(scores=first_wrong(model, model.classifier.answers, found.points, labels, plan.repeats))


def add(
    plan: Plan,
    model: EvaluatedModel,
    perturbation: Perturbation,
    rows: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray,
    results: Results,
    keep: Keep,
    seconds: float,
    *,
    columns: Mapping[str, np.ndarray] | None = None,
    crafted_on: str | None = None,
    members: np.ndarray | None = None,
) -> None:
    """Save a finished batch, then add it to the results.

    Args:
        plan: what is measured.
        model: the model.
        perturbation: how the images are perturbed.
        rows: (N,) the indices of the images.
        labels: (N,) their true classes.
        scores: (N, K) the model's own score of each class.
        results: the predictions so far.
        keep: writes the batch.
        seconds: the time that it took.
        columns: for the first perturbation: what the data says of each image, recorded with the true classes.
        crafted_on: the model that the images were perturbed against, in a transfer evaluation.
        members: for a suite: (N,) the index of the member that fooled each image.
    """
    verdicts = Verdicts(
        model=model.name,
        data=plan.data,
        seed=plan.seed,
        **perturbation.place,
        indices=tuple(rows.tolist()),
        predicted=tuple(predicted_classes(scores).tolist()),
        labels=() if columns is None else tuple(labels.tolist()),
        columns={name: tuple(values.tolist()) for name, values in (columns or {}).items()},
        crafted_on=crafted_on,
        members=() if members is None else tuple(members.tolist()),
        queries=model.queries,
        **believed(model.classifier, scores, labels),
        seconds=seconds,
    )
    keep(verdicts)
    results.add(verdicts)
    model.end_batch()
