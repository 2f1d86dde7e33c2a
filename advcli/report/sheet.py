"""The contact sheet of one image: a row a view, with its likeliest classes and a column a map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from advcli.records import Prediction
from advcli.report.lettering import Lettering, cut

# Told apart by people of every kind of colour vision (Okabe and Ito).
_ORIGINAL, _WRONG, _OTHER, _TRACK, _TEXT = "#0072b2", "#d55e00", "#999999", "#eeeeee", "#222222"
_DPI = 100
_SMALL, _LARGE = 8.5, 11
# All in pixels.
_MARGIN, _LINE, _HEAD, _FOOT, _BARS = 18, 16, 46, 40, 290
_LEAST_SIDE, _MOST_SIDE = 224, 448


@dataclass(frozen=True)
class Panel:
    """One picture of a row: (H, W, 3) or (H, W, 1) uint8 pixels, what it is, and what it is worth."""

    pixels: np.ndarray
    title: str
    detail: str = ""
    caption: str = ""


@dataclass(frozen=True)
class Row:
    """One view of the image: the picture itself and its maps, its likeliest classes, the explained class."""

    panels: Sequence[Panel]
    classes: Sequence[Prediction]
    explained: int


@dataclass(frozen=True)
class Sheet:
    """A contact sheet.

    Args:
        title: what all of it shows.
        rows: the views.
        original: the class predicted for the image as it is.
        wrong: the other class predicted for the adversarial image, if there is one.
    """

    title: str
    rows: Sequence[Row]
    original: int
    wrong: int | None = None

    def draw(self, file: BinaryIO) -> None:
        """Draw the sheet as a PNG picture."""
        from matplotlib import style

        # A user's own matplotlibrc is for the user's own figures.
        with style.context("default", after_reset=True):
            _Drawing(self).save(file)


class _Drawing:
    """A sheet on a plane of pixels, so that everything stands where it should and small images stay sharp."""

    def __init__(self, sheet: Sheet) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        edge = max(sheet.rows[0].panels[0].pixels.shape[:2])
        self._side = side = min(edge * -(-_LEAST_SIDE // edge), _MOST_SIDE)
        columns = len(sheet.rows[0].panels)
        bars = max([5, *(len(row.classes) for row in sheet.rows)])
        self._step = side / bars
        width = 2 * _MARGIN + columns * (side + _MARGIN) + _BARS
        height = 2 * _MARGIN + _LINE + len(sheet.rows) * (_HEAD + self._side + _FOOT)
        self._sheet = sheet
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        self._renderer: Any = FigureCanvasAgg(self._figure).get_renderer()
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
        panels = [panel for row in sheet.rows for panel in row.panels]
        labels = [item.label for row in sheet.rows for item in row.classes]
        self._lettering = Lettering([sheet.title, *labels, *(panel.detail for panel in panels)])
        self._write(_MARGIN, _MARGIN, sheet.title, width - 2 * _MARGIN, size=_LARGE)
        for number, row in enumerate(sheet.rows):
            top = _MARGIN + 2 * _LINE + number * (_HEAD + self._side + _FOOT)
            self._row(row, top)

    def save(self, file: BinaryIO) -> None:
        self._figure.savefig(file, format="png", dpi=_DPI)

    def _row(self, row: Row, top: float) -> None:
        left = _MARGIN
        for column, panel in enumerate(row.panels):
            self._picture(panel, left, top)
            left += self._side + _MARGIN
            if column == 0:
                self._bars(row, left, top)
                left += _BARS + _MARGIN

    def _picture(self, panel: Panel, left: float, top: float) -> None:
        self._write(left, top, panel.title, self._side, bold=True)
        self._write(left, top + _LINE, panel.detail, self._side)
        top += _HEAD - 6
        pixels = panel.pixels
        shown = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
        side = self._side
        smooth = "nearest" if side % shown.shape[0] == 0 else "antialiased"
        self._axes.imshow(shown, extent=(left, left + side, top + side, top), interpolation=smooth, aspect="auto")
        self._write(left, top + side + 4, panel.caption, side)

    def _bars(self, row: Row, left: float, top: float) -> None:
        known = {item.index for item in row.classes}
        self._write(left, top, "likeliest classes (explained: bold)", _BARS)
        key = [
            ("blue: original" if len(self._sheet.rows) > 1 else "blue: predicted", _ORIGINAL, self._sheet.original),
            ("vermilion: adversarial", _WRONG, self._sheet.wrong),
        ]
        place = left
        for text, colour, index in key:
            if index in known:
                place += self._write(place, top + _LINE, text, _BARS, colour=colour) + 12
        for number, item in enumerate(row.classes):
            y = top + _HEAD - 6 + number * self._step
            colour = {self._sheet.wrong: _WRONG, self._sheet.original: _ORIGINAL}.get(item.index, _OTHER)
            label = item.label if self._lettering.has(item.label) else f"class {item.index}"
            text = colour if colour != _OTHER else _TEXT
            self._write(left, y, label, _BARS - 60, colour=text, bold=item.index == row.explained)
            self._write(left + _BARS, y, _percent(item.confidence), 60, colour=text, align="right")
            for length, fill in ((1, _TRACK), (item.confidence, colour)):
                self._axes.fill_between(
                    (left, left + _BARS * length), y + _LINE, y + _LINE + 8, color=fill, linewidth=0
                )

    def _write(
        self,
        left: float,
        top: float,
        text: str,
        width: float,
        *,
        size: float = _SMALL,
        colour: str = _TEXT,
        bold: bool = False,
        align: Any = "left",
    ) -> float:
        """Write a line of text and return how wide it is."""
        style = self._lettering.style(size, bold)
        text = cut(self._lettering.line(text), style, width, self._renderer)
        # A dollar sign in a name starts no formula.
        self._axes.text(left, top, text, fontproperties=style, color=colour, ha=align, va="top", parse_math=False)
        return self._renderer.get_text_width_height_descent(text, style, False)[0]


def _percent(value: float) -> str:
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"
