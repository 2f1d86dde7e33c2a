"""The order of the images and their random changes: by seed, epoch and attempt alone."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from advcli.data.decoded import Images
from advcli.tasks.train.batches import Batches

COUNT, SIZE = 50, 8
_GENERATOR = np.random.default_rng(0)
# Each image has a brightness of its own, and is known by its label.
IMAGES = Images(_GENERATOR.integers(0, 255, (COUNT, 8, 8, 1), dtype=np.uint8), np.arange(COUNT, dtype=np.int32))
CHANGES = ("crop", "gaussian:probability=1")

Steps = list[tuple[np.ndarray, ...]]


def taken(batches: Batches, number: int = 1, attempt: int = 0, start: int = 0) -> Steps:
    return [tuple(part.numpy() for part in step) for step in batches.epoch(number, attempt, start)]


@cache
def epoch(
    number: int = 1, attempt: int = 0, start: int = 0, batch: int = SIZE, augment: tuple[str, ...] = (), seed: int = 0
) -> Steps:
    """Return what an object of its own gives."""
    return taken(Batches(IMAGES, batch, augment, seed), number, attempt, start)


def order(**options: Any) -> list[int]:
    return [int(label) for _, labels, _ in epoch(**options) for label in labels]


def by_image(**options: Any) -> dict[int, tuple[bytes, bytes]]:
    """Return each image's pixels and seeds by its label."""
    return {
        int(label): (image.tobytes(), seed.tobytes())
        for images, labels, seeds in epoch(**options)
        for image, label, seed in zip(images, labels, seeds, strict=True)
    }


def equal(one: Steps, other: Steps) -> bool:
    return len(one) == len(other) and all(
        np.array_equal(left, right)
        for first, second in zip(one, other, strict=True)
        for left, right in zip(first, second, strict=True)
    )


def test_batches_hold_the_images_as_numbers_from_zero_to_one() -> None:
    found = epoch()
    assert len(found) == Batches(IMAGES, SIZE, (), 0).steps == 6
    for images, labels, seeds in found:
        assert (images.shape, labels.shape, seeds.shape) == ((SIZE, 8, 8, 1), (SIZE,), (SIZE, 2))
        np.testing.assert_array_equal(images, IMAGES.pixels[labels].astype(np.float32) / np.float32(255))


def test_no_image_comes_twice_in_an_epoch() -> None:
    for number in (1, 2):
        assert len(set(order(number=number))) == 48
    assert sorted(order(batch=COUNT)) == list(range(COUNT))


def test_images_that_fill_no_batch_have_their_turn_in_another_epoch() -> None:
    left_out = [set(range(COUNT)) - set(order(number=number)) for number in range(1, 5)]
    assert not set.intersection(*left_out)


def test_a_batch_is_no_larger_than_there_are_images() -> None:
    batches = Batches(IMAGES, 1000, (), 0)
    assert (batches.size, batches.steps) == (COUNT, 1)


def test_the_same_seed_gives_the_same_batches() -> None:
    assert equal(taken(Batches(IMAGES, SIZE, CHANGES, 0)), epoch(augment=CHANGES))


@pytest.mark.parametrize("change", [{"seed": 1}, {"number": 2}, {"attempt": 1}], ids=str)
def test_another_seed_epoch_or_attempt_gives_another_order_and_other_draws(change: dict[str, int]) -> None:
    assert order() != order(**change)
    one, other = by_image(augment=CHANGES), by_image(augment=CHANGES, **change)
    same = [label for label in one.keys() & other.keys() if one[label] == other[label]]
    assert same == []


@pytest.mark.parametrize("start", [1, 5, 6])
def test_beginning_in_the_middle_is_leaving_out_what_came_before(start: int) -> None:
    assert equal(epoch(augment=CHANGES, start=start), epoch(augment=CHANGES)[start:])


def test_one_object_gives_epoch_after_epoch() -> None:
    batches = Batches(IMAGES, SIZE, CHANGES, 0)
    for number, start in ((1, 0), (2, 5), (2, 0), (1, 0)):
        assert equal(taken(batches, number, start=start), epoch(number=number, augment=CHANGES)[start:])


def test_an_epoch_that_was_left_in_the_middle_does_not_disturb_the_next() -> None:
    batches = Batches(IMAGES, SIZE, CHANGES, 0)
    next(batches.epoch(1, 0, 0))
    assert equal(taken(batches, 2), epoch(number=2, augment=CHANGES))


def test_draws_are_of_the_image_whatever_batch_it_is_in() -> None:
    small, large = by_image(augment=CHANGES, batch=5), by_image(augment=CHANGES, batch=25)
    assert small.keys() == large.keys() == set(range(COUNT))
    assert small == large


def test_images_differ_in_their_draws() -> None:
    seeds = {seed for _, seed in by_image().values()}
    assert len(seeds) == 48
    grey = Images(np.full((COUNT, 8, 8, 1), 128, np.uint8), IMAGES.labels)
    found = taken(Batches(grey, SIZE, ("gaussian:probability=1",), 0))
    assert len({image.tobytes() for images, _, _ in found for image in images}) == 48


def test_augmented_images_stay_between_black_and_white() -> None:
    images = np.concatenate([images for images, _, _ in epoch(augment=CHANGES)])
    assert images.min() == 0
    assert images.max() == 1


def test_a_part_of_each_batch_is_that_part() -> None:
    whole = epoch(augment=CHANGES)
    halves = [taken(Batches(IMAGES, SIZE, CHANGES, 0, half)) for half in (slice(0, 4), slice(4, 8))]
    for one, first, second in zip(whole, *halves, strict=True):
        for together, left, right in zip(one, first, second, strict=True):
            np.testing.assert_array_equal(together, np.concatenate([left, right]))
