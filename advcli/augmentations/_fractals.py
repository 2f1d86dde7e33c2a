"""Pictures of fractals: attractors of random iterated function systems, in colours of their parts.

Hutchinson 1981, https://doi.org/10.1512/iumj.1981.30.30055; the contraction of the systems as in Anderson and Farrell
2022, https://arxiv.org/abs/2110.03091, and the colours as in Draves and Reckase 2003, https://flam3.com/flame_draves.pdf
"""

from functools import cache

import numpy as np

# Pixels of a side of a picture.
SIZE = 128
_MAPS = 6
# Steps before a point is on the attractor to less than a pixel, and steps of which the points are drawn.
_BURN_IN, _STEPS, _POINTS = 20, 40, 1024


@cache
def fractals(count: int) -> np.ndarray:
    """Return pictures, always the same: (count, SIZE, SIZE, 3) uint8."""
    return np.concatenate([_pictures(np.random.default_rng([2022, block])) for block in range(-(-count // 16))])[:count]


def _pictures(rng: np.random.Generator, count: int = 16) -> np.ndarray:
    matrices, shifts, chances = _systems(rng, count)
    colours = rng.uniform(0, 1, (count, _MAPS, 3))
    first = _MAPS * np.arange(count)[:, None]
    maps = np.concatenate([matrices.reshape(-1, 4), shifts.reshape(-1, 2)], axis=1)
    points = np.zeros((count, _POINTS, 2))
    paint = np.full((count, _POINTS, 3), 0.5)
    visited, painted = [], []
    for step in range(_BURN_IN + _STEPS):
        chosen = first + (rng.uniform(size=(count, _POINTS, 1)) > chances[:, None]).sum(axis=2)
        chosen_maps = maps.take(chosen, axis=0)
        products = chosen_maps[..., :4] * np.tile(points, 2)
        points = products[..., ::2] + products[..., 1::2] + chosen_maps[..., 4:]
        paint = (paint + colours.reshape(-1, 3).take(chosen, axis=0)) / 2
        if step >= _BURN_IN:
            visited.append(points)
            painted.append(paint)
    layers = [
        _drawn(np.concatenate(places), np.concatenate(tints))
        for places, tints in zip(zip(*visited, strict=True), zip(*painted, strict=True), strict=True)
    ]
    return np.stack([_layered(layers[i:] + layers[:i], rng) for i in range(count)])


def _layered(layers: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> np.ndarray:
    """Put the first attractor before two of the others, each turned: one alone leaves most pixels empty."""
    picture = np.broadcast_to(rng.uniform(0, 1, 3), (SIZE, SIZE, 3))
    (_, *others), chosen = layers, rng.choice(len(layers) - 1, 2, replace=False)
    for (cover, tints), turns in zip((*(others[i] for i in chosen), layers[0]), rng.integers(4, size=3), strict=True):
        picture = np.rot90(cover, turns) * np.rot90(tints, turns) + (1 - np.rot90(cover, turns)) * picture
    return np.rint(255 * picture.clip(0, 1)).astype(np.uint8)


def _systems(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample two to six affine maps a system: (count, 6, 2, 2), (count, 6, 2), and (count, 6) cumulated chances."""
    used = np.arange(_MAPS) < rng.integers(2, _MAPS + 1, (count, 1))
    turns = rng.uniform(0, 2 * np.pi, (2, count, _MAPS))
    left, right = (
        np.stack([np.cos(turn), -np.sin(turn), np.sin(turn), np.cos(turn)], axis=-1).reshape(count, _MAPS, 2, 2)
        for turn in turns
    )
    # The sum of a + 2 b over the maps, a >= b their singular values, decides how the attractor fills the plane.
    values = np.sort(rng.uniform(0, 1, (count, _MAPS, 2)), axis=2)[..., ::-1] * used[..., None]
    total = (values @ [1.0, 2.0]).sum(axis=1)[:, None, None]
    wanted = 0.5 * (5 + used.sum(axis=1)) + rng.uniform(0, 0.5, count)
    values = np.minimum(values * wanted[:, None, None] / total, 0.9)
    signs = rng.choice([-1.0, 1.0], (count, _MAPS, 1, 2))
    matrices = left @ (values[..., None] * right) * signs
    areas = np.maximum(values.prod(axis=2), 0.01) * used
    chances = np.cumsum(areas, axis=1) / areas.sum(axis=1, keepdims=True)
    return matrices, rng.uniform(-1, 1, (count, _MAPS, 2)), np.where(chances > 1 - 1e-9, 2.0, chances)


def _drawn(points: np.ndarray, paint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Draw the points of an attractor: (M, 2), (M, 3) -> opacity (SIZE, SIZE, 1) and colours (SIZE, SIZE, 3)."""
    low, high = np.quantile(points, [0.005, 0.995], axis=0)
    places = ((points - low) / np.maximum(high - low, 1e-9) * (SIZE - 1)).round()
    inside = (places >= 0).all(axis=1) & (places < SIZE).all(axis=1)
    pixels = (places[inside] @ [SIZE, 1]).astype(int)
    visits = np.bincount(pixels, minlength=SIZE * SIZE)
    sums = np.stack([np.bincount(pixels, paint[inside, i], SIZE * SIZE) for i in range(3)], axis=1)
    tints = sums / np.maximum(visits, 1)[:, None]
    cover = np.sqrt(np.log1p(visits) / np.log1p(visits.max()))[:, None]
    # Averages are dull: the colours of a picture are stretched to the whole range.
    tints = (tints - tints[visits > 0].min(axis=0)) / np.maximum(np.ptp(tints[visits > 0], axis=0), 1e-9)
    return cover.reshape(SIZE, SIZE, 1), tints.reshape(SIZE, SIZE, 3)
