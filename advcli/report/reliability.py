"""Reliability diagrams: the accuracy of images over the confidence of their predictions."""

from collections.abc import Sequence
from dataclasses import dataclass

from advcli.records import Calibration
from advcli.report.cross_table import parted
from advcli.report.page import Section

_SIDE = 120


@dataclass(frozen=True)
class Diagram:
    """The diagram of one model under one perturbation.

    Args:
        record: what is drawn.
        points: the bins, in the units of a drawing whose side is ``side`` and whose y axis points down.
        side: the side of the drawing.
    """

    record: Calibration
    points: Sequence[tuple[float, float]]
    side: int = _SIDE


def calibration(records: Sequence[Calibration]) -> Section | None:
    """Draw the diagrams of each model, of a corruption at its highest severity, and show all numbers in a table."""
    if not records:
        return None
    models = [
        (model, [_diagram(record) for record in _highest(found)], found)
        for model, found in parted(records, lambda record: record.model).items()
    ]
    return Section("calibration", "Calibration", "benchmark/calibration.html.j2", {"models": models})


def _highest(records: Sequence[Calibration]) -> list[Calibration]:
    """Return the records at the highest severity of each corruption, and all that have no severity."""
    groups = parted(records, lambda record: (record.perturbation, record.norm, record.eps))
    return [max(found, key=lambda record: record.severity or 0) for found in groups.values()]


def _diagram(record: Calibration) -> Diagram:
    pairs = zip(record.bin_confidence, record.bin_accuracy, strict=True)
    return Diagram(record, [(round(_SIDE * x, 1), round(_SIDE * (1 - y), 1)) for x, y in pairs])
