"""Whether what was required of an evaluation is met, and whether the evaluation can be trusted."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.records.base import Record
from advcli.records.measuring import Measurement


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
