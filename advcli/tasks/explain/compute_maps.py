"""Compute the maps of many images, views and classes, some at a time."""

import time
from collections.abc import Sequence

import numpy as np

from advcli.explainers import Explainer, enlarge_maps
from advcli.model.classifier import Classifier
from advcli.tasks.explain.explanation import Explanation, Map, Target


def compute_maps(
    classifier: Classifier,
    method: str,
    explainer: Explainer,
    wanted: Sequence[tuple[Explanation, Target]],
    batch: int,
    seed: int,
) -> dict[tuple[Explanation, Target], Map]:
    """Compute one method's maps, each target of each image once; targets with another class in batches of their own."""
    shown = explainer.shown(classifier)
    found: dict[tuple[Explanation, Target], Map] = {}
    for contrasts in (False, True):
        some = [each for each in dict.fromkeys(wanted) if (each[1].against is not None) is contrasts]
        for start in range(0, len(some), batch):
            part = some[start : start + batch]
            began = time.perf_counter()
            pixels = np.stack([explanation.view(target.view).pixels for explanation, target in part])
            classes = np.array([target.index for _, target in part])
            against = np.array([target.against for _, target in part]) if contrasts else None
            values = explainer(classifier, pixels, classes, seed, against)
            seconds = (time.perf_counter() - began) / len(part)
            missing = explainer.completeness(classifier, pixels, classes, values, against)
            shares = [None] * len(part) if missing is None else missing.tolist()
            relevance = values if explainer.kind == "picture" else enlarge_maps(values, classifier.image_size)
            for each, own, large, share in zip(part, values, relevance, shares, strict=True):
                found[each] = Map(each[1], method, explainer, shown, own, large, share, seconds)
    return found
