"""Relevance maps as pictures; every colour scale is perceptually uniform."""

import numpy as np


def sequential(values: np.ndarray, maximum: float) -> np.ndarray:
    """Colour relevance from 0 to a maximum: (H, W) -> (H, W, 3) uint8, dark to bright."""
    return _coloured(np.clip(values, 0, None) / (maximum or 1.0), "inferno")


def overlay(values: np.ndarray, maximum: float, picture: np.ndarray) -> np.ndarray:
    """Lay relevance over a grey version of the picture: (H, W), (H, W, C) uint8 -> (H, W, 3) uint8."""
    strength = np.clip(values / (maximum or 1.0), 0, 1)[..., None]
    grey = picture.astype(np.float32).mean(axis=-1, keepdims=True)
    alpha = 0.75 * strength
    return ((1 - alpha) * grey + alpha * sequential(values, maximum)).round().astype(np.uint8)


def scale_of(values: np.ndarray) -> float:
    """Return the value that is shown as the brightest: the 99.5th percentile of the magnitudes."""
    return float(np.percentile(np.abs(values), 99.5)) or float(np.abs(values).max())


def _coloured(fractions: np.ndarray, name: str) -> np.ndarray:
    from matplotlib import colormaps

    return colormaps[name](np.clip(fractions, 0, 1), bytes=True)[..., :3]
