"""Accuracies in coloured cells: corruption by severity, and crafted on one model by scored on another."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from statistics import fmean

from advcli.records import CorruptionError, Score, Transferred
from advcli.report.cross_table import cross_table, parted
from advcli.report.page import Section
from advcli.report.shade import Shade, shade

_Measure = Score | Transferred


@dataclass(frozen=True)
class Cell:
    """One accuracy and its colours; ``record`` says on how many images, and is absent in a mean."""

    accuracy: float
    shade: Shade
    record: _Measure | None = None


@dataclass(frozen=True)
class HeatMap:
    """Coloured cells in rows and columns; ``title`` is the title of the map."""

    title: str
    columns: Sequence[Hashable]
    rows: Sequence[tuple[Hashable, Sequence[Cell | None]]]


def corruptions(scores: Sequence[Score], errors: Sequence[CorruptionError]) -> Section | None:
    """Show each model's accuracy by corruption and severity, and the mean corruption errors."""
    measured = [score for score in scores if score.severity is not None]
    if not measured and not errors:
        return None
    maps = [
        _with_means(_heat_map(model, found, lambda score: score.perturbation, lambda score: score.severity))
        for model, found in parted(measured, lambda score: score.model).items()
    ]
    names = dict.fromkeys(name for error in errors for name in error.errors)
    content = {"maps": maps, "errors": errors, "corruptions": list(names)}
    return Section("corruptions", "Corruptions", "benchmark/corruptions.html.j2", content)


def transfer(records: Sequence[Transferred]) -> Section | None:
    """Show the accuracy of each model on images perturbed against each model."""
    if not records:
        return None
    maps = [
        (found[0], _heat_map("", found, lambda record: record.crafted_on, lambda record: record.model))
        for found in parted(records, lambda record: (record.perturbation, record.norm, record.eps)).values()
    ]
    return Section("transfer", "Transfer between models", "benchmark/transfer.html.j2", {"maps": maps})


def _heat_map(
    title: str,
    records: Sequence[_Measure],
    row: Callable[..., Hashable],
    column: Callable[..., Hashable],
) -> HeatMap:
    table = cross_table(records, row, column)
    rows = [
        (key, [None if record is None else Cell(record.accuracy, shade(record.accuracy), record) for record in cells])
        for key, cells in table.rows
    ]
    return HeatMap(title, table.columns, rows)


def _with_means(heat_map: HeatMap) -> HeatMap:
    """Add the mean of each row that has no gap."""
    rows = []
    for key, cells in heat_map.rows:
        found = [cell.accuracy for cell in cells if cell]
        mean = fmean(found)
        rows.append((key, [*cells, Cell(mean, shade(mean)) if len(found) == len(cells) else None]))
    return HeatMap(heat_map.title, [*heat_map.columns, "mean"], rows)
