"""Tables that fit a width: cells folded between words, or a block of lines a row."""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

# A title or caption is at most as wide as this, or as its table.
_READABLE = 80
# The frame of a column: a space on both sides, and a line; the table has one line more.
_FRAME, _EDGE = 3, 1
# Cells with more lines than this are as narrow as their words; so many texts of a column are measured.
_HIGHEST, _LONGEST = 12, 200
# Kept in one piece: an interval, a radius.
_WHOLE = re.compile(r"\[[^\][\n]{1,24}\]|\bL(?:inf|\d) [\d.]+(?:/255)?|<= [\d.]+%?")
# A name too long for its column is folded after one of these.
_JOINTS = re.compile(r"(?<=[^\W\d_]{2}[-_/:=,+.])(?=\w{2})|(?<=\w{2}[-_/:=,+])(?=[^\W\d_]{2})")


def fit_table(table: Table, width: int) -> Iterator[RenderableType]:
    """Yield a table, with its title above and its caption below, in lines of at most this width.

    No word is broken: cells are folded between words, and names after a hyphen or the like. A table that is too wide
    even so has a block of lines for each row. Only a single word that is wider than all lines is broken.
    """
    headings = [_text(column.header) for column in table.columns]
    rows = list(zip(*([_text(cell) for cell in column.cells] for column in table.columns), strict=True))
    columns = [[heading, *(row[number] for row in rows)] for number, heading in enumerate(headings)]
    room = width - _EDGE - _FRAME * len(columns)
    widths = _widths(columns, room)
    drawn = _blocks(table, headings, rows, width) if widths is None else _folded(table, headings, rows, widths)
    title, caption = _text(table.title), _text(table.caption)
    across = min(width, max(_READABLE, sum(widths or [width]) + _EDGE + _FRAME * len(columns)))
    if title:
        title.stylize_before("italic")
        yield fold_text(title, across)
    yield drawn
    if caption:
        caption.stylize_before("dim italic")
        yield fold_text(caption, across)


def fold_text(text: Text, width: int) -> Text:
    """Fold a text between words into lines of at most this width."""
    lines = [line for part in text.split("\n", allow_blank=True) for line in _lines(part, width)]
    return Text("\n").join(lines)


def _text(content: object) -> Text:
    return content.copy() if isinstance(content, Text) else Text("" if content is None else str(content))


def _narrowest(line: str) -> int:
    """Return the width below which a word would be broken."""
    words = _split(line, _spaces(line))
    return max(cell_len(piece.rstrip()) for word in words for piece in _split(word, _joints(word)))


def _widths(columns: Sequence[Sequence[Text]], room: int) -> list[int] | None:
    """Divide the room among columns so that the highest cell has as few lines as possible; None if it is too small."""
    found = [_Column(column) for column in columns]
    if sum(column.narrowest for column in found) > room:
        return None
    for lines in range(1, _HIGHEST + 1):
        widths = [column.width(lines) for column in found]
        if sum(widths) <= room:
            break
    else:
        widths = [column.narrowest for column in found]
    # What is left makes columns whole that need least of it, for their cells before their headings.
    for most in ([column.widest_cell for column in found], [column.widest for column in found]):
        for number in sorted(range(len(found)), key=lambda number: most[number] - widths[number]):
            if 0 < most[number] - widths[number] <= room - sum(widths):
                widths[number] = most[number]
    return widths


class _Column:
    """How wide the texts of a column must be.

    Args:
        texts: the heading and all cells.
    """

    def __init__(self, texts: Sequence[Text]) -> None:
        lines = {line for text in texts for line in text.plain.split("\n")}
        self.narrowest = max(_narrowest(line) for line in lines)
        self.widest = max(cell_len(line) for line in lines)
        self.widest_cell = max((cell_len(line) for text in texts[1:] for line in text.plain.split("\n")), default=0)
        # The longest decide.
        self._longest = sorted({text.plain for text in texts}, key=cell_len)[-_LONGEST:]

    def width(self, lines: int) -> int:
        """Return the smallest width at which no text has more lines than these, and than it has of its own."""
        low, high = self.narrowest, self.widest
        while low < high:
            middle = (low + high) // 2
            if all(_count(text, middle) <= max(lines, text.count("\n") + 1) for text in self._longest):
                high = middle
            else:
                low = middle + 1
        return high


def _count(text: str, width: int) -> int:
    return sum(len(_ends(line, width)) + 1 for line in text.split("\n"))


def _folded(table: Table, headings: Sequence[Text], rows: Sequence[Sequence[Text]], widths: Sequence[int]) -> Table:
    folded = _empty(table)
    for column, heading, width in zip(table.columns, headings, widths, strict=True):
        folded.add_column(fold_text(heading, width), justify=column.justify, style=column.style, overflow="fold")
    for row, given in zip(rows, table.rows, strict=True):
        cells = [fold_text(text, width) for text, width in zip(row, widths, strict=True)]
        folded.add_row(*cells, style=given.style, end_section=given.end_section)
    return folded


def _blocks(table: Table, headings: Sequence[Text], rows: Sequence[Sequence[Text]], width: int) -> Table:
    """Write each row as a block: a line for each heading and its cell."""
    blocks = _empty(table)
    blocks.show_header = False
    names = [Text(" ").join(heading.split()) for heading in headings]
    room = width - _EDGE - 2 * _FRAME
    left, right = _widths([names, [text for row in rows for text in row]], room) or (room // 3, room - room // 3)
    blocks.add_column(overflow="fold")
    blocks.add_column(overflow="fold")
    for row in rows:
        cells = [(name, text) for name, text in zip(names, row, strict=True) if text.plain]
        for number, (name, text) in enumerate(cells, 1):
            blocks.add_row(fold_text(name, left), fold_text(text, right), end_section=number == len(cells))
    return blocks


def _empty(table: Table) -> Table:
    return Table(box=table.box, safe_box=table.safe_box)


def _lines(text: Text, width: int) -> list[Text]:
    """Divide one line into lines of at most a width."""
    lines = list(text.divide(_ends(text.plain, width)))
    for each in lines[:-1]:
        each.rstrip()
    return lines


def _ends(text: str, width: int) -> list[int]:
    """Return where lines of at most a width begin, the first excluded."""
    ends, line = [], 0
    for begin, end in pairwise([0, *_breaks(text, width), len(text)]):
        if cell_len(text[line:end].rstrip()) > width and begin > line:
            ends.append(begin)
            line = begin
    return ends


def _breaks(line: str, width: int) -> list[int]:
    """Return where a line may end: between words, and at the joints of a word that is wider than the width."""
    breaks, begin = [], 0
    for word in _split(line, _spaces(line)):
        if cell_len(word.rstrip()) > width:
            breaks += [begin + joint for joint in _joints(word)]
        begin += len(word)
        breaks.append(begin)
    return breaks[:-1]


def _spaces(line: str) -> list[int]:
    whole = [match.span() for match in _WHOLE.finditer(line)]
    ends = (match.end() for match in re.finditer(r"(?<=\S) +(?=\S)", line))
    return [end for end in ends if not any(first < end < last for first, last in whole)]


def _joints(word: str) -> list[int]:
    return [] if _WHOLE.fullmatch(word.rstrip()) else [match.start() for match in _JOINTS.finditer(word)]


def _split(text: str, places: Sequence[int]) -> list[str]:
    return [text[begin:end] for begin, end in pairwise([0, *places, len(text)])]
