import numpy as np
import pytest

from advcli.tasks.explain.adversarial_pairs import Pair


def pair(norm: str | None, eps: float | None, reach: int = 8) -> Pair:
    generator = np.random.default_rng(0)
    clean = generator.integers(40, 200, (32, 32, 3), np.uint8)
    change = generator.integers(-reach, reach + 1, clean.shape)
    change[0, 0] = reach
    return Pair(clean, (clean + change).astype(np.uint8), "pgd", norm, eps)


def test_noise_is_random_signs_as_large_as_the_perturbation() -> None:
    found = pair("linf", 8 / 255)
    noise = found.noisy(0).astype(int) - found.clean
    assert set(np.unique(noise)) == {-8, 8}
    assert abs(noise.mean()) < 0.5
    np.testing.assert_array_equal(found.noisy(0), found.noisy(0))
    assert not np.array_equal(found.noisy(0), found.noisy(1))


@pytest.mark.parametrize(("norm", "eps", "reach"), [("l2", 0.5, 8), (None, None, 40), ("l2", 0.1, 1)])
def test_elsewhere_it_has_the_same_length(norm: str | None, eps: float | None, reach: int) -> None:
    found = pair(norm, eps, reach)
    noise = (found.noisy(0).astype(int) - found.clean) / 255
    assert np.linalg.norm(noise) == pytest.approx(found.l2, rel=0.1)


def test_no_perturbation_gives_no_noise() -> None:
    clean = pair("linf", 0).clean
    np.testing.assert_array_equal(Pair(clean, clean, "pgd", "linf", 0.0).noisy(0), clean)


def test_the_radius_in_few_words() -> None:
    assert pair("linf", 8 / 255).radius == "Linf 8/255"
    assert pair("l2", 0.5).radius == "L2 0.5"
    assert pair(None, None).radius.startswith("Linf 8/255, L2 ")
