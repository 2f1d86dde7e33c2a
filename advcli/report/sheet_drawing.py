"""The contact sheet of one image as a PNG picture, drawn with Pillow in whole pixels: small images stay sharp."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from advcli.report.canvas import MEDIUM, SOFT, TEXT, Canvas, Mark, break_line
from advcli.report.lettering import Lettering
from advcli.report.sheet import ORIGINAL, WRONG, Numbers, Panel, Row, Sheet, share_text

if TYPE_CHECKING:
    from PIL.Image import Image

_OTHER, _TRACK, _RULE, _EMPTY = "#999999", "#eeeeee", "#d0d0d0", "#f4f4f4"
# All in pixels.
_SMALL, _HEADLINE, _LARGE, _LARGEST = 11, 13, 15, 19
_MARGIN, _GAP, _LINE, _HEAD, _FOOT, _BARS, _STEP = 20, 18, 17, 26, 22, 262, 30
_LEAST_SIDE, _MOST_SIDE = 224, 256
# A strip of more maps would be wider than a screen.
_MOST_ACROSS = 6


class Drawing:
    """A sheet in pixel coordinates.

    Args:
        sheet: what is drawn.
    """

    def __init__(self, sheet: Sheet) -> None:
        panels = [panel for row in sheet.rows for panel in row.panels]
        shapes = [panel.pixels.shape[:2] for panel in panels if panel.pixels is not None]
        longest = max(max(shape) for shape in shapes)
        self._longest = min(longest * -(-_LEAST_SIDE // longest), _MOST_SIDE)
        sizes = [self._size(shape) for shape in shapes]
        self._tall = max(height for height, _ in sizes)
        # The words around a picture need room beside a narrow one.
        self._side = max(_LEAST_SIDE, *(width for _, width in sizes))
        maps = max(len(row.panels) - 1 for row in sheet.rows)
        self._across = -(-maps // max(1, -(-maps // _MOST_ACROSS)))
        self._lettering = Lettering(sheet.texts())
        self._width = 2 * _MARGIN + self._side + _GAP + _BARS + self._across * (_GAP + self._side)
        inside = self._inside = self._width - 2 * _MARGIN
        heads = [part for line in sheet.headlines for part in break_line(self._lettering, line, _HEADLINE, inside)]
        top = _MARGIN + _LARGEST + 12 + len(heads) * (_LINE + 3) + 8
        height = top + sum(self._height(row) for row in sheet.rows) + _MARGIN
        height += self._table_height(sheet.numbers) + len(sheet.notes) * _LINE
        self._canvas = Canvas((self._width, height), self._lettering)
        self._canvas.write(_MARGIN, _MARGIN - 4, sheet.title, inside, size=_LARGEST, bold=True)
        for number, line in enumerate(heads):
            self._canvas.line(_MARGIN, _MARGIN + _LARGEST + 8 + number * (_LINE + 3), line, inside, size=_HEADLINE)
        for row in sheet.rows:
            self._row(row, top)
            top += self._height(row)
        top = self._table(sheet.numbers, top)
        for note in sheet.notes:
            self._canvas.write(_MARGIN, top, note, inside, colour=SOFT)
            top += _LINE

    @property
    def marks(self) -> Sequence[Mark]:
        """Where its texts and pictures are."""
        return self._canvas.marks

    def save(self, file: BinaryIO) -> None:
        """Write the picture as a PNG file."""
        # Higher levels take several times as long, for a file that is a few percent smaller.
        self._canvas.image.save(file, format="PNG", compress_level=3)

    def _row(self, row: Row, top: int) -> None:
        self._canvas.rule(_MARGIN, self._width - _MARGIN, top, _RULE)
        self._canvas.line(_MARGIN, top + 12, row.heading, self._inside, size=_LARGE, bold=True)
        top += self._heading_height(row)
        self._panel(row.panels[0], _MARGIN, top)
        start = _MARGIN + self._side + _GAP
        below = top + self._bars(row, start, top)
        for line in self._paragraphs(row):
            self._canvas.write(start, below, line, _BARS, colour=SOFT)
            below += _LINE
        start += _BARS + _GAP
        for number, strip in enumerate(self._strips(row)):
            for column, panel in enumerate(strip):
                self._panel(panel, start + column * (self._side + _GAP), top)
            top += self._strip_height(row, number)

    def _strips(self, row: Row) -> list[Sequence[Panel]]:
        """Split the maps of a row into strips."""
        maps = row.panels[1:]
        return [maps[start : start + self._across] for start in range(0, len(maps), max(1, self._across))] or [()]

    def _heading_height(self, row: Row) -> int:
        return 12 + (_LARGE + 14 if row.heading else 0)

    def _strip_height(self, row: Row, number: int) -> int:
        pictures = _HEAD + self._tall + _FOOT
        if number > 0:
            return pictures + 8
        words = self._bars_height(row) + _LINE * len(self._paragraphs(row))
        return max(pictures, words) + 8

    def _height(self, row: Row) -> int:
        strips = range(len(self._strips(row)))
        return self._heading_height(row) + sum(self._strip_height(row, number) for number in strips) + 6

    def _paragraphs(self, row: Row) -> list[str]:
        """Break the paragraphs of a row into lines, with an empty one between paragraphs."""
        lines: list[str] = []
        for paragraph in row.text:
            lines += [""] if lines else []
            lines += self._lettering.wrapped(paragraph, MEDIUM, _BARS)
        return lines

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return height and width of a picture on the sheet, in its own proportions."""
        scale = self._longest / max(shape)
        return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))

    def _panel(self, panel: Panel, left: int, top: int) -> None:
        self._canvas.write(left, top, panel.title, self._side, bold=True)
        top += _HEAD - 4
        height = self._tall
        if panel.pixels is not None:
            height, width = self._size(panel.pixels.shape[:2])
            self._canvas.paste(_enlarged(panel.pixels, (height, width)), left, top)
        elif panel.note:
            self._canvas.fill(left, top, self._side, height, _EMPTY)
            lines = self._lettering.wrapped(panel.note, MEDIUM, self._side - 24)
            for number, line in enumerate(lines):
                self._canvas.write(left + 12, top + 12 + number * _LINE, line, self._side - 24, colour=SOFT)
        self._canvas.line(left, top + height + 5, panel.caption, self._side, colour=SOFT)

    def _bars_height(self, row: Row) -> int:
        return _HEAD + len(row.classes) * _STEP + 8 if row.classes else _HEAD

    def _bars(self, row: Row, left: int, top: int) -> int:
        """Draw the likeliest classes and return their height."""
        if row.classes:
            title = "likeliest classes" if len(row.classes) > 1 else "class explained"
            self._canvas.write(left, top, title, _BARS, bold=True)
        for number, item in enumerate(row.classes):
            y = top + _HEAD - 4 + number * _STEP
            colour = {row.wrong: WRONG, row.original: ORIGINAL}.get(item.index, _OTHER)
            label = item.label if self._lettering.has(item.label) else f"class {item.index}"
            text = colour if colour != _OTHER else TEXT
            is_bold = item.index == row.explained
            share = share_text(item.confidence)
            room = self._lettering.width(share, MEDIUM, is_bold)
            self._canvas.write(left, y, label, _BARS - room - 12, colour=text, bold=is_bold)
            self._canvas.write(left + _BARS - room, y, share, room, colour=text, bold=is_bold)
            for length, fill in ((1.0, _TRACK), (item.confidence, colour)):
                wide = round(_BARS * length)
                if wide:
                    self._canvas.fill(left, y + 17, wide, 6, fill)
        return self._bars_height(row)

    def _table_height(self, numbers: Numbers | None) -> int:
        return 0 if numbers is None else 12 + (len(numbers.rows) + 1) * _LINE + 14

    def _table(self, numbers: Numbers | None, top: int) -> int:
        """Draw the table and return where it ends."""
        if numbers is None:
            return top
        self._canvas.rule(_MARGIN, self._width - _MARGIN, top, _RULE)
        y = top + 12
        for number, cells in enumerate((numbers.columns, *numbers.rows)):
            left = _MARGIN
            for column, (text, wide) in enumerate(zip(cells, self._column_widths(numbers), strict=True)):
                written = self._lettering.cut(self._lettering.line(text), _SMALL, wide)
                away = 0 if column < numbers.names else wide - self._lettering.width(written, _SMALL)
                self._canvas.write(left + away, y, written, wide, size=_SMALL, colour=TEXT if number else SOFT)
                left += wide + 26
            y += _LINE
        return top + self._table_height(numbers)

    def _column_widths(self, numbers: Numbers) -> list[int]:
        """Give each column the room of its widest text; names share what is missing."""
        columns = list(zip(numbers.columns, *numbers.rows, strict=True))
        wide = [
            max(int(self._lettering.width(self._lettering.line(text), _SMALL)) + 1 for text in column)
            for column in columns
        ]
        over = sum(wide) + 26 * (len(wide) - 1) - self._inside
        while over > 0 and numbers.names and max(wide[: numbers.names]) > 40:
            widest = wide.index(max(wide[: numbers.names]))
            less = min(over, 20)
            wide[widest] -= less
            over -= less
        return wide


def _enlarged(pixels: np.ndarray, size: tuple[int, int]) -> "Image":
    from PIL.Image import Resampling, fromarray

    picture = fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    height, width = size
    whole = height % pixels.shape[0] == width % pixels.shape[1] == 0
    return picture.resize((width, height), Resampling.NEAREST if whole else Resampling.LANCZOS)
