"""What happens to each class: its accuracy without and with perturbations, and what it is taken for."""

from collections.abc import Sequence
from dataclasses import dataclass

from advcli.records import ClassScore, Confused
from advcli.report.cross_table import cross_table, parted
from advcli.report.page import Section


@dataclass(frozen=True)
class ClassTable:
    """The classes of one model: a row a class, a column a perturbation, named by its first score."""

    model: str
    headings: Sequence[ClassScore]
    rows: Sequence[tuple[str, Sequence[ClassScore | None]]]


def classes(scores: Sequence[ClassScore], confusions: Sequence[Confused]) -> Section | None:
    """Show each class of each model as bars, and the most frequent confusions."""
    if not scores and not confusions:
        return None
    tables = [
        ClassTable(
            model,
            [group[0] for group in parted(found, _perturbation).values()],
            cross_table(found, lambda score: score.label, _perturbation).rows,
        )
        for model, found in parted(scores, lambda score: score.model).items()
    ]
    content = {
        "tables": tables,
        "confusions": [
            (model, list(parted(found, _perturbation).values()))
            for model, found in parted(confusions, lambda confused: confused.model).items()
        ],
    }
    return Section("classes", "Classes", "benchmark/classes.html.j2", content)


def _perturbation(record: ClassScore | Confused) -> tuple[str, str | None, float | None, int | None]:
    return record.perturbation, record.norm, record.eps, record.severity
