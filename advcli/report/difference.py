"""The adversarial perturbation: its lengths, and as a picture."""

import numpy as np

from advcli.records.attacking import COUNTED, LENGTHS
from advcli.records.base import Fields

_GREY = 128


def measure_lengths(difference: np.ndarray, *, counted: bool) -> Fields:
    """Return the fields of a record that are lengths of a difference: (H, W, C) in units of [0, 1].

    Args:
        difference: adversarial minus clean pixels.
        counted: whether the radius of the record counts pixels.
    """
    return {
        "linf": float(np.abs(difference).max()),
        "l2": float(np.linalg.norm(difference)),
        "l1": float(np.abs(difference).sum()),
        "l0": int(difference.any(axis=-1).sum()),
        "lengths": COUNTED if counted else LENGTHS,
    }


def amplification(difference: np.ndarray) -> float:
    """Choose how many times a difference, in units of [0, 1], is enlarged so that it fills the range about grey.

    Differences that do not fit are made smaller.
    """
    times = 127 / max(255 * np.abs(difference).max(), 1) + 1e-6
    return float(int(times)) if times >= 1 else int(100 * times) / 100


def enlarged(clean: np.ndarray, adversarial: np.ndarray, times: float) -> np.ndarray:
    """Draw a difference about grey, so many times as large: (H, W, C) uint8 twice -> (H, W, C) uint8."""
    change = adversarial.astype(np.int16) - clean
    return np.rint(_GREY + change * times).clip(0, 255).astype(np.uint8)
