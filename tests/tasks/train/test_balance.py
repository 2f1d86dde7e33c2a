"""Classes of different sizes: weights of the loss, and a sampler."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from advcli.backend import tf
from advcli.data.decoded import Images
from advcli.errors import UsageError
from advcli.tasks.train.batches import Batches, balanced_order, balanced_weights
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.recipe import Recipe, TrainingData
from advcli.tasks.train.request import Request
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.trainer import Trainer
from tiny_runs import TINY, data_for, epoch_record

LABELS = np.array([0] * 20 + [1] * 5 + [2] * 2, dtype=np.int32)


def test_weights_are_those_of_the_formula() -> None:
    np.testing.assert_allclose(balanced_weights(LABELS, 4), [27 / 60, 27 / 15, 27 / 6, 9.0])
    weights = balanced_weights(LABELS, 3)
    # Each class counts the same, and all images together as many as they are.
    np.testing.assert_allclose([weights[c] * np.sum(c == LABELS) for c in range(3)], [9, 9, 9], rtol=1e-6)


def test_a_balanced_epoch_has_equally_many_of_each_class() -> None:
    order, before = balanced_order(LABELS, np.random.default_rng(0))
    counts = Counter(LABELS[order].tolist())
    assert len(order) == 27 and set(counts.values()) == {9}
    assert len({(int(i), int(n)) for i, n in zip(order, before, strict=True)}) == 27
    # Each image of a small class comes before any comes again.
    rare = Counter(int(i) for i in order if LABELS[i] == 1)
    assert set(rare) == {20, 21, 22, 23, 24} and max(rare.values()) - min(rare.values()) <= 1


def test_batches_of_a_balanced_epoch_are_gone_on_with() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (27, 8, 8, 3), dtype=np.uint8)
    batches = Batches(Images(pixels, LABELS), 9, (), seed=0, balanced=True)
    whole = [[value.numpy() for value in batch] for batch in batches.epoch(1, 0, 0)]
    rest = [[value.numpy() for value in batch] for batch in batches.epoch(1, 0, 1)]
    assert len(whole) == 3 and len(rest) == 2
    for one, other in zip(whole[1:], rest, strict=True):
        for mine, again in zip(one, other, strict=True):
            np.testing.assert_array_equal(mine, again)
    seeds = np.concatenate([batch[2] for batch in whole])
    assert len({tuple(seed) for seed in seeds.tolist()}) == 27
    other = [batch[1].numpy().tolist() for batch in batches.epoch(2, 0, 0)]
    assert other != [batch[1].tolist() for batch in whole]


def uneven() -> TrainingData:
    data = data_for(TINY)
    labels = np.minimum(data.train.labels, 3).astype(np.int32)
    return replace(data, train=replace(data.train, labels=labels))


def test_the_loss_of_an_image_counts_as_its_class_does() -> None:
    data = uneven()
    size = len(data.train) // 2
    recipe = replace(TINY, backbone="linear", batch=size, learning_rate=1e-9, momentum=0.0)
    pixels, labels = data.train.at(np.random.default_rng([recipe.seed, 1, 0]).permutation(len(data.train))[: 2 * size])
    found = {}
    for name in ("none", "balanced"):
        trainer = Trainer(replace(recipe, class_weights=name), data, find_devices("one"))
        for weight in trainer.model.trainable_variables:
            weight.assign(np.random.default_rng(0).normal(size=weight.shape))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, trainer.classifier.logits(pixels)).numpy()
        *_, last = trainer.epoch(Checkpoint())
        found[name] = last.loss
    weights = balanced_weights(data.train.labels, 10)[labels]
    assert abs((weights * losses).sum() / losses.sum() - 1) > 0.01
    assert found["none"] == pytest.approx(losses.sum(), rel=1e-4)
    assert found["balanced"] == pytest.approx((weights * losses).sum(), rel=1e-4)


def test_the_sampler_is_that_of_the_recipe() -> None:
    data = uneven()
    trainer = Trainer(replace(TINY, backbone="linear", sampler="balanced"), data, find_devices("one"))
    counts = Counter(label for _, labels, _ in trainer.batches.epoch(1, 0, 0) for label in labels.numpy().tolist())
    # An incomplete last batch is dropped.
    assert max(counts.values()) - min(counts.values()) <= TINY.batch
    assert counts[0] > 2 * (data.train.labels == 0).sum()


def test_recipe_and_history_say_it(tmp_path: Path) -> None:
    recipe = replace(TINY, class_weights="balanced")
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    run = Run(tmp_path)
    run.write_history([epoch_record(1), replace(epoch_record(2), class_weights="balanced")])
    header, _, row = (tmp_path / "history.csv").read_text().splitlines()
    assert header.endswith("seconds,class_weights") and row.endswith(",balanced")
    run.write_history([epoch_record(1)])
    assert (tmp_path / "history.csv").read_text().splitlines()[0].endswith(",seconds")


def test_both_at_once_are_refused() -> None:
    with pytest.raises(UsageError, match="balance the classes twice"):
        Request(data="digits", class_weights="balanced", sampler="balanced")
