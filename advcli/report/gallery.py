"""A gallery of clean images, adversarial images and their differences."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advcli.files import png
from advcli.report.cross_table import parted
from advcli.report.difference import amplification, enlarged
from advcli.report.page import Section

# Smaller images are shown with sharp pixels.
_SMALL = 128


@dataclass(frozen=True, eq=False)
class Example:
    """One image, clean and adversarial: (H, W, C) uint8 each, its true class and the two predicted ones.

    ``perturbation`` is the attack's spec, with the radius if there is one. ``proportions`` are the height and width
    of the image itself, if it was squashed to the size of the model.
    """

    clean: np.ndarray
    adversarial: np.ndarray
    label: str
    predicted_clean: str
    predicted_adversarial: str
    perturbation: str
    model: str
    proportions: tuple[int, int] | None = None


@dataclass(frozen=True)
class Shown:
    """An example as a page shows it: addresses of three pictures, how often the difference is enlarged."""

    example: Example
    clean: str
    adversarial: str
    difference: str
    times: float
    largest: int
    width: int
    height: int
    ratio: str
    small: bool


def gallery(examples: Sequence[Example]) -> Section | None:
    """Show examples by model and perturbation."""
    if not examples:
        return None
    groups = [
        (found[0].model, found[0].perturbation, [_shown(example) for example in found])
        for found in parted(examples, lambda example: (example.model, example.perturbation)).values()
    ]
    return Section("gallery", "Gallery", "benchmark/gallery.html.j2", {"groups": groups})


def _shown(example: Example) -> Shown:
    change = example.adversarial.astype(np.int16) - example.clean
    times = amplification(change / 255)
    height, width = example.clean.shape[:2]
    return Shown(
        example,
        png.png_data_url(example.clean),
        png.png_data_url(example.adversarial),
        png.png_data_url(enlarged(example.clean, example.adversarial, times)),
        times,
        int(np.abs(change).max()),
        width,
        height,
        "{1} / {0}".format(*(example.proportions or (height, width))),
        max(height, width) < _SMALL,
    )
