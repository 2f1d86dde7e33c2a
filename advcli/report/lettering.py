"""Text in a picture: fonts that have its characters, and lines that fit the room there is."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

_FONT = "DejaVu Sans"
# Draws a frame with the name of its script for every character there is.
_PLACEHOLDERS = "Last Resort"


class Lettering:
    """The fonts that a picture's texts need, of those that are installed.

    Args:
        texts: everything that will be written.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

        self.families = [_FONT]
        self._files = [findfont(_FONT)]
        self._bold = findfont(FontProperties(family=_FONT, weight="bold"))
        self._fonts: dict[tuple[str, int], FreeTypeFont] = {}
        self._others: dict[str, str] = {}
        wanted = {ord(character) for character in "".join(texts) if not character.isspace()}
        self._missing = wanted - get_font(self._files[0]).get_charmap().keys()
        for font in sorted(fontManager.ttflist, key=lambda font: (font.name, font.fname)) if self._missing else ():
            if font.name.startswith(_PLACEHOLDERS):
                continue
            found = self._missing & get_font(font.fname).get_charmap().keys()
            if found:
                self.families.append(font.name)
                self._others |= dict.fromkeys(map(chr, found), font.fname)
                self._missing -= found

    def has(self, text: str) -> bool:
        """Tell whether every character of a text can be drawn."""
        return not self._missing.intersection(map(ord, text))

    def line(self, text: str) -> str:
        """Make a text one line of characters that can be drawn."""
        return " ".join("".join(character if self.has(character) else "?" for character in text).split())

    def runs(self, text: str, size: int, bold: bool = False) -> Iterator[tuple[str, "FreeTypeFont"]]:
        """Split a text into parts of one font each.

        Args:
            text: one line.
            size: in pixels.
            bold: whether to use the bold face; characters that only another font has have none.
        """
        usual = self._bold if bold else self._files[0]
        for file, part in groupby(text, key=lambda character: self._others.get(character, usual)):
            yield "".join(part), self._font(file, size)

    def width(self, text: str, size: int, bold: bool = False) -> float:
        """Return how wide a line is, in pixels."""
        return sum(font.getlength(part) for part, font in self.runs(text, size, bold))

    def cut(self, text: str, size: int, room: float, bold: bool = False) -> str:
        """Shorten a line to a width in pixels; three dots stand for what is left out."""

        def too_wide(text: str) -> bool:
            return self.width(text, size, bold) > room

        if not too_wide(text):
            return text
        kept = bisect_left(range(len(text)), True, key=lambda length: too_wide(f"{text[:length]}...")) - 1
        return f"{text[: max(kept, 0)].rstrip()}..."

    def wrapped(self, text: str, size: int, room: float) -> list[str]:
        """Break a text into lines that fit a width in pixels; words that are wider are cut."""
        lines: list[str] = []
        for word in self.line(text).split():
            longer = f"{lines[-1]} {word}" if lines else word
            if lines and self.width(longer, size) <= room:
                lines[-1] = longer
            else:
                lines.append(self.cut(word, size, room))
        return lines

    def _font(self, file: str, size: int) -> "FreeTypeFont":
        from PIL import ImageFont

        key = (file, size)
        if key not in self._fonts:
            self._fonts[key] = ImageFont.truetype(file, size, layout_engine=ImageFont.Layout.BASIC)
        return self._fonts[key]
