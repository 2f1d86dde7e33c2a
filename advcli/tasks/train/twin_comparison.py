"""Comparison of the base model and the trained model on test images."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from advcli import registry
from advcli.augmentations import noise_augmentations
from advcli.data.class_names import class_named
from advcli.data.dataset import Dataset
from advcli.data.decoded import decode
from advcli.errors import UsageError, nearest
from advcli.model.load import load
from advcli.model.own_content import labels_of
from advcli.records import Progress, Score
from advcli.tasks.benchmark.perturbations import noise_on_all
from advcli.tasks.benchmark.quick_score import quick_scores
from advcli.threat.threat import Norm, Threat

# The protocol of the comparison.
ATTACKS = ("fgsm", "pgd:steps=20")

# PGD on more images may take longer than training.
_MOST = 500

# The radii at which photos are compared, whichever of them the run was trained with.
_OF_PHOTOS = (2 / 255, 4 / 255, 8 / 255)


def refuse_incomparable(run: Path, dataset: Dataset) -> None:
    """Refuse a comparison with a run that lacks a class of the data, before training.

    Raises:
        UsageError: the run lacks a class.
    """
    labels = labels_of(run / "model.keras")
    for label in dataset.labels:
        if labels and class_named(labels, label) is None:
            raise UsageError(
                f"'{run}' cannot be compared: it has no class '{label}' of '{dataset.name}'",
                nearest(label, labels),
            )


def radii_to_compare(threats: Sequence[Threat], own: Threat | None) -> list[Threat]:
    """List the balls of the comparison: those of the command, those usual for photos, and that of the objective itself.

    Args:
        threats: the balls of the command, each in another norm.
        own: the ball of the perturbations that the objective trained on, if it is another.
    """
    small = any(ball.norm is Norm.LINF and ball.eps <= max(_OF_PHOTOS) for ball in threats)
    usual = [Threat(Norm.LINF, eps) for eps in _OF_PHOTOS] if small else []
    balls: list[Threat] = [*usual, *threats, *([] if own is None else [own])]
    return sorted(set(balls), key=lambda ball: (ball.norm, ball.eps))


def compare(
    runs: Sequence[Path], dataset: Dataset, threats: Sequence[Threat], seed: int, *, unsafe: bool = False
) -> Iterator[Score | Progress]:
    """Score the models of several runs: clean, with each kind of noise, and under FGSM and PGD at several radii.

    Args:
        runs: the run folders.
        dataset: whose test images are used, a stratified sample of 500 at most.
        threats: the balls.
        seed: for noise and attacks.
        unsafe: whether Python code inside a model file may run.
    """
    attacks = {spec: registry.build("attacks", spec) for spec in ATTACKS}
    noises = {name: noise_on_all(name) for name in noise_augmentations()}
    test = dataset.test.sample(_MOST, None, seed)
    for run in runs:
        classifier = load(run / "model.keras", run.resolve().name, unsafe=unsafe)
        images = decode(test, classifier.image_size, classifier.channels)
        yield from quick_scores(classifier, dataset, images, attacks, threats, noises=noises, seed=seed)
