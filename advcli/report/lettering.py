"""Text in a picture: fonts that have its characters, and names cut to the room there is."""

from bisect import bisect_left
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.font_manager import FontProperties

_FONT = "DejaVu Sans"
# Draws a frame with the name of its script for every character there is.
_PLACEHOLDERS = "Last Resort"


class Lettering:
    """The fonts that a picture's texts need, of those that are installed.

    Args:
        texts: everything that will be written.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        from matplotlib.font_manager import findfont, fontManager, get_font

        self.families = [_FONT]
        wanted = {ord(character) for character in "".join(texts) if not character.isspace()}
        self._missing = wanted - get_font(findfont(_FONT)).get_charmap().keys()
        for font in sorted(fontManager.ttflist, key=lambda font: (font.name, font.fname)) if self._missing else ():
            if font.name.startswith(_PLACEHOLDERS):
                continue
            found = self._missing & get_font(font.fname).get_charmap().keys()
            if found:
                self.families.append(font.name)
                self._missing -= found

    def has(self, text: str) -> bool:
        """Tell whether every character of a text can be drawn."""
        return not self._missing.intersection(map(ord, text))

    def line(self, text: str) -> str:
        """Make a text one line of characters that can be drawn."""
        return " ".join("".join(character if self.has(character) else "?" for character in text).split())

    def style(self, size: float, bold: bool = False) -> "FontProperties":
        """Return the font for a size in points."""
        from matplotlib.font_manager import FontProperties

        return FontProperties(family=self.families, size=size, weight="bold" if bold else "normal")


def cut(text: str, style: "FontProperties", room: float, renderer: "RendererAgg") -> str:
    """Shorten a text to a width in pixels; three dots stand for what is left out."""

    def too_wide(text: str) -> bool:
        return renderer.get_text_width_height_descent(text, style, False)[0] > room

    if not too_wide(text):
        return text
    kept = bisect_left(range(len(text)), True, key=lambda length: too_wide(f"{text[:length]}...")) - 1
    return f"{text[: max(kept, 0)].rstrip()}..."
