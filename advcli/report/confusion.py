"""Confusion tables: how many images of each class are predicted as which class."""

from collections.abc import Sequence
from dataclasses import dataclass

from advcli.records.base import Json
from advcli.report.cross_table import parted
from advcli.report.page import Section
from advcli.report.shade import Shade, shade

# With more classes no table is drawn.
MOST_CLASSES = 20


@dataclass(frozen=True)
class Confusion:
    """The predictions of one model under one perturbation.

    Args:
        model: its name.
        place: the fields of a record that identify the perturbation.
        labels: the true classes, in the order of the rows.
        predicted: the predicted classes, in the order of the columns.
        counts: the number of images for each row and column.
    """

    model: str
    place: dict[str, Json]
    labels: Sequence[str]
    predicted: Sequence[str]
    counts: Sequence[Sequence[int]]


def confusion_section(confusions: Sequence[Confusion]) -> Section | None:
    """Draw a table of counts for each model and perturbation, coloured by the share of each row."""
    if not confusions:
        return None
    models = [
        (model, [(found, _rows(found)) for found in of_model])
        for model, of_model in parted(confusions, lambda confusion: confusion.model).items()
    ]
    return Section("confusion", "Confusion", "benchmark/confusion.html.j2", {"models": models})


def _rows(confusion: Confusion) -> list[tuple[str, list[tuple[str, int, Shade | None]]]]:
    rows = []
    for label, counts in zip(confusion.labels, confusion.counts, strict=True):
        shades = [shade(count / sum(counts)) if count else None for count in counts]
        rows.append((label, list(zip(confusion.predicted, counts, shades, strict=True))))
    return rows
