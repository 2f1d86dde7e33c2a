"""The contact sheet of one image: a row a view, with the top classes and a column a map."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from advcli.records import Prediction

_EXPLAINED, _OTHER = "#0072b2", "#bbbbbb"


@dataclass(frozen=True)
class Panel:
    """One picture of a row: (H, W, 3) or (H, W, 1) uint8 pixels and a caption."""

    pixels: np.ndarray
    caption: str


@dataclass(frozen=True)
class Row:
    """One view of the image: what it is, its likeliest classes, the explained class, its pictures."""

    title: str
    top: Sequence[Prediction]
    explained: int
    panels: Sequence[Panel]


def draw_sheet(title: str, rows: Sequence[Row], file: BinaryIO) -> None:
    """Draw the sheet as a PNG picture."""
    from matplotlib.figure import Figure

    columns = len(rows[0].panels) + 1
    figure = Figure(figsize=(2.7 * columns + 0.6, 2.9 * len(rows) + 0.5), layout="constrained")
    figure.suptitle(_plain(title))
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for axes, row in zip(grid, rows, strict=True):
        _draw_picture(axes[0], Panel(row.panels[0].pixels, row.title))
        _draw_bars(axes[1], row)
        for column, panel in zip(axes[2:], row.panels[1:], strict=True):
            _draw_picture(column, panel)
    figure.savefig(file, format="png", dpi=110)


def _draw_picture(axes: object, panel: Panel) -> None:
    pixels = panel.pixels
    shown = np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels
    axes.imshow(shown, interpolation="nearest")  # type: ignore[attr-defined]
    axes.set_title(_plain(panel.caption), fontsize=9)  # type: ignore[attr-defined]
    axes.set_axis_off()  # type: ignore[attr-defined]


def _draw_bars(axes: object, row: Row) -> None:
    confidences = [prediction.confidence for prediction in row.top]
    colours = [_EXPLAINED if prediction.index == row.explained else _OTHER for prediction in row.top]
    places = range(len(row.top))
    axes.barh(places, confidences, color=colours, height=0.45)  # type: ignore[attr-defined]
    for place, prediction in zip(places, row.top, strict=True):
        text = f"{_plain(prediction.label)[:26]}  {prediction.confidence:.1%}"
        axes.text(0, place - 0.3, text, fontsize=8, va="bottom")  # type: ignore[attr-defined]
    axes.set(xlim=(0, 1), ylim=(len(row.top) - 0.5, -0.8))  # type: ignore[attr-defined]
    axes.set_title("top classes (explained: blue)", fontsize=9)  # type: ignore[attr-defined]
    axes.set_axis_off()  # type: ignore[attr-defined]


def _plain(text: str) -> str:
    # A dollar sign would start a formula.
    return text.replace("$", r"\$")
