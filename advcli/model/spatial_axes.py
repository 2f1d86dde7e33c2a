"""Verify that the two middle axes of a layer's output are the rows and columns of the image.

An array (N, h, w, K) may be a feature map, or the tokens and heads of a transformer, or channels before rows. The test
is equivariance to translation: a spot is added at four positions of an image, and the change of the layer's output
must move accordingly.
"""

import numpy as np

from advcli.backend import Tensor, tf

# Positions of the spot: left and right, top and bottom.
_PLACES = (2, 2)
# Number of image contents, by maximum image size. Small networks have few channels, some of which respond to few
# images; large networks have many channels, and take longer.
_CONTENTS = ((32, 8), (64, 4))
_LEAST_CONTENTS = 2
# Maximum number of values of an image's map to use: all channels of a coarse map, some of a fine map.
_VALUES, _LEAST_CHANNELS = 1 << 16, 32
# In a map with fewer cells the receptive field of each may be the whole image: only the channels encode the position.
_FEW_CELLS = 7
# Shares of the way of the spot: the least that the change moves along its own axis, and the most along the other.
# Global context shortens both ways alike. Measured on networks with random and with trained weights: all maps of 7 x 7
# cells and more at least 0.53, at most 0.2 of that across; the heads of transformers at most 0.12.
# A spot that changes so little, as a part of what the others change, is hidden from the model.
_HIDDEN = 0.05
_LEAST_SLOPE, _MOST_ACROSS, _LEAST_RATIO = 0.25, 0.5, 0.55
# Of the change in every channel with the moved one, and its lead over others. Measured: most maps of 4 x 4 cells at
# least 0.17 and 0.1 ahead; the heads of transformers at most 0.12, and behind.
_LEAST_CORRELATION, _LEAST_LEAD = 0.15, 0.08


def moved_images(size: tuple[int, int], channels: int) -> np.ndarray:
    """Return random images, each without a spot and with it at four positions: -> (N, height, width, C) in [0, 1].

    Spots are white, black, and random textures of large and of small scale.
    """
    rng = np.random.default_rng(0)
    edge, steps = max(size), [_step(side) for side in size]
    down, right = (_spot(np.arange(side) + 0.5, side, 0) for side in size)
    spot = np.outer(down, right)[..., None]
    images = []
    for number in range(next((count for most, count in _CONTENTS if edge <= most), _LEAST_CONTENTS)):
        scale = edge / (64 if number % 4 == 3 else 16)
        contrast = 0.1 if number % 4 < 2 else 0.3
        image, pattern = (_random_image(rng, size, channels, scale, contrast) for _ in range(2))
        pattern = (np.ones_like(image), np.zeros_like(image), pattern, pattern)[number % 4]
        images.append(image)
        for shift in np.ndindex(_PLACES):
            share, moved = (np.roll(values, np.multiply(shift, steps), axis=(0, 1)) for values in (spot, pattern))
            images.append(image * (1 - share) + moved * share)
    return np.stack(images).astype(np.float32)


def change(output: Tensor) -> Tensor:
    """Return the change of each cell by the spot, in a traced function: (N, h, w, K) -> (contents, 2, 2, h, w, k).

    Each channel is divided by the root mean square of its change, so that channels have equal weight. For a fine map
    only the l2 norm over the channels is returned: k = 1.
    """
    count, height, width, channels = output.shape
    contents = count // (1 + _PLACES[0] * _PLACES[1])
    kept = max(_LEAST_CHANNELS, _VALUES // (height * width))
    values = tf.cast(output[..., :: -(-channels // kept)], tf.float32)
    values = tf.reshape(values, (contents, -1, height, width, values.shape[-1]))
    changes = values[:, 1:] - values[:, :1]
    changes = tf.math.divide_no_nan(changes, tf.sqrt(tf.reduce_mean(changes**2, axis=(1, 2, 3), keepdims=True)))
    if min(height, width) >= _FEW_CELLS:
        changes = tf.norm(changes, axis=-1, keepdims=True)
    return tf.reshape(changes, (contents, *_PLACES, height, width, -1))


def is_spatial(changes: np.ndarray, size: tuple[int, int]) -> bool:
    """Return whether the change moves down with the spot along the first axis, and right along the second.

    Args:
        changes: (contents, 2, 2, h, w, k), the result of ``change``.
        size: height and width of the images in pixels.
    """
    if not np.isfinite(changes).all():
        return False
    ways = _step(size[0]) / size[0], _step(size[1]) / size[1]
    return _centre_follows(changes, ways) or _channels_follow(changes, ways)


def alignment(changes: np.ndarray, size: tuple[int, int]) -> float:
    """Return the correlation of the change with the spot itself: at most 1, and less where it is in other cells.

    Args:
        changes: (contents, 2, 2, h, w, k), the result of ``change``.
        size: height and width of the images in pixels.
    """
    squares = (changes.astype(np.float64) ** 2).sum(axis=(0, -1))
    shares = np.zeros_like(squares)
    for place in np.ndindex(_PLACES):
        down, right = (
            _spot(_middles(cells) * side, side, shift)
            for cells, side, shift in zip(squares.shape[2:], size, place, strict=True)
        )
        shares[place] = np.outer(down, right)
    first, second = (values - values.mean(axis=(0, 1)) for values in (squares, shares))
    length = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / length) if length > 0 else 0.0


def _spot(pixels: np.ndarray, side: int, shift: int) -> np.ndarray:
    """Return the share of the spot along an axis, moved by ``shift`` steps."""
    centre = (side - _step(side)) / 2 + shift * _step(side)
    return np.exp(-((pixels - centre) ** 2) / (2 * (side / 10) ** 2))


def _centre_follows(changes: np.ndarray, ways: tuple[float, float]) -> bool:
    """Return whether the centre of mass of the change follows the spot."""
    squares = (changes**2).sum(axis=(0, -1))
    # A change that is the same for all positions of the spot has no information about its position.
    squares -= squares.min(axis=(0, 1))
    total = squares.sum(axis=(-2, -1))
    hidden = total <= _HIDDEN * total.max()
    if hidden.any():
        return _follows_in_part(squares, np.where(hidden, 0.0, total), ways)
    slopes = np.array([_slopes(squares.sum(axis=other) / total[..., None], ways) for other in (-1, -2)])
    own, across = slopes.diagonal(), np.abs(slopes[::-1].diagonal())
    return bool(own.min() >= max(_LEAST_SLOPE, _LEAST_RATIO * own.max()) and across.max() <= _MOST_ACROSS * own.min())


def _follows_in_part(squares: np.ndarray, total: np.ndarray, ways: tuple[float, float]) -> bool:
    """Return whether the centre follows the spot along one axis, where the model ignores half of the image."""
    for axis in (0, 1):
        pairs = total if axis == 0 else total.T
        for place in np.flatnonzero((pairs > 0).all(axis=0)):
            both = squares[:, place] if axis == 0 else squares[place]
            centres = [
                (both.sum(axis=other) / both.sum(axis=(-2, -1))[:, None]) @ _middles(both.shape[kept])
                for other, kept in ((-1, 1), (-2, 2))
            ]
            moved = [float(one[1] - one[0]) / ways[axis] for one in centres]
            own, across = moved[axis], abs(moved[1 - axis])
            if own >= _LEAST_SLOPE and across <= _MOST_ACROSS * own:
                return True
    return False


def _middles(cells: int) -> np.ndarray:
    return (np.arange(cells) + 0.5) / cells


def _slopes(shares: np.ndarray, ways: tuple[float, float]) -> tuple[float, float]:
    """Return the displacement of the centre of mass along an axis per displacement of the spot, down and right."""
    cells = shares.shape[-1]
    centres = shares @ _middles(cells)
    return (centres[1] - centres[0]).mean() / ways[0], (centres[:, 1] - centres[:, 0]).mean() / ways[1]


def _channels_follow(changes: np.ndarray, ways: tuple[float, float]) -> bool:
    """Return whether, in every channel, a translation of the spot translates the change."""
    height, width, channels = changes.shape[-3:]
    down, right = (round(ways[0] * height), 0), (0, round(ways[1] * width))
    if channels < 2 or not (down[0] and right[1]):
        return False
    # Subtract the effect of padding and global context, which is the same for all positions of the spot.
    changes = changes - changes.mean(axis=(1, 2), keepdims=True)
    moves = ((changes[:, 0], changes[:, 1], down, right), (changes[:, :, 0], changes[:, :, 1], right, down))
    for before, after, along, across in moves:
        rivals = max(_correlation(before, after, across), _correlation(after, before, along))
        if _correlation(before, after, along) < max(_LEAST_CORRELATION, rivals + _LEAST_LEAD):
            return False
    return True


def _correlation(before: np.ndarray, after: np.ndarray, shift: tuple[int, int]) -> float:
    """Return the correlation of (..., h, w, k) with a translated map, over the cells inside both."""
    rows, columns = shift
    first = before[..., : before.shape[-3] - rows, : before.shape[-2] - columns, :]
    second = after[..., rows:, columns:, :]
    length = np.sqrt((first**2).sum() * (second**2).sum())
    return float((first * second).sum() / length) if length > 0 else 0.0


def _step(edge: int) -> int:
    """Return the displacement of the spot in pixels: a power of two, hence a multiple of most strides."""
    return 1 << int(np.log2(max(0.6 * edge, 1)))


def _random_image(
    rng: np.random.Generator, size: tuple[int, int], channels: int, scale: float, contrast: float
) -> np.ndarray:
    """Return a random image with structures of ``scale`` pixels: -> (height, width, C) in [0, 1]."""
    waves = np.fft.rfft2(rng.standard_normal((*size, channels)), axes=(0, 1))
    frequencies = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))[..., None]
    image = np.fft.irfft2(waves * np.exp(-2 * (np.pi * frequencies * scale) ** 2), s=size, axes=(0, 1))
    return np.clip(0.5 + contrast * image / max(image.std(), 1e-12), 0, 1)
