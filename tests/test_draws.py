"""Draws of a few numbers for many images at once."""

import numpy as np
import pytest
from scipy import stats

from advcli.backend import Tensor, tf
from advcli.threat.rng import ImageRng


def splitmix(state: int) -> tuple[int, int]:
    """One step of SplitMix64 as its authors write it, in whole numbers without a limit."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    word = state
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ word >> 27) * 0x94D049BB133111EB % 2**64
    return state, word ^ word >> 31


def seeds(count: int, epoch: int = 0) -> Tensor:
    return tf.constant(np.stack([np.arange(count), np.full(count, epoch)], axis=1), tf.int32)


def test_splitmix_is_the_published_one() -> None:
    # The first outputs for state 1234567, as other implementations print them.
    state, first = splitmix(1234567)
    assert (first, splitmix(state)[1]) == (6457827717110365317, 3203168211198807973)


def test_scalars_are_those_of_splitmix() -> None:
    packed = int(np.array([5, 3], "<i4").view("<u8")[0])
    golden = 0x9E3779B97F4A7C15
    state = splitmix(packed - golden)[1]
    expected = []
    for _ in range(4):
        state, word = splitmix(state)
        expected.append((word >> 40) / 2**24)
    np.testing.assert_array_equal(ImageRng(tf.constant([[5, 3]])).scalars(4)[0], np.array(expected, np.float32))


def test_scalars_are_uniform_and_independent() -> None:
    numbers = ImageRng(seeds(20_000)).scalars(5).numpy()
    assert numbers.shape == (20_000, 5)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for column in numbers.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    other = ImageRng(seeds(20_000, epoch=1)).scalars(1).numpy()
    neighbours = np.concatenate([numbers, np.roll(numbers[:, :1], 1, axis=0), other], axis=1)
    assert np.abs(np.corrcoef(neighbours.T) - np.eye(7)).max() < 0.03


def test_named_draws_are_others() -> None:
    rng = ImageRng(seeds(1000))
    numbers = [source.scalars(1).numpy()[:, 0] for source in (rng, rng.named("flip"), rng.named("crop"))]
    assert np.abs(np.corrcoef(numbers) - np.eye(3)).max() < 0.15
    assert len(np.unique(rng.named("flip").seeds, axis=0)) == 1000


def test_numbered_draws_are_those_of_splitmix() -> None:
    packed = int(np.array([5, 3], "<i4").view("<u8")[0])
    state = splitmix(packed - 0x9E3779B97F4A7C15)[1]
    expected = []
    for _ in range(4):
        state, word = splitmix(state)
        expected.append(word)
    found = ImageRng(tf.constant([[5, 3]])).numbered(tf.range(1, 4)).seeds.numpy()
    np.testing.assert_array_equal(found.view("<u8")[:, 0], np.array(expected[1:], np.uint64))


@pytest.mark.parametrize("draw", [lambda d: d.scalars(3), lambda d: d.named("flip").seeds], ids=["scalars", "named"])
def test_draws_belong_to_the_image(draw) -> None:
    every = draw(ImageRng(seeds(6))).numpy()
    some = draw(ImageRng(tf.gather(seeds(6), [4, 1]))).numpy()
    np.testing.assert_array_equal(some, every[[4, 1]])
    traced = tf.function(lambda s: draw(ImageRng(s)), input_signature=[tf.TensorSpec((None, 2), tf.int32)])
    np.testing.assert_array_equal(traced(seeds(6)), every)
