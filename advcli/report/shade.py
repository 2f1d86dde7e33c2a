"""Colours of table cells, on a scale that is perceptually uniform and colour-blind safe."""

from dataclasses import dataclass

_SCALE = "cividis"
# The luminance to which black and white have the same contrast.
_EQUALLY_FAR = (1.05 * 0.05) ** 0.5 - 0.05


@dataclass(frozen=True)
class Shade:
    """The background and text colours of a cell, in CSS."""

    background: str
    ink: str


def shade(fraction: float) -> Shade:
    """Colour a value from 0 (dark) to 1 (bright); the ink is black or white, whichever can be read better."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    colour = colormaps[_SCALE](min(max(float(fraction), 0.0), 1.0))[:3]
    return Shade(to_hex(colour), "#000000" if luminance(colour) > _EQUALLY_FAR else "#ffffff")


def luminance(colour: tuple[float, float, float]) -> float:
    """Return the relative luminance of sRGB values in [0, 1] as WCAG 2.2 defines it.

    https://www.w3.org/TR/WCAG22/#dfn-relative-luminance
    """
    linear = (value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in colour)
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
