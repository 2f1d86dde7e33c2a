"""What a contact sheet shows: a row for each view with its likeliest classes and a column for each map, and a table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from advcli.records import Prediction

# Distinguishable in every kind of colour vision (Okabe and Ito).
ORIGINAL, WRONG = "#0072b2", "#d55e00"


@dataclass(frozen=True)
class Word:
    """A part of a line.

    Args:
        text: the text.
        swatch: the colour of a square before it, such as ``#0072b2``.
        is_name: whether it may be cut where the line is too long.
    """

    text: str
    swatch: str | None = None
    is_name: bool = False


Line = Sequence[Word]


@dataclass(frozen=True)
class Panel:
    """One picture of a row.

    Args:
        pixels: (H, W, 3) or (H, W, 1) uint8; None where there is none, and ``note`` says why.
        title: the line above the picture.
        caption: the line below it.
        note: the text in place of the picture.
        film: (H, W, 3 or 4) uint8 of a map alone, where it can be laid over the row's picture.
    """

    pixels: np.ndarray | None
    title: str
    caption: Line = ()
    note: str = ""
    film: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """One view of the image, explained as one class.

    Args:
        panels: the view itself and its maps.
        classes: its likeliest classes; the explained one alone where a row before shows them.
        explained: the class that is explained.
        original: the true class, or the one predicted for the clean image.
        wrong: the other class predicted for the adversarial image, if there is one.
        heading: the line above the row.
        text: paragraphs below the classes.
    """

    panels: Sequence[Panel]
    classes: Sequence[Prediction]
    explained: int
    original: int
    wrong: int | None = None
    heading: Line = ()
    text: Sequence[str] = ()


@dataclass(frozen=True)
class Numbers:
    """A table of numbers.

    Args:
        columns: the headings.
        rows: a text for each column; the first ``names`` of them are names, and the rest numbers.
        names: how many columns are names.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 0


@dataclass(frozen=True)
class Sheet:
    """A contact sheet.

    Args:
        title: the name of the image.
        rows: the views.
        notes: lines at the foot.
        headlines: what each model predicts, a line a model.
        numbers: the table below the rows.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()
    headlines: Sequence[Line] = ()
    numbers: Numbers | None = None

    def texts(self) -> Iterator[str]:
        """Yield everything that is written on it."""
        yield from (self.title, *self.notes)
        lines = list(self.headlines)
        for row in self.rows:
            yield from (*row.text, *(item.label for item in row.classes))
            lines += [row.heading, *(panel.caption for panel in row.panels)]
            for panel in row.panels:
                yield from (panel.title, panel.note)
        yield from (word.text for line in lines for word in line)
        if self.numbers is not None:
            for cells in (self.numbers.columns, *self.numbers.rows):
                yield from cells


def share_text(value: float) -> str:
    """Format a share in percent; a positive one is never 0.0%."""
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"
