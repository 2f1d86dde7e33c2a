"""Ask an explainer about many images, views and classes at once."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advcli.explainers import Explainer
from advcli.explainers.integrated_gradients import IntegratedGradients
from advcli.model import Classifier
from advcli.tasks.explaining.cases import Case


@dataclass(frozen=True)
class Key:
    """Which map: of which image, which view, which class, and against which other one."""

    case: Case
    view: str
    index: int
    against: int | None = None


@dataclass(frozen=True)
class Answer:
    """A map as it was computed, how much of the score's change its sum misses if that is told, and what it took."""

    relevance: np.ndarray
    completeness: float | None
    seconds: float


def ask(classifier: Classifier, explainer: Explainer, keys: Sequence[Key], batch: int, seed: int) -> dict[Key, Answer]:
    """Compute maps, some at a time."""
    found: dict[Key, Answer] = {}
    for led in (False, True):
        some = [key for key in keys if (key.against is not None) is led]
        for start in range(0, len(some), batch):
            part = some[start : start + batch]
            began = time.perf_counter()
            seen = np.stack([key.case.views[key.view].seen for key in part])
            classes = np.array([key.index for key in part])
            against = np.array([key.against for key in part]) if led else None
            relevance = explainer(classifier, seen, classes, seed, against)
            seconds = (time.perf_counter() - began) / len(part)
            missing: Sequence[float | None] = [None] * len(part)
            if isinstance(explainer, IntegratedGradients):
                missing = explainer.completeness(classifier, seen, classes, relevance, against).tolist()
            rows = zip(part, relevance, missing, strict=True)
            found |= {key: Answer(row, lacking, seconds) for key, row, lacking in rows}
    return found
