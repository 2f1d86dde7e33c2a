"""Relevance maps as pictures; every colour scale is perceptually uniform."""

import numpy as np

# From dark to bright; about a dark zero, orange speaks for and blue against.
SEQUENTIAL, DIVERGING = "inferno", "managua_r"
_MOST_OPAQUE, _MOST_OPAQUE_SPECKS = 0.75, 0.95
# A pixel's own value is too small to be seen in a large image: it is spread over this share of the longer side.
_SPREAD = 1 / 110
_LEAST_SPREAD = 0.6
_DIM = 0.4
_PALE = 0.55
_WEAKEST = 0.15


def sequential(values: np.ndarray, maximum: float) -> np.ndarray:
    """Colour relevance from 0 to a maximum: (H, W) -> (H, W, 3) uint8, dark to bright."""
    return _coloured(np.clip(values, 0, None) / (maximum or 1.0), SEQUENTIAL)


def diverging(values: np.ndarray, maximum: float, colours: str = DIVERGING) -> np.ndarray:
    """Colour relevance from less to more than 0: (H, W) -> (H, W, 3) uint8, zero is dark."""
    return _coloured(np.clip(values / (maximum or 1.0), -1, 1) / 2 + 0.5, colours)


def ends() -> tuple[str, str]:
    """Return the colours of the largest and of the least value of a diverging scale, such as ``#0072b2``."""
    pixels = diverging(np.array([[0.8, -0.8]]), 1.0)[0]
    return f"#{bytes(pixels[0]).hex()}", f"#{bytes(pixels[1]).hex()}"


def overlay(values: np.ndarray, maximum: float, picture: np.ndarray, signed: bool = False) -> np.ndarray:
    """Lay relevance over a grey version of the picture: (H, W), (H, W, C) uint8 -> (H, W, 3) uint8."""
    return _laid(translucent(values, maximum, signed), _grey(picture))


def overlay_specks(values: np.ndarray, maximum: float, picture: np.ndarray, signed: bool = False) -> np.ndarray:
    """Lay the relevance of single pixels over a dimmed grey version of the picture, as ``overlay``."""
    return _laid(translucent_specks(values, maximum, signed), _DIM * _grey(picture))


def overlay_two_colours(
    values: np.ndarray, maximum: float, picture: np.ndarray, positive: str, negative: str
) -> np.ndarray:
    """Lay relevance of two classes over a pale grey version of the picture: (H, W), (H, W, C) -> (H, W, 3) uint8.

    Args:
        values: the relevance.
        maximum: the magnitude that is opaque.
        picture: (H, W, C) uint8.
        positive: the colour of positive values, such as ``#d55e00``.
        negative: the colour of negative values.
    """
    colours = [np.frombuffer(bytes.fromhex(colour[1:]), np.uint8) for colour in (negative, positive)]
    # The weakest values are most of them, and would hide the picture.
    alpha = np.clip((np.abs(values) / (maximum or 1.0) - _WEAKEST) / (1 - _WEAKEST), 0, 1)
    film = np.concatenate([np.where(values[..., None] > 0, *colours[::-1]), np.rint(255 * alpha)[..., None]], axis=-1)
    return _laid(film.astype(np.uint8), 255 * _PALE + (1 - _PALE) * _grey(picture))


def translucent(values: np.ndarray, maximum: float, signed: bool = False) -> np.ndarray:
    """Colour relevance to be laid over a picture: (H, W) -> (H, W, 4) uint8, the clearer the less there is."""
    return _film(values, maximum, signed, 1.0, _MOST_OPAQUE)


def translucent_specks(values: np.ndarray, maximum: float, signed: bool = False) -> np.ndarray:
    """Colour the relevance of single pixels, as ``translucent``; they are nearly opaque."""
    return _film(values, maximum, signed, 1.4, _MOST_OPAQUE_SPECKS)


def spread(values: np.ndarray, share: float = _SPREAD) -> np.ndarray:
    """Smooth the relevance of single pixels so that it can be seen in a large image: (H, W) -> (H, W)."""
    from scipy.ndimage import gaussian_filter

    sigma = max(values.shape) * share
    return values if sigma < _LEAST_SPREAD else gaussian_filter(values, sigma, mode="nearest", truncate=3.0)


def stretched(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a map by linear interpolation, with cells as areas: (h, w) -> (H, W) float32."""
    from PIL import Image

    if values.shape == size:
        return values
    height, width = size
    return np.asarray(Image.fromarray(values.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR))


def scale_of(values: np.ndarray, percentile: float = 99.5) -> float:
    """Return the value that is shown as the brightest: a percentile of the magnitudes."""
    magnitudes = np.abs(values)
    return float(np.percentile(magnitudes, percentile)) or float(magnitudes.max())


def _film(values: np.ndarray, maximum: float, signed: bool, power: float, opaque: float) -> np.ndarray:
    colours = diverging(values, maximum) if signed else sequential(values, maximum)
    strength = np.clip((np.abs(values) if signed else values) / (maximum or 1.0), 0, 1) ** power
    alpha = np.rint(255 * opaque * strength).astype(np.uint8)
    return np.concatenate([colours, alpha[..., None]], axis=-1)


def _grey(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float32).mean(axis=-1, keepdims=True)


def _laid(film: np.ndarray, grey: np.ndarray) -> np.ndarray:
    """Lay a film over a grey picture: (H, W, 4) uint8, (H, W, 1) -> (H, W, 3) uint8."""
    film = film.astype(np.float32)
    alpha = film[..., 3:] / 255
    return ((1 - alpha) * grey + alpha * film[..., :3]).round().astype(np.uint8)


def _coloured(fractions: np.ndarray, name: str) -> np.ndarray:
    from matplotlib import colormaps

    return colormaps[name](np.clip(fractions, 0, 1), bytes=True)[..., :3]
