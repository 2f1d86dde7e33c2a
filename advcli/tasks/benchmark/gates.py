"""The minimum accuracies that ``--fail-under`` requires."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from advcli import registry
from advcli.errors import UsageError, nearest
from advcli.parsing import read_accuracy
from advcli.records import Gate, Score, SliceScore
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import ANY_NORM, WORST


@dataclass(frozen=True)
class Least:
    """A minimum accuracy, required at every measured radius and severity.

    Args:
        name: a perturbation's spec, or its name without options.
        accuracy: from 0 to 1.
        column: a column of the data, each of whose values must reach it; empty for all images.
    """

    name: str
    accuracy: float
    column: str = ""

    @classmethod
    def read(cls, text: str) -> "Least":
        """Read ``--fail-under``: ``pgd=0.40``.

        Raises:
            UsageError: there is no accuracy in it.
        """
        name, separator, value = text.rpartition("=")
        if not separator or not name.strip():
            raise UsageError(f"--fail-under names no accuracy: '{text}'", "write it as pgd=0.40")
        accuracy = read_accuracy(value, "--fail-under")
        spec, _, column = name.strip().partition("@")
        return cls(spec, accuracy, column)

    def is_about(self, perturbation: str) -> bool:
        """Return whether the minimum applies to a perturbation."""
        return self.name == perturbation or (
            ":" not in self.name and registry.canonical(self.name) == registry.canonical(perturbation)
        )


def refuse_unmeasured(gates: Sequence[Least], perturbations: Sequence[Perturbation], by: Collection[str] = ()) -> None:
    """Refuse a minimum for a perturbation that is not measured, or for a column that is not scored.

    Raises:
        UsageError: a perturbation is not measured.
    """
    known = [*dict.fromkeys(perturbation.spec for perturbation in perturbations)]
    if any(perturbation.kind is Kind.ATTACK for perturbation in perturbations):
        known.append(WORST)
    if len({perturbation.threat.norm for perturbation in perturbations if perturbation.threat}) > 1:
        known.append(ANY_NORM)
    for gate in gates:
        if not any(gate.is_about(name) for name in known):
            raise UsageError(f"--fail-under names '{gate.name}', which is not measured", nearest(gate.name, known))
        if gate.column and gate.column not in by:
            raise UsageError(f"--fail-under names column '{gate.column}'", f"give --by {gate.column}, too")


def judged(gates: Sequence[Least], scores: Sequence[Score], slices: Sequence[SliceScore] = ()) -> Iterator[Gate]:
    """Compare every score with the minimums that apply to it."""
    for gate in gates:
        found: Sequence[Score | SliceScore] = [each for each in slices if each.by == gate.column]
        for score in found if gate.column else scores:
            if gate.is_about(score.perturbation):
                yield Gate(
                    model=score.model,
                    data=score.data,
                    seed=score.seed,
                    **score.place,
                    by=score.by if isinstance(score, SliceScore) else None,
                    value=score.value if isinstance(score, SliceScore) else None,
                    accuracy=score.accuracy,
                    least=gate.accuracy,
                    met=score.accuracy >= gate.accuracy,
                )
