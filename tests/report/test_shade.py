"""The colours of cells can be read and compared."""

import numpy as np
import pytest

from advcli.report.shade import shade


def luminance(colour: str) -> float:
    """By the W3C's own steps: from 8 bits to linear light, weighted."""
    channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("fraction", np.linspace(0, 1, 41))
def test_what_is_written_in_a_cell_can_be_read(fraction: float) -> None:
    colours = shade(fraction)
    one, other = sorted((luminance(colours.background), luminance(colours.ink)))
    assert (other + 0.05) / (one + 0.05) >= 4.5


def test_more_is_brighter() -> None:
    steps = [luminance(shade(fraction).background) for fraction in np.linspace(0, 1, 41)]
    assert all(np.diff(steps) > 0)
    assert shade(-1) == shade(0)
    assert shade(2) == shade(1)
