"""Relevance maps as pictures; every colour scale is perceptually uniform."""

import numpy as np

# From dark to bright; about a dark zero, orange speaks for and blue against; the same with the colours of two classes.
SEQUENTIAL, DIVERGING, BETWEEN_CLASSES = "inferno", "managua_r", "berlin"
_MOST_OPAQUE = 0.75


def sequential(values: np.ndarray, maximum: float) -> np.ndarray:
    """Colour relevance from 0 to a maximum: (H, W) -> (H, W, 3) uint8, dark to bright."""
    return _coloured(np.clip(values, 0, None) / (maximum or 1.0), SEQUENTIAL)


def diverging(values: np.ndarray, maximum: float, colours: str = DIVERGING) -> np.ndarray:
    """Colour relevance from less to more than 0: (H, W) -> (H, W, 3) uint8, zero is dark."""
    return _coloured(np.clip(values / (maximum or 1.0), -1, 1) / 2 + 0.5, colours)


def overlay(values: np.ndarray, maximum: float, picture: np.ndarray, signed: bool = False) -> np.ndarray:
    """Lay relevance over a grey version of the picture: (H, W), (H, W, C) uint8 -> (H, W, 3) uint8."""
    film = translucent(values, maximum, signed).astype(np.float32)
    grey = picture.astype(np.float32).mean(axis=-1, keepdims=True)
    alpha = film[..., 3:] / 255
    return ((1 - alpha) * grey + alpha * film[..., :3]).round().astype(np.uint8)


def translucent(values: np.ndarray, maximum: float, signed: bool = False) -> np.ndarray:
    """Colour relevance to be laid over a picture: (H, W) -> (H, W, 4) uint8, the clearer the less there is."""
    colours = diverging(values, maximum) if signed else sequential(values, maximum)
    strength = np.clip((np.abs(values) if signed else values) / (maximum or 1.0), 0, 1)
    alpha = np.rint(255 * _MOST_OPAQUE * strength).astype(np.uint8)
    return np.concatenate([colours, alpha[..., None]], axis=-1)


def stretched(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map by linear interpolation, with cells as areas: (h, w) -> (H, W) float32."""
    from PIL import Image

    if values.shape == size:
        return values
    height, width = size
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))


def scale_of(values: np.ndarray) -> float:
    """Return the value that is shown as the brightest: the 99.5th percentile of the magnitudes."""
    return float(np.percentile(np.abs(values), 99.5)) or float(np.abs(values).max())


def _coloured(fractions: np.ndarray, name: str) -> np.ndarray:
    from matplotlib import colormaps

    return colormaps[name](np.clip(fractions, 0, 1), bytes=True)[..., :3]
