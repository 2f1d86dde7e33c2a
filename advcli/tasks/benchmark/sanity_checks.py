"""Gather the evidence for the checks of an evaluation."""

import logging
from collections.abc import Generator, Iterator, Sequence

import numpy as np

from advcli import registry
from advcli.checks import Evidence, Overlap
from advcli.data import images
from advcli.data.decoded import Images
from advcli.data.split import Split, stratified
from advcli.errors import AdvcliError
from advcli.model.black_box import Access
from advcli.records import Checked, Progress, Score
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.benchmark.check_records import check, pixel_hashes
from advcli.tasks.benchmark.load import Prepared
from advcli.tasks.benchmark.models import EvaluatedModel, ImageShape
from advcli.tasks.benchmark.perturbations import Kind
from advcli.tasks.benchmark.plan import CLEAN
from advcli.tasks.benchmark.predictions import Results
from advcli.threat.threat import Threat

log = logging.getLogger(__name__)

# A few images are enough for the checks.
_LOOKED_AT = 32
_BETWEEN_REPORTS = 500


def checks(
    prepared: Prepared, results: Results, scores: Sequence[Score], *, after: bool
) -> Iterator[Checked | Progress]:
    """Check the evaluation of every model, before it is attacked or after."""
    if not prepared.plan.has_clean:
        if not after:
            log.info("there are no clean images: no checks")
        return
    overlaps: dict[ImageShape, Overlap | None] = {}
    for number, model in enumerate(prepared.models):
        yield Progress(f"{model.name}: checking the evaluation", number, len(prepared.models))
        if not after and model.size not in overlaps:
            overlaps[model.size] = yield from training_overlap(prepared.dataset.train, model)
        own = [score for score in scores if score.model == model.name]
        evidence = _gathered(prepared, results, model, own, overlaps.get(model.size))
        access = _given(model)
        if access is None and not after:
            log.info("'%s': checks that query the model are left out", model.name)
        yield from check(evidence, after=after, data=prepared.plan.data, seed=prepared.plan.seed, access=access)


def _given(model: EvaluatedModel) -> Access | None:
    """Return what checks may see of a model; None for a remote one, whose queries cost something."""
    if model.queries is not None:
        return None
    access = model.classifier.access
    # Attacks that are crafted on a surrogate say nothing about the model's gradients.
    return "scores" if access == "gradient" and model.surrogate is not None else access


def training_overlap(train: Split, model: EvaluatedModel) -> Generator[Progress, None, Overlap | None]:
    """Count the evaluated images that are also training images, reading the training images one by one."""
    if len(train) == 0:
        return None
    measured = list(pixel_hashes(model.images))
    hashes = set(measured)
    equal: set[bytes] = set()
    size, channels = model.size
    unreadable = 0
    for index in range(len(train)):
        if index % _BETWEEN_REPORTS == 0:
            yield Progress("comparing with the training images", index, len(train))
        try:
            pixels = images.resize(images.to_channels(train.read(index), channels), size, model.classifier.fitting)
        except (AdvcliError, OSError):
            unreadable += 1
            continue
        equal.update(hashes.intersection(pixel_hashes(Images(pixels[None], np.zeros(1, np.int32)))))
    return Overlap(sum(each in equal for each in measured), len(measured), len(train) - unreadable, unreadable)


def _gathered(
    prepared: Prepared, results: Results, model: EvaluatedModel, scores: Sequence[Score], overlap: Overlap | None
) -> Evidence:
    looked_at = stratified(model.images.labels, _LOOKED_AT, prepared.plan.seed)
    pixels, indices = model.images.at(looked_at)[0], model.labels[looked_at]
    classifier = model.classifier.inference_copy

    def correct_under(spec: str, threat: Threat) -> np.ndarray:
        attack = registry.build("attacks", spec).verdict_only()
        found = CompiledAttack(classifier, attack, threat, prepared.plan.seed).search(pixels, indices)
        return ~threat.is_adversarial_class(found.predicted, indices)

    return Evidence(
        classifier=classifier,
        original=model.classifier,
        pixels=pixels,
        indices=indices,
        labels=model.images.labels,
        outputs=model.labels,
        predicted=results.predicted(model.name, CLEAN)[model.rows],
        classes=len(prepared.dataset.labels),
        clean_accuracy=float(results.correct(model.name, CLEAN)[model.rows].mean()),
        scores=scores,
        correct_under=correct_under,
        attacks=tuple(attack.spec for attack in prepared.plan.of_kind(Kind.ATTACK)),
        overlap=overlap,
    )
