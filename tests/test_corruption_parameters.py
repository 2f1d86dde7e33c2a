"""Every parameter of every corruption, beside those of ImageNet-C, Tiny ImageNet-C and CIFAR-10-C, and of C-bar."""

import sys

import pytest

from advcli import registry
from advcli.corruptions import PhysicalCorruption
from advcli.corruptions._parameters import table

# Severity 1 to 5, as the authors' code has them. Of zoom: the factor before which a range from 1 ends, and its step.
PUBLISHED = {
    "gaussian_noise": {
        224: (0.08, 0.12, 0.18, 0.26, 0.38),
        64: (0.04, 0.08, 0.12, 0.15, 0.18),
        32: (0.04, 0.06, 0.08, 0.09, 0.10),
    },
    "shot_noise": {224: (60, 25, 12, 5, 3), 64: (250, 100, 50, 30, 15), 32: (500, 250, 100, 75, 50)},
    "impulse_noise": {
        224: (0.03, 0.06, 0.09, 0.17, 0.27),
        64: (0.01, 0.02, 0.05, 0.08, 0.14),
        32: (0.01, 0.02, 0.03, 0.05, 0.07),
    },
    "speckle_noise": {
        224: (0.15, 0.2, 0.35, 0.45, 0.6),
        64: (0.15, 0.2, 0.25, 0.3, 0.35),
        32: (0.06, 0.1, 0.12, 0.16, 0.2),
    },
    "defocus_blur": {
        224: ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        64: ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)),
        32: ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    },
    "glass_blur": {
        224: ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        64: ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
        32: ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    },
    "motion_blur": {
        224: ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        64: ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
        32: ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    },
    "zoom_blur": {
        224: ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        64: ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        32: ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    },
    "gaussian_blur": {224: (1, 2, 3, 4, 6), 64: (0.5, 0.75, 1, 1.25, 1.5), 32: (0.4, 0.6, 0.7, 0.8, 1)},
    "snow": {
        224: (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        64: (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
        32: (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
    },
    "frost": {
        224: ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        64: ((1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)),
        32: ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    },
    "fog": {
        224: ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        64: ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
        32: ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    },
    "spatter": {
        224: (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        64: (
            (0.62, 0.1, 0.7, 0.7, 0.6, 0),
            (0.65, 0.1, 0.8, 0.7, 0.6, 0),
            (0.65, 0.3, 1, 0.69, 0.6, 0),
            (0.65, 0.1, 0.7, 0.68, 0.6, 1),
            (0.65, 0.1, 0.5, 0.67, 0.6, 1),
        ),
        32: (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
    },
    "brightness": {224: (0.1, 0.2, 0.3, 0.4, 0.5), 64: (0.1, 0.2, 0.3, 0.4, 0.5), 32: (0.05, 0.1, 0.15, 0.2, 0.3)},
    "contrast": {224: (0.4, 0.3, 0.2, 0.1, 0.05), 64: (0.4, 0.3, 0.2, 0.1, 0.05), 32: (0.75, 0.5, 0.4, 0.3, 0.15)},
    "elastic_transform": {
        # The published ones are parts of 244 pixels.
        224: tuple(
            tuple(part * 244 / 224 for part in parts)
            for parts in ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))
        ),
        64: ((0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)),
        32: ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
    },
    "pixelate": {224: (0.6, 0.5, 0.4, 0.3, 0.25), 64: (0.9, 0.8, 0.7, 0.6, 0.5), 32: (0.95, 0.9, 0.85, 0.75, 0.65)},
    "jpeg_compression": {224: (25, 18, 15, 10, 7), 64: (65, 58, 50, 40, 25), 32: (80, 65, 58, 50, 40)},
    "saturate": {
        224: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
        64: ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
        32: ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    },
    # ImageNet-C-bar and CIFAR-10-C-bar.
    "blue_noise_sample": {224: (0.8, 1.6, 2.4, 4.0, 5.6), 32: (0.7, 1.4, 2.1, 3.5, 4.2)},
    "brownish_noise": {224: (1, 2, 3, 4, 5), 32: (2.5, 4, 5.5, 6.5, 7)},
    "checkerboard_cutout": {224: (2, 3, 4, 5, 6), 32: (1, 2, 3, 4, 5)},
    "inverse_sparkles": {224: (1, 2, 4, 9, 10), 32: (1, 1.5, 2.5, 4.5, 5)},
    "sparkles": {224: (1, 2, 3, 5, 6), 32: (0.7, 3.5, 5.6, 6.3, 7)},
    # These five are not in CIFAR-10-C-bar; CANDIDATES has what the authors chose from.
    "caustic_refraction": {224: (2.35, 3.2, 4.9, 6.6, 9.15), 32: (1.4, 1.8, 2.6, 3.4, 4.6)},
    "cocentric_sine_waves": {224: (3, 5, 8, 9, 10), 32: (1.5, 2.5, 4, 4.5, 5)},
    "perlin_noise": {224: (4.6, 5.2, 5.8, 7.6, 8.8), 32: (4.6, 5.2, 5.8, 7.6, 8.8)},
    "plasma_noise": {224: (4.75, 7, 8.5, 9.25, 10), 32: (2.1, 4.2, 5.6, 6.3, 7)},
    "single_frequency_greyscale": {224: (1, 1.5, 2, 4.5, 5), 32: (0.6, 0.9, 1.2, 2.7, 3)},
}

# The first of ten evenly spaced levels, and their distance, at 224 and at 32 pixels.
CANDIDATES = {
    "caustic_refraction": ((2.35, 0.85), (1.4, 0.4)),
    "cocentric_sine_waves": ((1, 1), (0.5, 0.5)),
    "perlin_noise": ((4.6, 0.6), (4.6, 0.6)),
    "plasma_noise": ((3.25, 0.75), (0.7, 0.7)),
    "single_frequency_greyscale": ((0.5, 0.5), (0.3, 0.3)),
}


def test_every_corruption_is_here() -> None:
    physical = {
        name
        for name in registry.names("corruptions")
        if issubclass(registry.component("corruptions", name), PhysicalCorruption)
    }
    assert {name.replace("_", "-") for name in PUBLISHED} == set(registry.names("corruptions")) - physical


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_the_published_ones(name: str) -> None:
    module = sys.modules[registry.component("corruptions", name).__module__]
    (parameters,) = (
        value for value in vars(module).values() if isinstance(value, dict) and set(value) == set(PUBLISHED[name])
    )
    for side, rows in PUBLISHED[name].items():
        for severity, row in enumerate(rows, start=1):
            expected = row if isinstance(row, tuple) else (row,)
            assert table(side, severity, parameters) == pytest.approx(expected), (side, severity)


@pytest.mark.parametrize("name", CANDIDATES)
def test_small_images_have_the_candidates_of_the_same_ranks(name: str) -> None:
    (first, step), (small_first, small_step) = CANDIDATES[name]
    for level, small in zip(*PUBLISHED[name].values(), strict=True):
        rank = (level - first) / step
        assert rank == pytest.approx(round(rank), abs=1e-9)
        assert small == pytest.approx(small_first + small_step * rank)
