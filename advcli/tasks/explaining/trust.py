"""Whether maps are to be believed: do they depend on what they should, and do they rank pixels better than chance?

Adebayo et al. 2018, https://arxiv.org/abs/1810.03292 for random weights and other classes.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from advcli import registry
from advcli.explainers import Explainer
from advcli.explainers.integrated_gradients import IntegratedGradients
from advcli.layers import operations
from advcli.model import Classifier
from advcli.records import Trusted
from advcli.tasks.explaining.curves import deletion, insertion
from advcli.tasks.explaining.request import SLOPES
from advcli.tasks.explaining.shift import rank_correlation

MOST_IMAGES = 16
_SAME_WITHOUT_WEIGHTS, _SAME_FOR_EVERY_CLASS, _INCOMPLETE = 0.8, 0.95, 0.05


def check(
    classifier: Classifier, explainer: Explainer, method: str, seen: np.ndarray, seed: int, common: dict[str, Any]
) -> Trusted:
    """Check one method on some images: (N, edge, edge, C) in [0, 1], explained as what the model takes them for.

    Args:
        classifier: the model.
        explainer: the method.
        method: what the method is called.
        seen: at the classifier's own size.
        seed: for the random map, the random weights and the explainer's own draws.
        common: the fields that all records have.
    """
    began = time.perf_counter()
    order = np.argsort(-classifier.predict(seen), axis=1, kind="stable")
    first, second = order[:, 0], order[:, 1]
    maps = explainer(classifier, seen, first, seed)
    others = explainer(classifier, seen, second, seed)
    with randomized(classifier, seed) as unlearned:
        strangers = explainer(unlearned, seen, first, seed)
    # A steep slope matters whichever way it goes; other signed maps say what speaks against the class.
    ranks = np.abs(maps) if registry.canonical(method) in SLOPES else maps
    chance = np.random.default_rng(seed).random(maps.shape)
    measured = {
        f"{kind}{name}": float(
            np.mean([area(classifier, *case, seed) for case in zip(seen, values, first.tolist(), strict=True)])
        )
        for kind, values in (("", ranks), ("random_", chance))
        for name, area in (("deletion", deletion), ("insertion", insertion))
    }
    incomplete = None
    if isinstance(explainer, IntegratedGradients):
        incomplete = float(np.median(explainer.completeness(classifier, seen, first, maps)))
    alike = {"randomized": _correlation(maps, strangers), "other_class": _correlation(maps, others)}
    verdict, reasons = _verdict(measured, alike, incomplete)
    return Trusted(
        method=method,
        images=len(seen),
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
    """Shuffle the weights of the upper half of a model's layers, as long as the block lasts.

    Each kernel keeps its values and so its scale, but not what they have learnt; biases and what
    BatchNorm keeps are left alone, so that the signal neither dies nor explodes on its way. The
    lower half is what computes edges and textures, and to change it too would change every map.
    """
    layers = [layer for layer in operations(classifier.model) if any(len(w.shape) > 1 for w in _weights(layer))]
    kernels = [w for layer in layers[len(layers) // 2 :] for w in _weights(layer) if len(w.shape) > 1]
    kept = [np.asarray(kernel) for kernel in kernels]
    generator = np.random.default_rng(seed)
    try:
        for kernel, values in zip(kernels, kept, strict=True):
            kernel.assign(generator.permutation(values.ravel()).reshape(values.shape))
        # Another object, for a classifier remembers what it has made of its weights.
        yield replace(classifier)
    finally:
        for kernel, values in zip(kernels, kept, strict=True):
            kernel.assign(values)


def trust_line(record: Trusted) -> str:
    """Say in one line whether a method's maps are to be believed, and why."""
    parts = [
        f"deletion {record.deletion:.2f} (random map {record.random_deletion:.2f})",
        f"insertion {record.insertion:.2f} ({record.random_insertion:.2f})",
        f"like that of random weights {_number(record.randomized)}",
        f"like that of another class {_number(record.other_class)}",
    ]
    if record.completeness is not None:
        parts.append(f"sum off by {record.completeness:.1%}")
    verdict = record.verdict + (f": {', '.join(record.reasons)}" if record.reasons else "")
    return f"{record.method}: {verdict} - {', '.join(parts)}"


def _number(value: float | None) -> str:
    return "unknown (flat maps)" if value is None else f"{value:.2f}"


def _weights(layer: Any) -> list[Any]:
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
        reasons.append("the map hardly depends on what the upper layers have learnt")
    if (alike["other_class"] or 0) > _SAME_FOR_EVERY_CLASS:
        reasons.append("the map hardly depends on the class")
    if reasons:
        return "fail", tuple(reasons)
    if measured["insertion"] - measured["deletion"] <= measured["random_insertion"] - measured["random_deletion"]:
        reasons.append("it ranks pixels no better than a random map")
    if incomplete is not None and incomplete > _INCOMPLETE:
        reasons.append("its sum is not the change of the score")
    return ("weak", tuple(reasons)) if reasons else ("pass", ())
