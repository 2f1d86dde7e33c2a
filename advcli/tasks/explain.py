"""Explain image files: maps of what a class rests on, clean and adversarial, and a contact sheet."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from advcli import images, registry
from advcli.errors import AdvcliError
from advcli.explainers import Explainer
from advcli.feature_map import feature_map, listed
from advcli.model import Classifier
from advcli.records import Explained, Failed, Flipped, Layer, Progress, Shifted, Trusted
from advcli.report.explanations import Pages
from advcli.tasks.explaining.drawing import sheet
from advcli.tasks.explaining.explanation import Explanation, Subject
from advcli.tasks.explaining.reading import chunks
from advcli.tasks.explaining.remembered import Remembered
from advcli.tasks.explaining.request import SHEET, Request, model_suffixes
from advcli.tasks.explaining.results import Answer, answers
from advcli.tasks.explaining.statistics import Statistics
from advcli.tasks.explaining.trust import MOST_IMAGES, check, trust_line
from advcli.tasks.explaining.views import true_class

log = logging.getLogger(__name__)

Event = Explained | Flipped | Shifted | Trusted | Failed | Progress


def applicable(explainers: Mapping[str, Explainer], classifier: Classifier) -> dict[str, Explainer]:
    """Keep the methods that can explain this classifier, and say which cannot."""
    kept = {}
    for method, explainer in explainers.items():
        try:
            explainer.shown(classifier)
        except AdvcliError as error:
            log.warning("left out %s: %s", method, error.message)
        else:
            kept[method] = explainer
    return kept


def layers(classifier: Classifier, seed: int = 0) -> Iterator[Layer]:
    """List the layers that a class activation map can show, and say which is shown unless told otherwise."""
    try:
        chosen = feature_map(classifier).shown
    except AdvcliError as error:
        log.warning("none is shown unless named: %s", error.message)
        chosen = None
    for shown in listed(classifier):
        ours = chosen is not None and shown.layer == chosen.layer
        yield Layer(
            model=classifier.name,
            data="",
            seed=seed,
            layer=shown.layer,
            kind="" if shown.only_way else "one of several ways",
            rows=shown.rows,
            columns=shown.columns,
            channels=shown.channels,
            chosen=ours,
            reason=chosen.reason if ours and chosen is not None else "",
        )
