"""Checks of an evaluation for known evaluation errors: one file a check."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from advcli.model.black_box import Access
from advcli.model.classifier import Classifier
from advcli.records import Score
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class Evidence:
    """The input of a check.

    Args:
        classifier: the inference copy of the evaluated model.
        original: the same model as it was loaded, with its own layers.
        pixels: (N, H, W, C) float32 in [0, 1], a sample of the evaluated images.
        indices: (N,) the classifier's classes of these images.
        labels: (M,) the classes of all evaluated images, as the data numbers them.
        outputs: (M,) the same classes as indices of the classifier's.
        predicted: (M,) the classifier's classes of these images, without any perturbation; -1 for NaN.
        classes: how many classes the data has.
        clean_accuracy: of all evaluated images, without any perturbation.
        scores: all scores of this model, in the order they were made; empty before the evaluation.
        correct_under: attack's spec, threat -> (N,) bool: which of ``pixels`` are correct under an attack.
        attacks: the specs of all attacks of the evaluation, including those not run yet.
        overlap: the evaluated images that are also training images; None without training images.
    """

    classifier: Classifier
    original: Classifier
    pixels: np.ndarray
    indices: np.ndarray
    labels: np.ndarray
    outputs: np.ndarray
    predicted: np.ndarray
    classes: int
    clean_accuracy: float
    scores: Sequence[Score]
    correct_under: Callable[[str, Threat], np.ndarray]
    attacks: Sequence[str] = ()
    overlap: "Overlap | None" = None


@dataclass(frozen=True)
class Overlap:
    """How many evaluated images are also training images, pixel for pixel.

    Args:
        equal: how many evaluated images are training images.
        images: how many images are evaluated.
        train_images: how many training images they were compared with.
        unreadable: how many other training images could not be read.
    """

    equal: int
    images: int
    train_images: int
    unreadable: int = 0


@dataclass(frozen=True)
class Finding:
    """The result of a check.

    Args:
        suspect: whether the evaluation is.
        evidence: what was found, in words.
        remedy: what to do, if it is suspect.
        concerned: how many images or attacks are suspect: ``31 of 64 images``.
    """

    suspect: bool
    evidence: str
    remedy: str = ""
    concerned: str = ""


class Check(Protocol):
    """A check of an evaluation.

    ``after`` is whether the check needs the scores and runs after the evaluation. ``needs`` is what the evaluation must
    have seen of the model, ``gradient`` also where attacks are compared that do; None if the model is not asked.
    """

    after: ClassVar[bool]
    needs: ClassVar[Access | None]

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Check the evidence; None if the check does not apply."""
        ...
