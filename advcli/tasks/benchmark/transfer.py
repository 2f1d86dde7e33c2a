"""Classify the images crafted on each model with every model."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from advcli.model.classifier import Classifier
from advcli.records import Progress, Transferred
from advcli.tasks.benchmark.measure import Keep, add
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.per_class import transferred
from advcli.tasks.benchmark.perturb import searched
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import Plan
from advcli.tasks.benchmark.predictions import UNKNOWN, Results
from advcli.tasks.benchmark.repeats import first_wrong
from advcli.threat.spelling import spell_perturbation


def evaluate_transfers(
    plan: Plan, models: Sequence[EvaluatedModel], results: Results, keep: Keep, batch: int
) -> Iterator[Transferred | Progress]:
    """Classify the images crafted on each model with every model."""
    for perturbation in plan.of_kind(Kind.TRANSFER):
        for model in models:
            yield from _transferred(plan, model, models, perturbation, results, keep, batch)


def _transferred(
    plan: Plan,
    crafted_on: EvaluatedModel,
    models: Sequence[EvaluatedModel],
    attack: Perturbation,
    results: Results,
    keep: Keep,
    batch: int,
) -> Iterator[Progress | Transferred]:
    """Attack all images on one model without early stopping, and classify them with every model."""
    others = [model for model in models if model.size[1] == crafted_on.size[1]]
    # The images are cut out already: another model's size is reached by scaling alone.
    scorers = {model.name: _scaling(model.classifier) for model in others}
    search = None
    for done, places in enumerate(crafted_on.parts(crafted_on.rows, batch)):
        rows = crafted_on.rows[places]
        if all(_known(results, model.name, attack, crafted_on.name, rows) for model in others):
            continue
        yield Progress(
            f"{spell_perturbation(**attack.place)} crafted on {crafted_on.name}", done * batch, len(crafted_on.rows)
        )
        if search is None:
            search = yield from searched(crafted_on, attack, rows, batch, plan.seed)
        start = time.perf_counter()
        pixels = search(crafted_on.images.at(places)[0], crafted_on.labels[places]).points
        making = time.perf_counter() - start
        for model in others:
            if _known(results, model.name, attack, crafted_on.name, rows):
                continue
            start = time.perf_counter()
            own = results.labels(model.name)[rows]
            scores = first_wrong(model, scorers[model.name].answers, pixels, own, plan.repeats)
            seconds = time.perf_counter() - start + making / len(others)
            labels = model.labels[places]
            add(plan, model, attack, rows, labels, scores, results, keep, seconds, crafted_on=crafted_on.name)
    for model in others:
        yield transferred(plan, results, attack, crafted_on.subject, model.subject)


def _known(results: Results, model: str, attack: Perturbation, crafted_on: str, rows: np.ndarray) -> bool:
    return bool((results.predicted(model, attack, crafted_on)[rows] != UNKNOWN).all())


def _scaling(classifier: Classifier) -> Classifier:
    return classifier if classifier.fitting == "squash" else replace(classifier, fitting="squash")
