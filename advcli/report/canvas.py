"""A picture of texts and pictures, which keeps where it drew each of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from advcli.report.lettering import Lettering
from advcli.report.sheet import Line, Word

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

TEXT, SOFT = "#1a1a1a", "#5f5f5f"
MEDIUM = 12
_SWATCH = 10
_LEAST_NAME = 30


@dataclass(frozen=True)
class Mark:
    """Where something was drawn, in pixels."""

    kind: str
    left: float
    top: float
    right: float
    bottom: float
    text: str = ""


class Canvas:
    """A white picture to draw on; ``marks`` are the places of its texts and pictures.

    Args:
        size: width and height in pixels.
        lettering: the fonts.
    """

    def __init__(self, size: tuple[int, int], lettering: Lettering) -> None:
        from PIL import Image, ImageDraw

        self.marks: list[Mark] = []
        self.image = Image.new("RGB", size, "white")
        self._draw = ImageDraw.Draw(self.image)
        self._lettering = lettering

    def rule(self, left: float, right: float, top: float, colour: str) -> None:
        """Draw a horizontal line."""
        self._draw.line((left, top, right, top), fill=colour)

    def fill(self, left: float, top: float, width: int, height: int, colour: str) -> None:
        """Fill a rectangle."""
        self._draw.rectangle((left, top, left + width - 1, top + height - 1), fill=colour)

    def paste(self, picture: "Picture", left: int, top: int) -> None:
        """Place a picture."""
        self.image.paste(picture, (left, top))
        self.marks.append(Mark("picture", left, top, left + picture.width, top + picture.height))

    def line(
        self,
        left: float,
        top: int,
        line: Line,
        width: float,
        *,
        size: int = MEDIUM,
        colour: str = TEXT,
        bold: bool = False,
    ) -> None:
        """Write a line of words; names are cut where it is too long."""
        lengths = [self._lettering.width(self._lettering.line(word.text), size, bold) for word in line]
        over = words_width(self._lettering, line, size, bold) - width
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
                self.fill(left, top + round(0.66 * size) - _SWATCH // 2, _SWATCH, _SWATCH, word.swatch)
                left += _SWATCH + 5
            room = min(length, end - left)
            left += self.write(left, top, word.text, room, size=size, colour=colour, bold=bold)
            left += self._lettering.width(" ", size, bold)

    def write(
        self,
        left: float,
        top: int,
        text: str,
        width: float,
        *,
        size: int = MEDIUM,
        colour: str = TEXT,
        bold: bool = False,
    ) -> float:
        """Write a line of text, cut where it is too long, and return how wide it is."""
        text = self._lettering.cut(self._lettering.line(text), size, width + 0.5, bold)
        start = left
        for part, font in self._lettering.runs(text, size, bold):
            self._draw.text((left, top + size), part, font=font, fill=colour, anchor="ls")
            left += font.getlength(part)
        if text:
            self.marks.append(Mark("text", start, top, left, top + size + 3, text))
        return left - start


def words_width(lettering: Lettering, line: Line, size: int, bold: bool = False) -> float:
    """Return how wide a line of words is, in pixels."""
    swatches = sum(_SWATCH + 5 for word in line if word.swatch)
    spaces = lettering.width(" ", size, bold) * (len(line) - 1)
    return swatches + spaces + sum(lettering.width(lettering.line(word.text), size, bold) for word in line)


def break_line(lettering: Lettering, line: Line, size: int, width: float) -> Sequence[Line]:
    """Break a line of words into lines of at most this width in pixels."""
    lines: list[list[Word]] = [[]]
    for word in line:
        if lines[-1] and words_width(lettering, [*lines[-1], word], size) > width:
            lines.append([])
        lines[-1].append(word)
    return lines
