"""The minimum accuracies that ``--fail-under`` requires."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from advcli import registry
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.parsing import read_accuracy
from advcli.records import Gate, Score, SliceScore
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import ANY_NORM, WORST
from advcli.tasks.benchmark.requirements import lower95
from advcli.threat.spelling import own_name

LOWER = "lower95"
STATISTICS = ("accuracy", LOWER)


@dataclass(frozen=True)
class Least:
    """A minimum accuracy, required at every measured radius and severity.

    Args:
        name: a perturbation's spec, or its name without options; behind the name of a model and a colon for one model.
        accuracy: from 0 to 1.
        column: a column of the data, each of whose values must reach it; empty for all images.
        statistic: ``accuracy`` or ``lower95``, the lower end of its interval.
    """

    name: str
    accuracy: float
    column: str = ""
    statistic: str = "accuracy"

    @classmethod
    def read(cls, text: str) -> "Least":
        """Read ``--fail-under``: ``pgd=0.40``, ``pgd=0.40@lower95``, ``robust:pgd=0.40``.

        Raises:
            UsageError: there is no accuracy in it.
        """
        name, separator, value = text.rpartition("=")
        if not separator or not name.strip():
            raise UsageError(f"--fail-under names no accuracy: '{text}'", "write it as pgd=0.40")
        value, _, statistic = value.partition("@")
        if statistic.strip() not in ("", *STATISTICS):
            hint = f"{nearest(statistic.strip(), STATISTICS)}; a column stands before the equals sign: pgd@light=0.40"
            raise UsageError(f"--fail-under has no statistic '{statistic.strip()}'", hint)
        accuracy = read_accuracy(value, "--fail-under")
        spec, _, column = name.strip().partition("@")
        return cls(spec, accuracy, column, statistic.strip() or "accuracy")

    def is_about(self, perturbation: str, model: str = "") -> bool:
        """Return whether the minimum applies to a perturbation of a model."""
        # A model may be called as a perturbation is: pgd:steps=20 is then about every model.
        return any(_covers(name, perturbation) for name in (self.name, self.name.removeprefix(f"{model}:")))


def _covers(name: str, perturbation: str) -> bool:
    without_options = ":" not in name and not own_name(perturbation)
    return name == perturbation or (without_options and registry.canonical(name) == registry.canonical(perturbation))


def refuse_unmeasured(
    gates: Sequence[Least],
    perturbations: Sequence[Perturbation],
    by: Collection[str] = (),
    models: Collection[str] = (),
) -> None:
    """Refuse a minimum for a model or a perturbation that is not measured, or for a column that is not scored.

    Raises:
        UsageError: a perturbation is not measured.
    """
    known = [*dict.fromkeys(perturbation.spec for perturbation in perturbations)]
    if any(perturbation.kind is Kind.ATTACK for perturbation in perturbations):
        known.append(WORST)
    if len({perturbation.threat.norm for perturbation in perturbations if perturbation.threat}) > 1:
        known.append(ANY_NORM)
    for gate in gates:
        if not any(gate.is_about(name, model) for name in known for model in models or ("",)):
            raise UsageError(f"--fail-under names '{gate.name}', which is not measured", nearest(gate.name, known))
        if gate.column and gate.column not in by:
            raise UsageError(f"--fail-under names column '{gate.column}'", f"give --by {gate.column}, too")


def judged(gates: Sequence[Least], scores: Sequence[Score], slices: Sequence[SliceScore] = ()) -> Iterator[Gate]:
    """Compare every score with the minimums that apply to it.

    Raises:
        AdvcliError: a minimum applies to none.
    """
    for gate in gates:
        sliced: Sequence[Score | SliceScore] = [each for each in slices if each.by == gate.column]
        of_all = sliced if gate.column else scores
        found = [score for score in of_all if gate.is_about(score.perturbation, score.model)]
        if not found:
            raise AdvcliError(f"--fail-under names '{gate.name}', which is none of the accuracies measured")
        for score in found:
            is_bound = gate.statistic == LOWER
            accuracy = lower95(score.correct, score.images) if is_bound else score.accuracy
            yield Gate(
                model=score.model,
                data=score.data,
                seed=score.seed,
                **score.place,
                by=score.by if isinstance(score, SliceScore) else None,
                value=score.value if isinstance(score, SliceScore) else None,
                statistic=gate.statistic,
                accuracy=accuracy,
                least=gate.accuracy,
                met=accuracy >= gate.accuracy,
            )
