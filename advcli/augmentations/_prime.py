"""The primitives of PRIME: a random displacement, a random filter and a random tone curve, each of maximum entropy.

Modas, Rade, Ortiz-Jimenez, Moosavi-Dezfooli and Frossard 2022, https://arxiv.org/abs/2112.13547; the displacement is
that of Petrini, Favero, Geiger and Wyart 2021, https://arxiv.org/abs/2105.02468
"""

import math

from advcli.backend import Tensor, tf
from advcli.threat.rng import ImageRng
from advcli.tracing import as_written

# Intervals of a tone curve's table. They are a multiple of 255, so that a value of 8 bits is one of its points.
_INTERVALS = 16 * 255


@as_written
def deformed(images: Tensor, rng: ImageRng, cut: int) -> Tensor:
    """Displace the pixels of each image by a smooth random field: (N, H, W, C) -> (N, H, W, C).

    Both components of the displacement, as fractions of the image size, are ``sqrt(T) * u``. The greatest frequency of
    ``u`` and the temperature T follow arcsine distributions, as in the authors' code. T lies between the value of a
    typical displacement of half a pixel and the greatest without a fold.

    Args:
        images: the images.
        rng: one random stream an image.
        cut: limit of the greatest frequency, in half periods an image. Frequencies that the pixels of an image cannot
            show are left out.
    """
    highest, share, place = tf.unstack(rng.named("field").scalars(3), axis=1)
    limit = 3 + tf.floor(highest * (cut - 2))
    cuts = tf.floor(2 + _arcsine(share) * (limit - 1))
    sizes = tf.cast(tf.shape(images)[1:3], tf.float32)
    cuts = tf.maximum(tf.minimum(cuts, tf.reduce_max(sizes)), 2.0)
    coldest, hottest = temperatures(sizes, cuts)
    temperature = coldest + _arcsine(place) * (tf.maximum(hottest, coldest) - coldest)
    return _displaced(images, displacement(rng, tf.shape(images), cuts, temperature))


@as_written
def temperatures(sizes: Tensor, cuts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the temperatures of a displacement of half a pixel, and of the first fold: (2,), (N,) -> (N,) each."""
    logarithm = tf.cast(tf.math.log(tf.cast(cuts, tf.float64)), tf.float32)
    return 1 / (math.pi * tf.reduce_prod(sizes) * logarithm), 4 / (math.pi**3 * cuts**2 * logarithm)


@as_written
def displacement(rng: ImageRng, shape: Tensor, cuts: Tensor, temperature: Tensor) -> Tensor:
    """Sample ``sqrt(T) * sum of c_ij / sqrt(i^2 + j^2) sin(i pi y) sin(j pi x)`` over i^2 + j^2 <= (cut + 1/2)^2.

    Args:
        rng: one random stream an image.
        shape: of the images, (N, H, W, C).
        cuts: (N,) the greatest frequency.
        temperature: (N,) T.

    Returns:
        (N, 2, H, W) how far to the right and below each pixel is read, in pixels.
    """
    height, width = shape[1], shape[2]
    modes = tf.cast(tf.maximum(tf.maximum(height, width), 2), tf.int32)
    numbers = tf.range(1, modes + 1, dtype=tf.float32)
    radius = tf.sqrt(numbers[:, None] ** 2 + numbers**2)
    energy = tf.where(radius < cuts[:, None, None] + 0.5, 1 / radius, 0.0) * tf.sqrt(temperature)[:, None, None]
    coefficients = _normal(rng, [2, modes, modes]) * energy[:, None]
    rows, columns = _sines(height, modes), _sines(width, modes)
    fields = tf.matmul(tf.matmul(rows, coefficients), columns, transpose_b=True)
    return fields * tf.cast(tf.stack([width, height]), tf.float32)[:, None, None]


def _normal(rng: ImageRng, shape: list[int | Tensor]) -> Tensor:
    """Sample standard normal numbers for any number of images, even none: the shape of one -> (N, *shape)."""
    # TensorFlow does not know the shape of a loop's results without a round: there is always one more.
    return ImageRng(tf.pad(rng.seeds, [[0, 1], [0, 0]])).normal(shape)[:-1]


def _sines(size: Tensor, modes: Tensor) -> Tensor:
    """Return the modes of a vibrating string at each pixel of an axis: -> (size, modes)."""
    places = tf.linspace(tf.constant(0.0, tf.float64), 1.0, size)
    return tf.cast(tf.sin(math.pi * places[:, None] * tf.range(1, modes + 1, dtype=tf.float64)), tf.float32)


def _arcsine(uniform: Tensor) -> Tensor:
    """Turn uniform numbers into samples of the beta distribution with both parameters 1/2."""
    return tf.cast(tf.sin(0.5 * math.pi * tf.cast(uniform, tf.float64)) ** 2, tf.float32)


def _displaced(images: Tensor, offsets: Tensor) -> Tensor:
    """Read each pixel elsewhere, between pixels bilinearly: (N, H, W, C), (N, 2, H, W) -> (N, H, W, C)."""
    count, height, width, channels = tf.unstack(tf.shape(images))
    across = tf.range(width, dtype=tf.float32) + offsets[:, 0]
    down = tf.range(height, dtype=tf.float32)[:, None] + offsets[:, 1]
    across = tf.clip_by_value(across, 0.0, tf.cast(width - 1, tf.float32))
    down = tf.clip_by_value(down, 0.0, tf.cast(height - 1, tf.float32))
    left, above = tf.floor(across), tf.floor(down)
    beyond_x, beyond_y = (across - left)[..., None], (down - above)[..., None]
    left, above = tf.cast(left, tf.int32), tf.cast(above, tf.int32)
    right = tf.minimum(left + 1, width - 1)
    first = tf.range(count)[:, None, None] * height
    pixels = tf.reshape(images, [-1, channels])
    upper, lower = (first + above) * width, (first + tf.minimum(above + 1, height - 1)) * width

    def row(start: Tensor) -> Tensor:
        return (1 - beyond_x) * tf.gather(pixels, start + left) + beyond_x * tf.gather(pixels, start + right)

    return tf.reshape((1 - beyond_y) * row(upper) + beyond_y * row(lower), tf.shape(images))


@as_written
def filtered(images: Tensor, rng: ImageRng, kernel: int, sigma: float) -> Tensor:
    """Convolve each image with the identity plus a random kernel, whose deviation is uniform in [0, sigma].

    Args:
        images: (N, H, W, C); all channels have the same kernel, and beyond the border is black.
        rng: one random stream an image.
        kernel: size of the kernel, odd.
        sigma: the greatest standard deviation of a weight.
    """
    weights = sigma * rng.named("deviation").scalars(1)[:, :, None] * _normal(rng, [kernel, kernel])
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    middle = kernel // 2
    padded = tf.pad(images, [[0, 0], [middle, middle], [middle, middle], [0, 0]])
    result = images
    for row in range(kernel):
        for column in range(kernel):
            weight = weights[:, row, column, None, None, None]
            result += weight * padded[:, row : row + height, column : column + width]
    return tf.clip_by_value(result, 0.0, 1.0)


@as_written
def recoloured(images: Tensor, rng: ImageRng, frequencies: int, bandwidth: int, temperature: float) -> Tensor:
    """Add a random sine series of its value to each value: ``x + sum of c_k sin(k pi x)``, a series a channel.

    Args:
        images: (N, H, W, C) in [0, 1].
        rng: one random stream an image.
        frequencies: limit of the lowest k of the series, for which a limit and then a value are sampled uniformly.
        bandwidth: number of terms, as far as they are within the limit.
        temperature: the greatest variance of a coefficient; it is sampled uniformly.
    """
    count, channels = tf.shape(images)[0], tf.shape(images)[3]
    limit, lowest, variance = tf.unstack(rng.named("series").scalars(3), axis=1)
    limit = 1 + tf.floor(limit * frequencies)
    lowest = 1 + tf.floor(lowest * limit)
    inside = lowest[:, None] + tf.range(bandwidth, dtype=tf.float32) <= limit[:, None]
    deviation = tf.where(inside, tf.sqrt(temperature * variance)[:, None], 0.0)
    coefficients = _normal(rng, [channels, bandwidth]) * deviation[:, None]
    # By the sine of a sum, the terms are the first few frequencies, turned by the lowest.
    points = tf.range(_INTERVALS + 1)
    turned = points[None] * tf.cast(lowest, tf.int32)[:, None] % (2 * _INTERVALS)
    circle = math.pi / _INTERVALS * tf.range(2 * _INTERVALS, dtype=tf.float64)
    sine, cosine = tf.cast(tf.sin(circle), tf.float32), tf.cast(tf.cos(circle), tf.float32)
    steps = tf.range(bandwidth)[:, None] * points % (2 * _INTERVALS)
    even, odd = (tf.matmul(coefficients, tf.gather(table, steps)) for table in (cosine, sine))
    curves = tf.gather(sine, turned)[:, None] * even + tf.gather(cosine, turned)[:, None] * odd
    values = tf.clip_by_value(images, 0.0, 1.0) * _INTERVALS
    below = tf.minimum(tf.floor(values), _INTERVALS - 1.0)
    planes = tf.reshape(tf.range(count * channels) * (_INTERVALS + 1), [count, 1, 1, channels])
    places = planes + tf.cast(below, tf.int32)
    flat = tf.reshape(curves, [-1])
    above = values - below
    change = (1 - above) * tf.gather(flat, places) + above * tf.gather(flat, places + 1)
    return tf.clip_by_value(images + change, 0.0, 1.0)
