import numpy as np
import pytest

from advcli.search.quantize import quantized

NOISE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)


@pytest.mark.parametrize("eps", [0.03, 1 / 255, 8 / 255])
def test_lattice_stays_in_the_linf_ball(eps: float) -> None:
    noise = np.random.default_rng(1).uniform(-eps, eps, NOISE.shape)
    adversarial = np.clip(NOISE / 255 + noise, 0, 1).astype(np.float32)
    rounded = quantized(adversarial, NOISE, "linf", eps)
    moved = rounded.astype(int) - NOISE
    assert rounded.dtype == np.uint8
    assert np.abs(moved).max() == int(eps * 255 + 1e-6)
    assert np.abs(moved - (adversarial * 255 - NOISE)).max() < 1


@pytest.mark.parametrize("eps", [0.1, 0.5, 3.0])
def test_lattice_stays_in_the_l2_ball_and_fills_it(eps: float) -> None:
    noise = np.random.default_rng(2).normal(size=NOISE.shape)
    noise *= eps / np.linalg.norm(noise)
    adversarial = np.clip(NOISE / 255 + noise, 0, 1).astype(np.float32)
    moved = (quantized(adversarial, NOISE, "l2", eps).astype(int) - NOISE) / 255
    assert 0.9 * eps < np.linalg.norm(moved) <= eps + 1e-6


def test_lattice_does_not_lengthen_a_short_perturbation() -> None:
    noise = np.random.default_rng(2).normal(size=NOISE.shape)
    noise *= 0.5 / np.linalg.norm(noise)
    adversarial = np.clip(NOISE / 255 + noise, 0, 1).astype(np.float32)
    moved = (quantized(adversarial, NOISE, "l2", 3.0).astype(int) - NOISE) / 255
    assert 0.4 < np.linalg.norm(moved) <= 0.5 + 1e-6


def test_lattice_keeps_an_untouched_image() -> None:
    for norm in ("linf", "l2", "l1"):
        untouched = NOISE.astype(np.float32) / 255
        np.testing.assert_array_equal(quantized(untouched, NOISE, norm, 8 / 255), NOISE)


@pytest.mark.parametrize("eps", [0.01, 1.0, 12.0, 40.5])
@pytest.mark.parametrize("share", [0.01, 1.0])
def test_lattice_stays_in_the_l1_ball_and_fills_it(eps: float, share: float) -> None:
    generator = np.random.default_rng(2)
    noise = generator.normal(size=NOISE.shape) * (generator.random(NOISE.shape) < share)
    noise *= eps / np.abs(noise).sum()
    adversarial = (NOISE / 255 + noise).clip(0, 1).astype(np.float32)
    length = np.abs(adversarial - NOISE / 255).sum() * 255
    moved = quantized(adversarial, NOISE, "l1", eps).astype(int) - NOISE
    assert np.abs(moved).sum() <= int(eps * 255)
    assert np.abs(moved).sum() >= int(length) - 1
    assert np.abs(moved - (adversarial * 255.0 - NOISE)).max() < 1


def test_lattice_scales_what_is_outside_the_l1_ball() -> None:
    adversarial = NOISE.astype(np.float32) / 255
    adversarial[:2] = 1
    moved = quantized(adversarial, NOISE, "l1", 10.0).astype(int) - NOISE
    assert np.abs(moved).sum() == 2550
    assert not moved[2:].any()
