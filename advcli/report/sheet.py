"""The contact sheet of one image: a row a view, with its likeliest classes and a column a map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np

from advcli.records import Prediction
from advcli.report.lettering import Lettering, cut

# Distinguishable in every kind of colour vision (Okabe and Ito).
_ORIGINAL, _WRONG, _OTHER, _TRACK, _TEXT, _EMPTY = "#0072b2", "#d55e00", "#999999", "#eeeeee", "#222222", "#f4f4f4"
_DPI = 100
_SMALL, _LARGE = 8.5, 11
# All in pixels.
_MARGIN, _LINE, _HEAD, _FOOT, _BARS = 18, 16, 46, 24, 290
_LEAST_SIDE, _MOST_SIDE = 224, 448
# A strip of more maps would be wider than a screen.
_MOST_ACROSS = 6


@dataclass(frozen=True)
class Panel:
    """One picture of a row.

    Args:
        pixels: (H, W, 3) or (H, W, 1) uint8; None where there is none, and ``note`` says why.
        title: the heading.
        detail: the line below the heading.
        caption: the lines below the picture.
        note: the text in place of the picture.
        film: (H, W, 3 or 4) uint8 of a map alone, where it can be laid over the row's picture.
    """

    pixels: np.ndarray | None
    title: str
    detail: str = ""
    caption: str = ""
    note: str = ""
    film: np.ndarray | None = None


@dataclass(frozen=True)
class Row:
    """One view of the image, explained as one class.

    Args:
        panels: the view itself and its maps.
        classes: its likeliest classes.
        explained: the class that is explained.
        original: the true class, or the one predicted for the clean image.
        wrong: the other class predicted for the adversarial image, if there is one.
        lines: the text in place of the classes, where the row before shows them.
        blue: the meaning of blue.
    """

    panels: Sequence[Panel]
    classes: Sequence[Prediction]
    explained: int
    original: int
    wrong: int | None = None
    lines: Sequence[str] = ()
    blue: str = "blue: true"


@dataclass(frozen=True)
class Sheet:
    """A contact sheet.

    Args:
        title: the heading.
        rows: the views.
        notes: lines at the foot.
    """

    title: str
    rows: Sequence[Row]
    notes: Sequence[str] = ()

    def draw(self, file: BinaryIO) -> None:
        """Draw the sheet as a PNG picture."""
        from matplotlib import style

        # The user's matplotlibrc must not change the sheet.
        with style.context("default", after_reset=True):
            _Drawing(self).save(file)


class _Drawing:
    """A sheet drawn in pixel coordinates, so that small images stay sharp."""

    def __init__(self, sheet: Sheet) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        panels = [panel for row in sheet.rows for panel in row.panels]
        shapes = [panel.pixels.shape[:2] for panel in panels if panel.pixels is not None]
        longest = max(max(shape) for shape in shapes)
        self._longest = min(longest * -(-_LEAST_SIDE // longest), _MOST_SIDE)
        sizes = [self._size(shape) for shape in shapes]
        self._tall = max(height for height, _ in sizes)
        # The words around a picture need room beside a narrow one, the bars beside a low one.
        self._side = side = max(_LEAST_SIDE, *(width for _, width in sizes))
        self._room = max(_LEAST_SIDE, self._tall)
        maps = max(len(row.panels) - 1 for row in sheet.rows)
        self._across = -(-maps // max(1, -(-maps // _MOST_ACROSS)))
        bars = max([5, *(len(row.classes) for row in sheet.rows)])
        self._step = self._room / bars
        width = 2 * _MARGIN + (1 + self._across) * (side + _MARGIN) + _BARS
        height = 2 * _MARGIN + _LINE + sum(map(self._height, sheet.rows)) + len(sheet.notes) * _LINE
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
        self._renderer = FigureCanvasAgg(self._figure).get_renderer()
        self._axes = self._figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set(xlim=(0, width), ylim=(height, 0), autoscale_on=False)
        labels = [item.label for row in sheet.rows for item in row.classes]
        lines = [line for row in sheet.rows for line in row.lines]
        written = [text for panel in panels for text in (panel.title, panel.detail, panel.caption, panel.note)]
        self._lettering = Lettering([sheet.title, *labels, *lines, *sheet.notes, *written])
        self._write(_MARGIN, _MARGIN, sheet.title, width - 2 * _MARGIN, size=_LARGE)
        top = _MARGIN + 2 * _LINE
        for row in sheet.rows:
            self._row(row, top)
            top += self._height(row)
        for note in sheet.notes:
            self._write(_MARGIN, top - _LINE, note, width - 2 * _MARGIN)
            top += _LINE

    def save(self, file: BinaryIO) -> None:
        self._figure.savefig(file, format="png", dpi=_DPI)

    def _row(self, row: Row, top: float) -> None:
        self._panel(row.panels[0], _MARGIN, top)
        start = 2 * _MARGIN + self._side
        if row.lines:
            self._lines(row, start, top)
        else:
            self._bars(row, start, top)
        start += _BARS + _MARGIN
        for line, strip in enumerate(self._strips(row)):
            first = line == 0
            for column, panel in enumerate(strip[first:]):
                self._panel(panel, start + column * (self._side + _MARGIN), top)
            top += self._strip_height(strip, first)

    def _strips(self, row: Row) -> list[Sequence[Panel]]:
        """Split a row's pictures into strips; the view itself is in the first one."""
        first = 1 + self._across
        rest = range(first, len(row.panels), max(1, self._across))
        return [row.panels[:first], *(row.panels[start : start + self._across] for start in rest)]

    def _strip_height(self, strip: Sequence[Panel], first: bool) -> float:
        captioned = self._tall + _LINE * max(2, *(len(panel.caption.splitlines()) for panel in strip))
        return _HEAD + _FOOT + (max(captioned, self._room) if first else captioned)

    def _height(self, row: Row) -> float:
        return sum(self._strip_height(strip, place == 0) for place, strip in enumerate(self._strips(row)))

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return height and width of a picture on the sheet, in its own proportions."""
        scale = self._longest / max(shape)
        return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))

    def _panel(self, panel: Panel, left: float, top: float) -> None:
        side, height = self._side, self._tall
        self._write(left, top, panel.title, side, bold=True)
        self._write(left, top + _LINE, panel.detail, side)
        top += _HEAD - 6
        if panel.pixels is None:
            if panel.note:
                bottom = top + max(height, 24 + _LINE * len(panel.note.splitlines()))
                self._axes.fill_between((left, left + side), top, bottom, color=_EMPTY, linewidth=0)
            for number, line in enumerate(panel.note.splitlines()):
                self._write(left + 12, top + 12 + number * _LINE, line, side - 24)
        else:
            shown = np.repeat(panel.pixels, 3, axis=-1) if panel.pixels.shape[-1] == 1 else panel.pixels
            height, width = self._size(shown.shape[:2])
            whole = height % shown.shape[0] == width % shown.shape[1] == 0
            extent = (left, left + width, top + height, top)
            smooth = "nearest" if whole else "antialiased"
            self._axes.imshow(shown, extent=extent, interpolation=smooth, aspect="auto")
        for number, line in enumerate(panel.caption.splitlines()):
            self._write(left, top + height + 4 + number * _LINE, line, side)

    def _lines(self, row: Row, left: float, top: float) -> None:
        top += _HEAD - 6
        kept = min(len(row.lines), int(self._room // _LINE))
        # Lines that belong together are shown completely or not at all.
        while kept < len(row.lines) and row.lines[kept].startswith(" "):
            kept -= 1
        for number, line in enumerate(row.lines[:kept]):
            self._write(left, top + number * _LINE, line.strip(), _BARS, bold=not line.startswith(" "))

    def _bars(self, row: Row, left: float, top: float) -> None:
        known = {item.index for item in row.classes}
        self._write(left, top, "likeliest classes (explained: bold)", _BARS)
        key = [(row.blue, _ORIGINAL, row.original), ("vermilion: wrong", _WRONG, row.wrong)]
        place = left
        for text, colour, index in key:
            if index in known:
                place += self._write(place, top + _LINE, text, _BARS, colour=colour) + 12
        for number, item in enumerate(row.classes):
            y = top + _HEAD - 6 + number * self._step
            colour = {row.wrong: _WRONG, row.original: _ORIGINAL}.get(item.index, _OTHER)
            label = item.label if self._lettering.has(item.label) else f"class {item.index}"
            text = colour if colour != _OTHER else _TEXT
            self._write(left, y, label, _BARS - 60, colour=text, bold=item.index == row.explained)
            self._write(left + _BARS, y, share_text(item.confidence), 60, colour=text, align="right")
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
        align: Literal["left", "center", "right"] = "left",
    ) -> float:
        """Write a line of text and return how wide it is."""
        style = self._lettering.style(size, bold)
        text = cut(self._lettering.line(text), style, width, self._renderer)
        # A dollar sign in a name starts no formula.
        self._axes.text(left, top, text, fontproperties=style, color=colour, ha=align, va="top", parse_math=False)
        return self._renderer.get_text_width_height_descent(text, style, False)[0]


def share_text(value: float) -> str:
    """Format a share in percent; a positive one is never 0.0%."""
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"
