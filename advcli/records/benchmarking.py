"""What ``advcli benchmark`` reports."""

from dataclasses import dataclass
from typing import Any, ClassVar

from advcli.records.base import Record


@dataclass(frozen=True, kw_only=True)
class Measurement(Record):
    """What every measure of a perturbation says: which one, and how strong.

    ``norm`` and ``eps`` are null where nothing searches a ball; ``severity`` is null but for a corruption.
    """

    perturbation: str
    norm: str | None
    eps: float | None
    severity: int | None

    @property
    def place(self) -> dict[str, Any]:
        """What tells the perturbation from others."""
        return {"perturbation": self.perturbation, "norm": self.norm, "eps": self.eps, "severity": self.severity}


@dataclass(frozen=True, kw_only=True)
class Counted(Record):
    """How many images are right: ``accuracy`` is of all ``images``, ``low`` to ``high`` its Wilson 95% interval."""

    images: int
    correct: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Protocol(Record):
    """What is measured and how: the first line of a file of results, which says whether it can go on.

    ``models`` and ``perturbations`` say each with all that its results depend on. ``sample`` identifies all
    images that are to be measured, ``pixels`` those of this ``shard`` at each model's size. ``options``
    are what the command was asked for, from which the same is made again.
    """

    type: ClassVar[str] = "protocol"

    models: tuple[dict[str, Any], ...]
    classes: tuple[str, ...]
    images: int
    sample: str
    pixels: dict[str, str]
    perturbations: tuple[dict[str, Any], ...]
    certify: str | None
    shard: str | None
    options: dict[str, Any]
    environment: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Verdicts(Measurement):
    """One finished batch: which images, and the class that the model sees in each; in files of results only.

    ``indices`` are places among all images, whatever the shard. ``labels`` are the images' classes as the
    model counts them, said with the clean images only. ``crafted_on`` is the model that they were perturbed
    against, if it is another question than that of ``model`` itself. ``members`` is given for a suite of attacks:
    the number of the member that fooled each image, -1 where none did.
    """

    type: ClassVar[str] = "verdicts"

    indices: tuple[int, ...]
    predicted: tuple[int, ...]
    labels: tuple[int, ...] = ()
    crafted_on: str | None = None
    members: tuple[int, ...] = ()
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Smoothed(Record):
    """What a smoothed model certifies of one finished batch; -1 where it abstains; in files of results only."""

    type: ClassVar[str] = "smoothed"

    indices: tuple[int, ...]
    predicted: tuple[int, ...]
    radii: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Score(Counted, Measurement):
    """How many images of a data set a model still gets right under one perturbation.

    ``accuracy_of_clean_correct`` is of the images that are right without any perturbation. Where a budget
    ended first, ``searched`` images were searched to the end, the others count as right: an upper bound.
    For ``not_a_number`` of the perturbed images the model gave NaN: under an attack these count as correct, since
    no other class was reached, else as wrong. ``seen`` tells whether the model was trained with the perturbation;
    null if that is not known.
    ``class_order`` is the order of the class folders that a model without class names was measured with;
    null where names decide, or both orders are the same. ``fooled_by`` is given for a suite: how many images each
    member fooled, in the order in which they ran, each on what those before it left.
    """

    type: ClassVar[str] = "score"

    protocol: str
    accuracy_of_clean_correct: float
    searched: int | None = None
    not_a_number: int = 0
    seen: bool | None = None
    class_order: str | None = None
    fooled_by: dict[str, int] | None = None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Group(Record):
    """The mean accuracy under the perturbations that a model was trained with, or under those it was not.

    ``kind`` is attack, corruption or noise. Attacks are of one ``norm`` and ``eps`` (null for those without a
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
    """The mean error over corruptions, each the mean over its severities.

    With ``relative_to`` (a model's name, or ``alexnet``), ``relative`` is the mean of each corruption's error
    divided by that of the other, and ``relative_to_clean`` the same of what is lost from clean images on.
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
    """Two models on the same images: how much more accurate the one is, and McNemar's exact p-value.

    ``only_model`` images only ``model`` gets right, ``only_against`` only ``against``.
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
class Confused(Measurement):
    """How many images of one class are taken for another."""

    type: ClassVar[str] = "confused"

    label: str
    taken_for: str
    images: int


@dataclass(frozen=True, kw_only=True)
class Transferred(Counted, Measurement):
    """How many images ``model`` still gets right that were perturbed against ``crafted_on``."""

    type: ClassVar[str] = "transferred"

    crafted_on: str


@dataclass(frozen=True, kw_only=True)
class Certified(Counted):
    """How many images a smoothed model provably gets right within an l2 radius, with probability 1 - alpha each.

    ``abstained`` images got no answer; ``accuracy`` is of all images.
    """

    type: ClassVar[str] = "certified"

    sigma: float
    samples: int
    alpha: float
    radius: float
    abstained: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Checked(Record):
    """One check of the evaluation itself: ``PASS`` or ``SUSPECT``, what shows it, and what to do about it."""

    type: ClassVar[str] = "check"

    check: str
    verdict: str
    evidence: str
    remedy: str


@dataclass(frozen=True, kw_only=True)
class Gate(Measurement):
    """Whether an accuracy is what was asked for."""

    type: ClassVar[str] = "gate"

    accuracy: float
    least: float
    met: bool


@dataclass(frozen=True, kw_only=True)
class Change(Measurement):
    """How an accuracy differs from that of an earlier file of results; worse beyond chance is a regression."""

    type: ClassVar[str] = "change"

    before: float
    after: float
    difference: float
    p_value: float
    regression: bool


@dataclass(frozen=True, kw_only=True)
class Exported(Measurement):
    """A folder of corrupted images, with a folder for each class."""

    type: ClassVar[str] = "exported"

    images: int
    output: str
