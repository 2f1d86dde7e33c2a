"""Score one classifier, for other tasks."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from advcli.attacks import Attack, Suite, Universal
from advcli.augmentations import Augmentation
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images
from advcli.model.classifier import Classifier
from advcli.records import Progress, Score
from advcli.tasks.benchmark.measure import evaluate_attacks, evaluate_shared
from advcli.tasks.benchmark.models import measured
from advcli.tasks.benchmark.perturbations import Kind, Perturbation, attacks_under
from advcli.tasks.benchmark.plan import CLEAN, Plan
from advcli.tasks.benchmark.predictions import Results
from advcli.threat.threat import Threat


def quick_scores(
    classifier: Classifier,
    dataset: Dataset,
    images: Images,
    attacks: Mapping[str, Attack | Suite | Universal],
    threats: Sequence[Threat],
    *,
    noises: Mapping[str, Augmentation] = MappingProxyType({}),
    batch: int = 64,
    seed: int = 0,
) -> Iterator[Score | Progress]:
    """Score one classifier on images at its own size: clean, with noise, under each attack, and in the worst case.

    Args:
        classifier: the model.
        dataset: the data set of the images.
        images: the images, decoded at the classifier's size.
        attacks: spec -> attack.
        threats: the balls of every attack that searches their norm.
        noises: spec -> augmentation that adds random noise to all images.
        batch: the batch size.
        seed: of the attacks' random numbers.
    """
    (model,) = measured([classifier], dataset, [images], np.arange(len(images)))
    what = (
        CLEAN,
        *(Perturbation(spec, Kind.NOISE, noise) for spec, noise in noises.items()),
        *(one for threat in threats for one in attacks_under(_of_norm(attacks, threat), [threat])),
    )
    plan = Plan(dataset.name, dataset.labels, seed, len(images), model.rows, (model.subject,), what)
    results = Results(len(images))
    yield from evaluate_shared(plan, [model], results, lambda record: None, batch)
    yield from evaluate_attacks(plan, [model], results, lambda record: None, batch)


def _of_norm(
    attacks: Mapping[str, Attack | Suite | Universal], threat: Threat
) -> Mapping[str, Attack | Suite | Universal]:
    return {spec: attack for spec, attack in attacks.items() if threat.norm in attack.searchable_norms}
