"""Gather what the checks of an evaluation look at."""

import contextlib
from collections.abc import Iterator, Sequence

import numpy as np

from advcli import images, registry
from advcli.checks import Evidence
from advcli.data import Images, Split, stratified
from advcli.errors import AdvcliError
from advcli.records import Checked, Progress, Score
from advcli.tasks.adversary import Adversary
from advcli.tasks.benchmark.check_records import check, pixel_hashes
from advcli.tasks.benchmark.load import Prepared
from advcli.tasks.benchmark.models import Measured
from advcli.tasks.benchmark.perturbations import verdict_only
from advcli.tasks.benchmark.plan import CLEAN
from advcli.tasks.benchmark.predictions import Results
from advcli.threat import Threat

# A few images show what is wrong with a model.
_LOOKED_AT = 32
# Reading more of them would take longer than many an evaluation.
_TRAINING_IMAGES = 20_000


def checks(
    prepared: Prepared, results: Results, scores: Sequence[Score], *, after: bool
) -> Iterator[Checked | Progress]:
    """Check the evaluation of every model, before it is attacked or after."""
    hashes: dict[tuple[int, int], frozenset[bytes]] = {}
    for number, model in enumerate(prepared.models):
        yield Progress(f"{model.name}: checking the evaluation", number, len(prepared.models))
        if not after and model.size not in hashes:
            hashes[model.size] = _training_hashes(prepared.dataset.train, model, prepared.request.seed)
        own = [score for score in scores if score.model == model.name]
        evidence = _gathered(prepared, results, model, own, hashes.get(model.size, frozenset()))
        yield from check(evidence, after=after, data=prepared.plan.data, seed=prepared.plan.seed)


def _gathered(
    prepared: Prepared, results: Results, model: Measured, scores: Sequence[Score], train: frozenset[bytes]
) -> Evidence:
    looked_at = stratified(model.images.labels, _LOOKED_AT, prepared.plan.seed)
    pixels, indices = model.images.at(looked_at)[0], model.labels[looked_at]
    classifier = model.classifier.frozen

    def right_under(spec: str, threat: Threat) -> np.ndarray:
        attack = verdict_only(registry.build("attacks", spec))
        adversarial, _ = Adversary(classifier, attack, threat, prepared.plan.seed)(pixels, indices)  # type: ignore[arg-type]
        return classifier.predict(adversarial).argmax(axis=1) == indices

    return Evidence(
        classifier=classifier,
        pixels=pixels,
        indices=indices,
        labels=model.images.labels,
        classes=len(prepared.dataset.labels),
        clean_accuracy=float(results.right(model.name, CLEAN)[model.rows].mean()),
        scores=scores,
        right_under=right_under,
        test_hashes=list(pixel_hashes(model.images)) if train else [],
        train_hashes=train,
    )


def _training_hashes(train: Split, model: Measured, seed: int) -> frozenset[bytes]:
    """Hash the images to train on, or a sample of them if there are very many."""
    if len(train) == 0:
        return frozenset()
    sample = train.sample(_TRAINING_IMAGES, None, seed)
    edge, channels = model.size
    found: set[bytes] = set()
    for index in range(len(sample)):
        # What cannot be read here is no image of the evaluation, and no duplicate of one.
        with contextlib.suppress(AdvcliError, OSError):
            pixels = images.resize(images.to_channels(sample.read(index), channels), edge)
            found.update(pixel_hashes(Images(pixels[None], np.zeros(1, np.int32))))
    return frozenset(found)
