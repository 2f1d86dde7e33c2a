"""What ``advcli benchmark`` reports."""

from dataclasses import dataclass, field
from typing import ClassVar

from advcli.records.base import Json, Record


@dataclass(frozen=True, kw_only=True)
class Measurement(Record):
    """A record about one perturbation, with its strength.

    ``norm`` and ``eps`` are null for a perturbation without a ball; ``severity`` is null except for a corruption.
    """

    perturbation: str
    norm: str | None
    eps: float | None
    severity: int | None

    @property
    def place(self) -> dict[str, Json]:
        """The fields that identify the perturbation."""
        return {"perturbation": self.perturbation, "norm": self.norm, "eps": self.eps, "severity": self.severity}


@dataclass(frozen=True, kw_only=True)
class Counted(Record):
    """How many images are correct: ``accuracy`` is of all ``images``, ``low`` to ``high`` its Wilson 95% interval."""

    images: int
    correct: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class MeasuredModel:
    """What a protocol says of a model, as far as it is read back; ``width`` is null if images are square."""

    name: str
    fingerprint: str
    edge: int
    width: int | None = None
    channels: int
    labels: tuple[str, ...]
    recipe: dict[str, Json]
    class_order: str | None = None
    outputs: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Protocol(Record):
    """The protocol of an evaluation: the first line of a results file, checked on ``--resume``.

    ``models`` and ``perturbations`` hold everything that the results depend on. ``sample`` is a hash of all
    images of the evaluation, ``pixels`` of the images of this ``shard`` at each model's size. ``options``
    are the options of the command, from which the evaluation can be repeated. ``surrogate`` is the model that attacks
    see, if it is another one. ``requirements`` is the SHA-256 of the file of requirements, if there is one.
    ``repeats`` is the number of predictions for each image, of which the first wrong one is recorded.
    """

    type: ClassVar[str] = "protocol"

    models: tuple[dict[str, Json], ...]
    classes: tuple[str, ...]
    images: int
    sample: str
    pixels: dict[str, str]
    perturbations: tuple[dict[str, Json], ...]
    certify: str | None
    shard: str | None
    options: dict[str, Json]
    environment: dict[str, str]
    surrogate: dict[str, str] | None = None
    requirements: str | None = None
    repeats: int = 1


@dataclass(frozen=True, kw_only=True)
class Verdicts(Measurement):
    """The predictions for one finished batch; only in results files.

    ``indices`` are the images' indices in the whole sample, not in the shard. ``labels`` are the true classes as
    indices of the model's outputs, recorded with the clean images only; so are ``columns``, what the data says of each
    image besides its class. ``crafted_on`` is the model that the
    images were perturbed against, in a transfer evaluation. ``members`` is recorded for a suite of attacks: the
    index of the member that fooled each image, -1 where none did. ``queries`` counts the different images that a
    remote model was asked about for this batch; null for other models. ``confidence``, ``log_loss`` and
    ``squared_error`` are what the model believes of each image (as in ``Calibration``), to six significant digits (a
    confidence near 1 to six of its distance to 1), null for NaN; empty for a model that returns classes alone.
    """

    type: ClassVar[str] = "verdicts"

    indices: tuple[int, ...]
    predicted: tuple[int, ...]
    labels: tuple[int, ...] = ()
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    crafted_on: str | None = None
    members: tuple[int, ...] = ()
    queries: int | None = None
    confidence: tuple[float | None, ...] = ()
    log_loss: tuple[float | None, ...] = ()
    squared_error: tuple[float | None, ...] = ()
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Smoothed(Record):
    """The certificates of one finished batch; -1 where the smoothed model abstains; only in results files."""

    type: ClassVar[str] = "smoothed"

    indices: tuple[int, ...]
    predicted: tuple[int, ...]
    radii: tuple[float, ...]
    seconds: float


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
class Checked(Record):
    """One check of the evaluation: the verdict ``PASS`` or ``SUSPECT``, the evidence and the remedy.

    ``concerned`` is how many images or attacks are suspect; empty for ``PASS``.
    """

    type: ClassVar[str] = "check"

    check: str
    verdict: str
    evidence: str
    remedy: str
    concerned: str = ""

    @property
    def is_suspect(self) -> bool:
        """Whether the accuracies may be wrong."""
        return self.verdict == "SUSPECT"


@dataclass(frozen=True, kw_only=True)
class Gate(Measurement):
    """Whether an accuracy reaches the minimum that ``--fail-under`` requires.

    With ``by`` it is the accuracy on the images that have ``value`` in this column of the data. ``statistic`` is
    ``accuracy``, or ``lower95``: ``accuracy`` is then the lower end of the Clopper-Pearson interval, which a model
    whose true accuracy is ``least`` exceeds with probability 2.5% at most.
    """

    type: ClassVar[str] = "gate"

    by: str | None = None
    value: str | None = None
    statistic: str = "accuracy"

    accuracy: float
    least: float
    met: bool


@dataclass(frozen=True)
class Support:
    """A term of a framework that a result supports, and what the result does not show."""

    framework: str
    term: str
    name: str
    not_shown: str


@dataclass(frozen=True, kw_only=True)
class Requirement(Measurement):
    """Whether a requirement of ``--requirements`` is met: whether ``value`` is at least ``bound``.

    ``value`` is the ``statistic`` of the ``correct`` of ``images``: ``accuracy``, or ``lower95``, the Clopper-Pearson
    lower bound with one-sided confidence 97.5%. ``text`` says the requirement in words. ``requirements`` is the SHA-256
    of the file. ``supports`` are terms of frameworks; no result shows that a system complies with one.
    """

    type: ClassVar[str] = "requirement"

    id: str
    text: str = ""
    statistic: str
    bound: float
    value: float
    met: bool
    images: int
    correct: int
    requirements: str
    supports: tuple[Support, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verified(Record):
    """Whether a file of an evidence folder is what its manifest says; ``problem`` is empty if it is.

    ``sha256`` is that of the file as it is found, null where it is missing.
    """

    type: ClassVar[str] = "verified"

    file: str
    sha256: str | None
    intact: bool
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Swept(Record):
    """The accuracy of a model over the physical parameter of a corruption, from its weakest value to its strongest.

    ``perturbation`` is the corruption's spec without ``parameter``. The lists are parallel: at ``values[i]``, in
    ``unit``, the spec is ``perturbations[i]``, of which there is a score, too, and the accuracy ``accuracies[i]``, with
    its Wilson 95% interval ``lows[i]`` to ``highs[i]``. ``log`` is whether the values are on a logarithmic scale.
    """

    type: ClassVar[str] = "sweep"

    perturbation: str
    parameter: str
    unit: str
    log: bool
    values: tuple[float, ...]
    perturbations: tuple[str, ...]
    accuracies: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Tolerance(Record):
    """The strongest value of a corruption's parameter up to which a model meets a required accuracy.

    Up to ``value`` the lower bound of the accuracy's Wilson 95% interval is at least ``required`` at every measured
    value; null if it is not on the clean images, or not where the sweep begins. ``censored`` is whether it still is
    where the sweep ends: ``value`` is then that end. ``low`` to ``high`` is the 95% interval of the value at which the
    accuracy itself falls below ``required``: its weak end is ``value``, its strong end the value at which the upper
    bound falls below ``required``; an end is null where the sweep does not reach it. ``evaluations`` counts the values
    that were measured beside the points of the sweep. ``met`` is whether the tolerance reaches ``hold``; both are null
    without ``--hold``. ``statement`` says the result in words, after the model's name.
    """

    type: ClassVar[str] = "tolerance"

    perturbation: str
    parameter: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    required: float
    censored: bool
    evaluations: int
    hold: float | None
    met: bool | None
    statement: str


@dataclass(frozen=True, kw_only=True)
class Change(Measurement):
    """The change of an accuracy since the baseline; significantly lower is a regression.

    ``paired``: the baseline has the verdict for each of the same images, so the p-value is that of McNemar's exact
    test, otherwise of Fisher's. ``met`` is whether the accuracy is lower by no more than ``tolerated``; both are null
    without --fail-worse.
    """

    type: ClassVar[str] = "change"

    paired: bool = False
    tolerated: float | None = None
    met: bool | None = None

    before_model: str = ""
    before: float
    after: float
    difference: float
    p_value: float
    regression: bool


@dataclass(frozen=True, kw_only=True)
class Exported(Measurement):
    """A folder of images: corrupted, with a folder for each class; or those that an attack on ``model`` ended with."""

    type: ClassVar[str] = "exported"

    images: int
    output: str
