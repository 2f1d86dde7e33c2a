"""What ``advcli benchmark`` reports of each model: accuracies, calibration, and comparisons."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.records.base import Record
from advcli.records.measuring import Measurement


@dataclass(frozen=True, kw_only=True)
class Counted(Record):
    """How many images are correct: ``accuracy`` is of all ``images``, ``low`` to ``high`` its Wilson 95% interval."""

    images: int
    correct: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Score(Counted, Measurement):
    """The accuracy of a model under one perturbation.

    ``accuracy`` is correct images / all images, with its Wilson 95% interval ``low`` to ``high``;
    ``accuracy_of_clean_correct`` is the share of correct images among those that are correct without any perturbation
    (null without clean images). Where a time budget ran out, ``searched`` images were attacked completely and the
    others count as correct: an upper bound.
    For ``not_a_number`` of the perturbed images the model returned NaN: under an attack these count as correct, since
    no other class was reached, otherwise as wrong. ``seen`` is whether the model was trained with the perturbation;
    null if that is not known.
    ``class_order`` is the order of the class folders for a model without class names; null where the names decide,
    or both orders are the same. ``fooled_by`` is recorded for a suite: how many images each member fooled, in the
    order in which they ran, among the images that the members before it did not fool. ``queries`` counts the images
    that a remote model was asked about, each once a batch; null for other models. ``surrogate`` is the model that the
    images were crafted on; null for the model itself. ``classes_only`` is the number of the model's outputs that were
    decided between, where the others were left out; null for all. ``repeats`` is the number of predictions for each
    image: it is correct if all of them are.
    """

    type: ClassVar[str] = "score"

    protocol: str
    accuracy_of_clean_correct: float | None
    searched: int | None = None
    not_a_number: int = 0
    seen: bool | None = None
    class_order: str | None = None
    fooled_by: dict[str, int] | None = None
    queries: int | None = None
    surrogate: str | None = None
    classes_only: int | None = None
    repeats: int = 1
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Calibration(Measurement):
    """What a model believes under one perturbation, beside what is true.

    With the confidence p of the predicted class: ``ece`` is the expected calibration error, the mean of |accuracy -
    mean confidence| over 15 bins of equally many images; ``ece_low`` to ``ece_high`` is the 95% interval of the error
    that these bins would have with images without end (the estimate itself is biased upward for few images, and may lie
    above it). ``brier`` is the mean of sum_k (p_k - [k = y])^2, ``nll`` the mean of -log p_y; for a model with one
    sigmoid for each class, whose scores are independent probabilities, of the sum of all classes' binary
    cross-entropies. ``confidence_when_wrong`` is the mean over wrong images, ``accuracy_at_90_coverage`` of the 90%
    with the highest confidence, ``auroc`` the probability that a correct image has a higher confidence than a wrong
    one; null without wrong images, or without correct ones.

    Under an attack the adversarial image counts, the first that fools the model where the attack stops at it, and the
    clean image where it is wrong already. ``images`` for which the
    model returned NaN are left out. In the worst case an image counts under the attack that fools the model, of several
    the one with the largest loss. ``bin_confidence`` and ``bin_accuracy`` draw the reliability diagram.
    """

    type: ClassVar[str] = "calibration"

    images: int
    ece: float
    ece_low: float
    ece_high: float
    brier: float
    nll: float
    confidence_when_wrong: float | None
    accuracy_at_90_coverage: float
    auroc: float | None
    bin_confidence: tuple[float, ...]
    bin_accuracy: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Group(Record):
    """The mean accuracy under the perturbations that a model was trained with, or under those it was not.

    ``kind`` is attack, corruption or noise. Attacks have the same ``norm`` and ``eps`` (null for those without a
    radius); corruptions are averaged over ``severities``.
    """

    type: ClassVar[str] = "group"

    group: str
    kind: str
    norm: str | None = None
    eps: float | None = None
    severities: tuple[int, ...] = ()
    perturbations: tuple[str, ...]
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class CorruptionError(Record):
    """The mean corruption error.

    ``errors[c]`` is E_c = mean over severities of (1 - accuracy), ``mean`` = mean_c E_c. With the reference R in
    ``relative_to`` (a model's name, or ``alexnet``), ``relative`` = mCE = mean_c E_c / E_c(R), and
    ``relative_to_clean`` = mean_c (E_c - E_clean) / (E_c(R) - E_clean(R)).
    """

    type: ClassVar[str] = "corruption_error"

    severities: tuple[int, ...]
    errors: dict[str, float]
    mean: float
    relative_to: str | None
    relative: float | None
    relative_to_clean: float | None


@dataclass(frozen=True, kw_only=True)
class Compared(Measurement):
    """The difference in accuracy of two models on the same images, with McNemar's exact p-value.

    ``only_model`` images are correct for ``model`` only, ``only_against`` for ``against`` only.
    """

    type: ClassVar[str] = "compared"

    against: str
    difference: float
    only_model: int
    only_against: int
    p_value: float


@dataclass(frozen=True, kw_only=True)
class ClassScore(Counted, Measurement):
    """The accuracy on the images of one class, with its Wilson 95% interval."""

    type: ClassVar[str] = "class_score"

    label: str


@dataclass(frozen=True, kw_only=True)
class SliceScore(Counted, Measurement):
    """The accuracy on the images that have one value in a column of the data, with its Wilson 95% interval.

    ``p_value`` is Fisher's exact test against all other images, ``corrected_p_value`` is corrected by Holm's method for
    the values of the column. ``worst`` is whether the accuracy is the lowest of the column.
    """

    type: ClassVar[str] = "slice_score"

    by: str
    value: str
    p_value: float
    corrected_p_value: float
    worst: bool


@dataclass(frozen=True, kw_only=True)
class Confused(Measurement):
    """How many images of class ``label`` are predicted as class ``taken_for``."""

    type: ClassVar[str] = "confused"

    label: str
    taken_for: str
    images: int


@dataclass(frozen=True, kw_only=True)
class Transferred(Counted, Measurement):
    """The accuracy of ``model`` on images that were perturbed against ``crafted_on``."""

    type: ClassVar[str] = "transferred"

    crafted_on: str


@dataclass(frozen=True, kw_only=True)
class Certified(Counted):
    """The certified accuracy of a smoothed model within an l2 radius, with probability 1 - alpha for each image.

    For ``abstained`` images the smoothed model predicts no class; ``accuracy`` is correct images / all images.
    """

    type: ClassVar[str] = "certified"

    sigma: float
    samples: int
    alpha: float
    radius: float
    abstained: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Exported(Measurement):
    """A folder of images: corrupted, with a folder for each class; or those that an attack on ``model`` ended with."""

    type: ClassVar[str] = "exported"

    images: int
    output: str
