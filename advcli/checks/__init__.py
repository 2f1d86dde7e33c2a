"""Checks of an evaluation against the known ways to fool oneself: one file a check."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from advcli.model.classifier import Classifier
from advcli.records import Score
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class Evidence:
    """What a check may look at.

    Args:
        classifier: the model that is measured, frozen.
        original: the same model as it was loaded, whose layers can be told apart.
        pixels: (N, edge, edge, C) float32 in [0, 1], a part of the images that are measured.
        indices: (N,) the classifier's classes of these images.
        labels: (M,) the classes of all images that are measured.
        classes: how many classes the data has.
        clean_accuracy: of all images that are measured, without any perturbation.
        scores: all scores of this model, in the order they were made; empty before the evaluation.
        right_under: attack's spec, threat -> (N,) bool: which of ``pixels`` are still right under an attack.
        attacks: the specs of all attacks of the evaluation, those that are still to come included.
        overlap: the images that are also among those to train on; None if the data has none to train on.
    """

    classifier: Classifier
    original: Classifier
    pixels: np.ndarray
    indices: np.ndarray
    labels: np.ndarray
    classes: int
    clean_accuracy: float
    scores: Sequence[Score]
    correct_under: Callable[[str, Threat], np.ndarray]
    attacks: Sequence[str] = ()
    overlap: "Overlap | None" = None


@dataclass(frozen=True)
class Overlap:
    """How many images that are measured are also among those to train on, pixel for pixel.

    Args:
        equal: how many of the images that are measured.
        images: how many images are measured.
        train_images: how many training images they were compared with.
        unreadable: how many other training images could not be read.
    """

    equal: int
    images: int
    train_images: int
    unreadable: int = 0


@dataclass(frozen=True)
class Finding:
    """What a check found: whether the evaluation is suspect, what shows it, and what to do about it."""

    suspect: bool
    evidence: str
    remedy: str = ""


class Check(Protocol):
    """A check of an evaluation.

    ``after`` tells whether it needs the scores, and so comes after the evaluation.
    """

    after: ClassVar[bool]

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Look at the evidence; None if it says nothing of what is checked."""
        ...
