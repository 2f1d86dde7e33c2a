"""Two batches of the article's training for every network it names; the slowest to trace only with -m slow."""

import gc
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest

from advcli import registry
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images
from advcli.data.split import Split
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.recipe import Recipe, TrainingData
from advcli.tasks.train.trainer import Trainer

# Two seconds to a minute to trace.
LARGE = (
    "densenet121",
    "efficientnetb2",
    "efficientnetb4",
    "efficientnetb6",
    "nasnetlarge",
    "nasnetmobile",
    "resnext50",
)
EDGE = 32


def parameters() -> Iterator[object]:
    for name in registry.names("backbones"):
        yield pytest.param(name, marks=pytest.mark.slow if name in LARGE else ())


@pytest.fixture(autouse=True)
def one_at_a_time() -> Iterator[None]:
    """Let go of a network before the next one, each of which takes a gigabyte or two to trace."""
    yield
    gc.collect()


@pytest.mark.parametrize("backbone", parameters())
def test_two_batches_change_the_network(backbone: str) -> None:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, (8, EDGE, EDGE, 3), dtype=np.uint8)
    labels = (np.arange(8) % 4).astype(np.int32)
    split, images = Split(labels, pixels.__getitem__, str), Images(pixels, labels)
    recipe = Recipe(
        data="random",
        backbone=backbone,
        objective="nsl",
        attack="pgd:steps=7",
        eps=4 / 255,
        edge=EDGE,
        weights="none",
        epochs=1,
        batch=4,
        learning_rate=0.01,
        momentum=0.9,
        validation=0.1,
        robust_images=4,
        seed=0,
        augment=("flip", "crop", "jitter", "gaussian", "poisson", "salt-pepper"),
    )
    dataset = Dataset("random", ("a", "b", "c", "d"), split, split, EDGE)
    trainer = Trainer(recipe, TrainingData(dataset, images, images), find_devices("one"))
    before = [weight.numpy() for weight in trainer.weights]
    positions = list(islice(trainer.epoch(Checkpoint()), 2))
    assert [position.step for position in positions] == [1, 2]
    assert np.isfinite(positions[-1].loss)
    changed = [not np.array_equal(weight.numpy(), old) for weight, old in zip(trainer.weights, before, strict=True)]
    kernels = [len(weight.shape) > 1 for weight in trainer.weights]
    assert all(moved for moved, kernel in zip(changed, kernels, strict=True) if kernel), "a kernel did not learn"
    assert all(np.isfinite(weight.numpy()).all() for weight in trainer.weights)
