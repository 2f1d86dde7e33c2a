"""The table that training for robustness is for: a base model beside the new one, on images of neither's training."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from advcli import registry
from advcli.data.class_names import class_named
from advcli.data.dataset import Dataset, decode
from advcli.errors import UsageError, nearest
from advcli.model.classifier import labels_of, load
from advcli.records import Progress, Score
from advcli.tasks.benchmark.perturbations import noise_on_all
from advcli.tasks.benchmark.quick_score import quick_scores
from advcli.threat.threat import Threat

NOISES = ("gaussian", "poisson", "salt-pepper")
ATTACKS = ("fgsm", "pgd:steps=20")

# PGD on more than these takes longer than many a training.
_MOST = 500


def refuse_incomparable(run: Path, dataset: Dataset) -> None:
    """Refuse, before anything is trained, to compare with a run that does not know the classes.

    Raises:
        UsageError: one of the data's classes is none of the run's.
    """
    labels = labels_of(run / "model.keras")
    for label in dataset.labels:
        if labels and class_named(labels, label) is None:
            raise UsageError(
                f"'{run}' cannot be compared with: it has no class '{label}' of '{dataset.name}'",
                nearest(label, labels),
            )


def compare(runs: Sequence[Path], dataset: Dataset, threat: Threat, seed: int) -> Iterator[Score | Progress]:
    """Score the models of several runs: clean, with three kinds of noise, and under FGSM and PGD.

    Args:
        runs: their folders.
        dataset: whose test images are used, a stratified sample of 500 at most.
        threat: the ball.
        seed: for noise and attacks.
    """
    built = {spec: registry.build("attacks", spec) for spec in ATTACKS}
    attacks = {spec: attack for spec, attack in built.items() if threat.norm in attack.searchable_norms}
    noises = {spec: noise_on_all(spec) for spec in NOISES}
    test = dataset.test.sample(_MOST, None, seed)
    for run in runs:
        classifier = load(run / "model.keras", run.resolve().name)
        images = decode(test, classifier.edge, classifier.channels)
        yield from quick_scores(classifier, dataset, images, attacks, threat, noises=noises, seed=seed)
