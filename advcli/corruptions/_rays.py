"""The glow around a point, which has rays of different lengths."""

import numpy as np


def glow(side: int, centre: np.ndarray, lengths: np.ndarray, power: float) -> np.ndarray:
    """Return how bright each pixel is: -> (side, side) float32 in [0, 1].

    It is ``(1 - (f - 1/2)^2) * (l^2 / (r^2 + 1e-4))^power``, cut at 1, r being the distance from the centre, f the
    place between two rays, from 0 to 1, and l the length interpolated between theirs.

    Args:
        side: image size in pixels.
        centre: its row and column.
        lengths: those of the rays, in order of their angles.
        power: how steeply the light falls.
    """
    places = np.arange(side, dtype=np.float32)
    down, right = places[:, None] - np.float32(centre[0]), places - np.float32(centre[1])
    turn = (np.arctan2(right, down) + np.float32(np.pi)) * np.float32(len(lengths) / (2 * np.pi))
    ray = turn.astype(np.intp)
    part = turn - ray.astype(np.float32)
    # The last ray is followed by the first; a full turn, by rounding, is the first ray itself.
    closed = np.concatenate([lengths, lengths[:2]]).astype(np.float32)
    length = closed[ray] + part * (closed[1:] - closed[:-1])[ray]
    light = length * length / (down * down + right * right + np.float32(1e-4))
    if power != 1:
        light **= np.float32(power)
    part -= 0.5
    light *= 1 - part * part
    return np.minimum(light, 1, out=light)
