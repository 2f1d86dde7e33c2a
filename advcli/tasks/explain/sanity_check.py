"""Sanity checks of explainers: do maps depend on weights and class, and do they rank pixels better than chance?

Adebayo et al. 2018, https://arxiv.org/abs/1810.03292 for random weights and other classes.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from advcli.backend import KerasLayer, Variable
from advcli.data import images
from advcli.data.decoded import to_float
from advcli.errors import AdvcliError
from advcli.explainers import Explainer, enlarge_maps
from advcli.model.classifier import Classifier
from advcli.model.feature_map import share_feature_maps
from advcli.model.introspection import operations
from advcli.records import Progress, Trusted
from advcli.records.base import Fields
from advcli.tasks.explain.check_cache import CheckCache
from advcli.tasks.explain.deletion_insertion import deletion, insertion
from advcli.tasks.explain.explain_model import ExplainedModel
from advcli.tasks.explain.map_similarity import rank_correlation

MOST_IMAGES = 16
_SAME_WITHOUT_WEIGHTS, _SAME_FOR_EVERY_CLASS, _INCOMPLETE = 0.8, 0.95, 0.05


def check_explainers(
    model: ExplainedModel, files: Sequence[Path], cache: CheckCache, common: Fields
) -> Iterator[Trusted | Progress]:
    """Check a model's explainers on the first images, except those whose check is in the cache."""
    pixels: list[np.ndarray] = []
    for file in files:
        with contextlib.suppress(AdvcliError, OSError):
            picture = images.read(file, model.classifier.channels)
            pixels.append(np.asarray(model.classifier.fit(to_float(picture)[None]))[0])
        if len(pixels) == MOST_IMAGES:
            break
    methods = {method: one for method, one in model.explainers.items() if one.kind != "picture"}
    for done, (method, explainer) in enumerate(methods.items() if pixels else ()):
        yield Progress("checking", done, len(methods))
        # The representation of a frozen component holds all its options.
        record = cache.get(repr(explainer), len(pixels), common)
        if record is None:
            record = sanity_check(model.classifier, explainer, method, np.stack(pixels), model.request.seed, common)
            cache.put(repr(explainer), record)
        yield record


def sanity_check(
    classifier: Classifier, explainer: Explainer, method: str, pixels: np.ndarray, seed: int, common: Fields
) -> Trusted:
    """Check one method on some images, explaining the predicted classes.

    Args:
        classifier: the model.
        explainer: the method.
        method: the method's name.
        pixels: (N, H, W, C) in [0, 1].
        seed: of the random map, the random weights and the explainer's own random numbers.
        common: the fields that all records have.
    """
    began = time.perf_counter()
    order = np.argsort(-classifier.predict(pixels), axis=1, kind="stable")
    first, second = order[:, 0], order[:, 1]
    values = explainer(classifier, pixels, first, seed)
    maps = enlarge_maps(values, classifier.image_size)
    others = enlarge_maps(explainer(classifier, pixels, second, seed), classifier.image_size)
    with randomized(classifier, seed) as unlearned:
        strangers = enlarge_maps(explainer(unlearned, pixels, first, seed), classifier.image_size)
    # A large derivative matters whatever its sign; other signed maps say what is against the class.
    ranks = np.abs(maps) if explainer.is_derivative else maps
    chance = np.random.default_rng(seed).random(maps.shape)
    measured = {
        f"{kind}{name}": float(
            np.mean([area(classifier, *case, seed) for case in zip(pixels, shown, first.tolist(), strict=True)])
        )
        for kind, shown in (("", ranks), ("random_", chance))
        for name, area in (("deletion", deletion), ("insertion", insertion))
    }
    missing = explainer.completeness(classifier, pixels, first, values)
    incomplete = None if missing is None else float(np.median(missing))
    alike = {"randomized": _correlation(maps, strangers), "other_class": _correlation(maps, others)}
    verdict, reasons = _verdict(measured, alike, incomplete)
    return Trusted(
        method=method,
        images=len(pixels),
        completeness=incomplete,
        verdict=verdict,
        reasons=reasons,
        cached=False,
        seconds=time.perf_counter() - began,
        **measured,
        **alike,
        **common,
    )


@contextlib.contextmanager
def randomized(classifier: Classifier, seed: int) -> Iterator[Classifier]:
    """Shuffle the kernels of the upper half of a model's layers, inside the block only.

    A shuffled kernel has the same values and so the same scale. Biases and the statistics of BatchNorm stay as
    they are, so that activations neither vanish nor explode. The lower half, which computes edges and textures,
    stays too: shuffling it would change every map.
    """
    layers = [layer for layer in operations(classifier.model) if any(len(w.shape) > 1 for w in _weights(layer))]
    kernels = [w for layer in layers[len(layers) // 2 :] for w in _weights(layer) if len(w.shape) > 1]
    kept = [np.asarray(kernel) for kernel in kernels]
    # Another object, as a classifier caches what it has computed from its weights; but the same layers are shown.
    shuffled = replace(classifier)
    share_feature_maps(classifier, shuffled)
    generator = np.random.default_rng(seed)
    try:
        for kernel, values in zip(kernels, kept, strict=True):
            kernel.assign(generator.permutation(values.ravel()).reshape(values.shape))
        yield shuffled
    finally:
        for kernel, values in zip(kernels, kept, strict=True):
            kernel.assign(values)


def verdict_line(record: Trusted) -> str:
    """Write the verdict on a method and its numbers in one line."""
    parts = [
        f"deletion {record.deletion:.2f} (random map {record.random_deletion:.2f})",
        f"insertion {record.insertion:.2f} ({record.random_insertion:.2f})",
        f"correlation with random weights {_number(record.randomized)}",
        f"correlation with another class {_number(record.other_class)}",
    ]
    if record.completeness is not None:
        parts.append(f"sum off by {record.completeness:.1%}")
    verdict = record.verdict + (f": {', '.join(record.reasons)}" if record.reasons else "")
    return f"{record.method}: {verdict} - {', '.join(parts)}"


def _number(value: float | None) -> str:
    return "unknown (flat maps)" if value is None else f"{value:.2f}"


def _weights(layer: KerasLayer) -> list[Variable]:
    return list(getattr(layer, "trainable_variables", ())) + list(getattr(layer, "non_trainable_variables", ()))


def _correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    values = [rank_correlation(*pair) for pair in zip(first, second, strict=True)]
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else None


def _verdict(
    measured: dict[str, float], alike: dict[str, float | None], incomplete: float | None
) -> tuple[str, tuple[str, ...]]:
    reasons = []
    if (alike["randomized"] or 0) > _SAME_WITHOUT_WEIGHTS:
        reasons.append("the map hardly depends on what the upper layers have learned")
    if (alike["other_class"] or 0) > _SAME_FOR_EVERY_CLASS:
        reasons.append("the map hardly depends on the class")
    if reasons:
        return "fail", tuple(reasons)
    if measured["insertion"] - measured["deletion"] <= measured["random_insertion"] - measured["random_deletion"]:
        reasons.append("it ranks pixels no better than a random map")
    if incomplete is not None and incomplete > _INCOMPLETE:
        reasons.append("its sum differs from the change of the score")
    return ("weak", tuple(reasons)) if reasons else ("pass", ())
