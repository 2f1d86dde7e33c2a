"""Perturb a batch of images and classify it."""

from collections.abc import Callable, Generator
from functools import partial

import numpy as np

from advcli.attacks import Attack, Suite, Universal
from advcli.augmentations import Augmentation
from advcli.backend import Tensor, tf
from advcli.corruptions import corrupted
from advcli.records import Progress
from advcli.search.compiled_attack import CompiledAttack, SearchResult
from advcli.search.universal import AppliedPattern, craft
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.threat.rng import ImageRng, image_seeds

# (N, H, W, C) in [0, 1] -> (N, H, W, C) in [0, 1].
Changed = Callable[[np.ndarray], np.ndarray]
# Images and their classes -> the result of the attack.
Searched = Callable[[np.ndarray, np.ndarray], SearchResult]


def changed(perturbation: Perturbation, seed: int) -> Changed:
    """Return the function that perturbs images independently of the model."""
    if perturbation.kind is Kind.CLEAN:
        return lambda pixels: pixels
    if perturbation.kind is Kind.CORRUPTION:
        return partial(_corrupted, perturbation.spec, perturbation.severity, seed)
    if not isinstance(perturbation.method, Augmentation):
        raise TypeError(f"'{perturbation.spec}' depends on the model")
    traced = tf.function(partial(_noisy, perturbation.method), reduce_retracing=True)
    return lambda pixels: traced(tf.constant(pixels), tf.constant(image_seeds(pixels, seed))).numpy()


def searched(
    measured: EvaluatedModel, perturbation: Perturbation, rows: np.ndarray, batch: int, seed: int
) -> Generator[Progress, None, Searched]:
    """Return the function that attacks a model's images; a universal perturbation is crafted first.

    Args:
        measured: the model, and its images.
        perturbation: the attack.
        rows: the images a universal perturbation is crafted over: those it is measured on, as the adversary knows them.
        batch: the batch size.
        seed: of all random numbers.
    """
    if perturbation.threat is None:
        raise TypeError(f"'{perturbation.spec}' is no attack")
    attack, threat, surrogate = perturbation.method, perturbation.threat, measured.surrogate
    classifier = measured.classifier.inference_copy if surrogate is None else surrogate.classifier.inference_copy
    indices = np.arange(len(measured.classifier.labels)) if surrogate is None else surrogate.indices
    if isinstance(attack, Universal):
        parts = list(measured.parts(rows, batch))

        def batches() -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
            for part in parts:
                yield np.asarray(classifier.fit(measured.images.at(part)[0])), indices[measured.labels[part]]

        pattern = yield from craft(classifier, attack, threat, batches, seed)
        applied = AppliedPattern(attack, threat, pattern, seed)

        def apply(pixels: np.ndarray, labels: np.ndarray) -> SearchResult:
            points, queries = applied(pixels, labels)
            return SearchResult(points, queries, measured.classifier.answers(points))

        return apply
    if not isinstance(attack, (Attack, Suite)):
        raise TypeError(f"'{perturbation.spec}' is no attack")
    search = CompiledAttack(classifier, attack, threat, seed).search
    if surrogate is None:
        return search

    def elsewhere(pixels: np.ndarray, labels: np.ndarray) -> SearchResult:
        points = search(pixels, indices[labels]).points
        return SearchResult(points, np.zeros(len(points), np.int32), measured.classifier.answers(points))

    return elsewhere


def unsearched(measured: EvaluatedModel, pixels: np.ndarray) -> SearchResult:
    """Classify unperturbed images."""
    return SearchResult(pixels, np.zeros(len(pixels), np.int32), measured.classifier.answers(pixels))


def _corrupted(name: str, severity: int | None, seed: int, pixels: np.ndarray) -> np.ndarray:
    return corrupted(name, pixels, severity, seed)


def _noisy(noise: Augmentation, images: Tensor, seeds: Tensor) -> Tensor:
    return tf.clip_by_value(noise(images, ImageRng(seeds)), 0.0, 1.0)
