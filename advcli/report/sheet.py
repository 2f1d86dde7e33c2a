"""The contact sheet of one image: a row a view, with its likeliest classes and a column a map, and a table of numbers.

It is drawn with Pillow in whole pixels, so that small images stay sharp.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from advcli.records import Prediction
from advcli.report.lettering import Lettering

if TYPE_CHECKING:
    from PIL.Image import Image

# Distinguishable in every kind of colour vision (Okabe and Ito).
ORIGINAL, WRONG = "#0072b2", "#d55e00"
_OTHER, _TRACK, _TEXT, _SOFT, _RULE, _EMPTY = "#999999", "#eeeeee", "#1a1a1a", "#5f5f5f", "#d0d0d0", "#f4f4f4"
# All in pixels.
_SMALL, _MEDIUM, _LARGE, _LARGEST = 11, 12, 15, 19
_MARGIN, _GAP, _LINE, _HEAD, _FOOT, _BARS, _STEP, _SWATCH = 20, 18, 17, 26, 22, 262, 30, 10
_LEAST_NAME = 30
_LEAST_SIDE, _MOST_SIDE = 224, 256
# A strip of more maps would be wider than a screen.
_MOST_ACROSS = 6


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

    def draw(self, file: BinaryIO) -> None:
        """Draw the sheet as a PNG picture."""
        Drawing(self).save(file)


@dataclass(frozen=True)
class Mark:
    """Where something was drawn, in pixels."""

    kind: str
    left: float
    top: float
    right: float
    bottom: float
    text: str = ""


class Drawing:
    """A sheet in pixel coordinates.

    Args:
        sheet: what is drawn; afterwards ``marks`` says where its texts and pictures are.
    """

    def __init__(self, sheet: Sheet) -> None:
        from PIL import Image, ImageDraw

        self.marks: list[Mark] = []
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
        self._lettering = Lettering(_texts(sheet))
        self._width = 2 * _MARGIN + self._side + _GAP + _BARS + self._across * (_GAP + self._side)
        heads = [lines for line in sheet.headlines for lines in self._broken(line)]
        top = _MARGIN + _LARGEST + 12 + len(heads) * (_LINE + 3) + 8
        height = top + sum(self._height(row) for row in sheet.rows) + _MARGIN
        height += self._table_height(sheet.numbers) + len(sheet.notes) * _LINE
        self._image = Image.new("RGB", (self._width, height), "white")
        self._draw = ImageDraw.Draw(self._image)
        inside = self._width - 2 * _MARGIN
        self._write(_MARGIN, _MARGIN - 4, sheet.title, inside, size=_LARGEST, bold=True)
        for number, line in enumerate(heads):
            self._line(_MARGIN, _MARGIN + _LARGEST + 8 + number * (_LINE + 3), line, inside, size=13)
        for row in sheet.rows:
            self._row(row, top)
            top += self._height(row)
        top = self._table(sheet.numbers, top)
        for note in sheet.notes:
            self._write(_MARGIN, top, note, inside, colour=_SOFT)
            top += _LINE

    def save(self, file: BinaryIO) -> None:
        """Write the picture as a PNG file."""
        # Higher levels take several times as long, for a file that is a few percent smaller.
        self._image.save(file, format="PNG", compress_level=3)

    def _row(self, row: Row, top: int) -> None:
        self._draw.line((_MARGIN, top, self._width - _MARGIN, top), fill=_RULE)
        self._line(_MARGIN, top + 12, row.heading, self._width - 2 * _MARGIN, size=_LARGE, bold=True)
        top += self._heading_height(row)
        self._panel(row.panels[0], _MARGIN, top)
        start = _MARGIN + self._side + _GAP
        below = top + self._bars(row, start, top)
        for line in self._paragraphs(row):
            self._write(start, below, line, _BARS, colour=_SOFT)
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
            lines += self._lettering.wrapped(paragraph, _MEDIUM, _BARS)
        return lines

    def _size(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return height and width of a picture on the sheet, in its own proportions."""
        scale = self._longest / max(shape)
        return max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))

    def _panel(self, panel: Panel, left: int, top: int) -> None:
        self._write(left, top, panel.title, self._side, bold=True)
        top += _HEAD - 4
        height = self._tall
        if panel.pixels is not None:
            height, width = self._size(panel.pixels.shape[:2])
            self._image.paste(_enlarged(panel.pixels, (height, width)), (left, top))
            self.marks.append(Mark("picture", left, top, left + width, top + height))
        elif panel.note:
            self._draw.rectangle((left, top, left + self._side - 1, top + height - 1), fill=_EMPTY)
            lines = self._lettering.wrapped(panel.note, _MEDIUM, self._side - 24)
            for number, line in enumerate(lines):
                self._write(left + 12, top + 12 + number * _LINE, line, self._side - 24, colour=_SOFT)
        self._line(left, top + height + 5, panel.caption, self._side, colour=_SOFT)

    def _bars_height(self, row: Row) -> int:
        return _HEAD + len(row.classes) * _STEP + 8 if row.classes else _HEAD

    def _bars(self, row: Row, left: int, top: int) -> int:
        """Draw the likeliest classes and return their height."""
        if row.classes:
            title = "likeliest classes" if len(row.classes) > 1 else "class explained"
            self._write(left, top, title, _BARS, bold=True)
        for number, item in enumerate(row.classes):
            y = top + _HEAD - 4 + number * _STEP
            colour = {row.wrong: WRONG, row.original: ORIGINAL}.get(item.index, _OTHER)
            label = item.label if self._lettering.has(item.label) else f"class {item.index}"
            text = colour if colour != _OTHER else _TEXT
            is_bold = item.index == row.explained
            share = share_text(item.confidence)
            room = self._lettering.width(share, _MEDIUM, is_bold)
            self._write(left, y, label, _BARS - room - 12, colour=text, bold=is_bold)
            self._write(left + _BARS - room, y, share, room, colour=text, bold=is_bold)
            for length, fill in ((1.0, _TRACK), (item.confidence, colour)):
                wide = round(_BARS * length)
                if wide:
                    self._draw.rectangle((left, y + 17, left + wide - 1, y + 22), fill=fill)
        return self._bars_height(row)

    def _table_height(self, numbers: Numbers | None) -> int:
        return 0 if numbers is None else 12 + (len(numbers.rows) + 1) * _LINE + 14

    def _table(self, numbers: Numbers | None, top: int) -> int:
        """Draw the table and return where it ends."""
        if numbers is None:
            return top
        self._draw.line((_MARGIN, top, self._width - _MARGIN, top), fill=_RULE)
        y = top + 12
        for number, cells in enumerate((numbers.columns, *numbers.rows)):
            left = _MARGIN
            for column, (text, wide) in enumerate(zip(cells, self._column_widths(numbers), strict=True)):
                written = self._lettering.cut(self._lettering.line(text), _SMALL, wide)
                away = 0 if column < numbers.names else wide - self._lettering.width(written, _SMALL)
                self._write(left + away, y, written, wide, size=_SMALL, colour=_TEXT if number else _SOFT)
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
        over = sum(wide) + 26 * (len(wide) - 1) - (self._width - 2 * _MARGIN)
        while over > 0 and numbers.names and max(wide[: numbers.names]) > 40:
            widest = wide.index(max(wide[: numbers.names]))
            less = min(over, 20)
            wide[widest] -= less
            over -= less
        return wide

    def _broken(self, line: Line) -> Sequence[Line]:
        """Break a line of words into lines that fit the sheet."""
        lines: list[list[Word]] = [[]]
        for word in line:
            if lines[-1] and self._words_width([*lines[-1], word], 13) > self._width - 2 * _MARGIN:
                lines.append([])
            lines[-1].append(word)
        return lines

    def _words_width(self, line: Line, size: int, bold: bool = False) -> float:
        swatches = sum(_SWATCH + 5 for word in line if word.swatch)
        spaces = self._lettering.width(" ", size, bold) * (len(line) - 1)
        return swatches + spaces + sum(self._lettering.width(self._text(word), size, bold) for word in line)

    def _text(self, word: Word) -> str:
        return self._lettering.line(word.text)

    def _line(
        self,
        left: float,
        top: int,
        line: Line,
        width: float,
        *,
        size: int = _MEDIUM,
        colour: str = _TEXT,
        bold: bool = False,
    ) -> None:
        """Write a line of words; names are cut where it is too long."""
        lengths = [self._lettering.width(self._text(word), size, bold) for word in line]
        over = self._words_width(line, size, bold) - width
        while over > 0 and any(
            word.is_name and length > _LEAST_NAME for word, length in zip(line, lengths, strict=True)
        ):
            longest = max((length, place) for place, length in enumerate(lengths) if line[place].is_name)[1]
            less = min(over, 8)
            lengths[longest] -= less
            over -= less
        end = left + width
        for word, length in zip(line, lengths, strict=True):
            if word.swatch:
                middle = top + round(0.66 * size)
                box = (left, middle - _SWATCH // 2, left + _SWATCH - 1, middle + _SWATCH // 2 - 1)
                self._draw.rectangle(box, fill=word.swatch)
                left += _SWATCH + 5
            text = self._text(word)
            room = min(length, end - left)
            left += self._write(left, top, text, room, size=size, colour=colour, bold=bold)
            left += self._lettering.width(" ", size, bold)

    def _write(
        self,
        left: float,
        top: int,
        text: str,
        width: float,
        *,
        size: int = _MEDIUM,
        colour: str = _TEXT,
        bold: bool = False,
    ) -> float:
        """Write a line of text and return how wide it is."""
        text = self._lettering.cut(self._lettering.line(text), size, width + 0.5, bold)
        start = left
        for part, font in self._lettering.runs(text, size, bold):
            self._draw.text((left, top + size), part, font=font, fill=colour, anchor="ls")
            left += font.getlength(part)
        if text:
            self.marks.append(Mark("text", start, top, left, top + size + 3, text))
        return left - start


def _enlarged(pixels: np.ndarray, size: tuple[int, int]) -> "Image":
    from PIL.Image import Resampling, fromarray

    picture = fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("RGB")
    height, width = size
    whole = height % pixels.shape[0] == width % pixels.shape[1] == 0
    return picture.resize((width, height), Resampling.NEAREST if whole else Resampling.LANCZOS)


def _texts(sheet: Sheet) -> Iterator[str]:
    """Yield everything that is written on a sheet."""
    yield from (sheet.title, *sheet.notes)
    lines = list(sheet.headlines)
    for row in sheet.rows:
        yield from (*row.text, *(item.label for item in row.classes))
        lines += [row.heading, *(panel.caption for panel in row.panels)]
        for panel in row.panels:
            yield from (panel.title, panel.note)
    yield from (word.text for line in lines for word in line)
    if sheet.numbers is not None:
        for cells in (sheet.numbers.columns, *sheet.numbers.rows):
            yield from cells


def share_text(value: float) -> str:
    """Format a share in percent; a positive one is never 0.0%."""
    return "<0.1%" if 0 < value < 0.0005 else f"{value:.1%}"
