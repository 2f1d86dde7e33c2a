"""What goes on around the steps: the radius, the averages, the rate."""

from dataclasses import replace

import numpy as np
import pytest

from advcli.data.decoded import Images
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.recipe import TrainingData
from advcli.tasks.train.trainer import Trainer
from tiny_runs import TINY, data_for, epoch_record, trainer_for


def radii(**changes: float) -> list[list[float]]:
    """Return the radius of every step, an epoch a row."""
    trainer = trainer_for(replace(TINY, objective="pgd-at", epochs=4, **changes))
    assert trainer.batches.steps == 3
    return [[trainer.eps(3 * epoch + step) for step in range(3)] for epoch in range(4)]


def test_the_radius_is_the_whole_one_at_once() -> None:
    assert radii() == [[0.1] * 3] * 4


def test_the_radius_grows_evenly_to_the_whole_one() -> None:
    found = radii(eps_warmup=2.0)
    assert np.ravel(found) == pytest.approx([0.1 * min(1, (step + 1) / 6) for step in range(12)])
    assert found[2:] == [[0.1] * 3] * 2


def test_the_radius_is_zero_before_the_first_adversarial_epoch() -> None:
    assert radii(adv_start_epoch=3) == [[0.0] * 3, [0.0] * 3, [0.1] * 3, [0.1] * 3]


def test_the_radius_grows_from_the_first_adversarial_epoch_on() -> None:
    found = radii(adv_start_epoch=2, eps_warmup=1.0)
    assert np.ravel(found) == pytest.approx([0, 0, 0, 0.1 / 3, 0.2 / 3, 0.1, *[0.1] * 6])


def test_robustness_is_aimed_at_from_the_first_adversarial_epoch_on() -> None:
    trainer = trainer_for(replace(TINY, objective="pgd-at", adv_start_epoch=2))
    assert [trainer.aims_at_robustness(epoch) for epoch in (1, 2)] == [False, True]
    assert not trainer_for(TINY).aims_at_robustness(2)


def test_each_rollback_halves_the_rate() -> None:
    trainer = trainer_for(TINY)
    checkpoint = Checkpoint((epoch_record(1),)).advanced(1.0, 1)
    whole = trainer.learning_rate(checkpoint)
    assert whole == trainer.rate.at(4, [1.0])
    assert trainer.learning_rate(checkpoint.rolled_back()) == whole / 2
    assert trainer.learning_rate(checkpoint.rolled_back().rolled_back()) == whole / 4


def test_the_averages_follow_their_formula_and_take_the_weights_place_for_a_while() -> None:
    trainer = trainer_for(replace(TINY, ema=0.5, epochs=6, learning_rate=0.3))
    assert trainer.averages is not None
    expected = [weight.numpy() for weight in trainer.weights]
    checkpoint, steps, decay = Checkpoint(), 0, 0.0
    for number in (1, 2, 3):
        for _ in trainer.epoch(checkpoint):
            steps += 1
            decay = min(0.5, (1 + steps) / (10 + steps))
            for average, weight in zip(expected, trainer.weights, strict=True):
                average[...] = decay * average + (1 - decay) * weight.numpy()
        checkpoint = checkpoint.extended(epoch_record(number))
    assert decay == 0.5
    for average, value in zip(trainer.averages.values, expected, strict=True):
        np.testing.assert_allclose(average.numpy(), value, rtol=1e-4, atol=1e-6)
    raw = [weight.numpy() for weight in trainer.weights]
    with trainer.averages.in_place():
        for weight, average in zip(trainer.weights, trainer.averages.values, strict=True):
            np.testing.assert_array_equal(weight.numpy(), average.numpy())
    for weight, value in zip(trainer.weights, raw, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    assert any((value != average).any() for value, average in zip(raw, expected, strict=True))


def test_averages_leave_the_statistics_of_batchnorm_alone() -> None:
    data = data_for(TINY)
    pixels = np.zeros((20, 16, 16, 1), np.uint8)
    images = Images(pixels, np.arange(20, dtype=np.int32) % 10)
    recipe = replace(TINY, backbone="mobilenetv2:alpha=0.35", edge=16, ema=0.9)
    trainer = Trainer(recipe, TrainingData(data.dataset, images, images), find_devices("one"))
    assert trainer.averages is not None
    statistics = trainer.model.non_trainable_variables
    for variable in trainer.model.variables:
        if "float" in variable.dtype:
            variable.assign(variable + 1.0)
    before = [variable.numpy() for variable in statistics]
    scales = [weight.numpy() for weight in trainer.weights]
    with trainer.averages.in_place():
        for variable, value in zip(statistics, before, strict=True):
            np.testing.assert_array_equal(variable.numpy(), value)
        for weight, value in zip(trainer.weights, scales, strict=True):
            np.testing.assert_allclose(weight.numpy(), value - 1, atol=1e-6)
    assert len(statistics) > 50


def test_there_are_no_averages_unless_asked_for() -> None:
    assert trainer_for(TINY).averages is None


def test_clean_epochs_take_the_steps_of_the_objective_clean() -> None:
    weights = []
    for objective, start in (("clean", 1), ("pgd-at", 2)):
        trainer = trainer_for(replace(TINY, objective=objective, adv_start_epoch=start, eps_warmup=0.0))
        for i, weight in enumerate(trainer.weights):
            weight.assign(np.random.default_rng(i).normal(0, 0.1, weight.shape))
        *_, last = trainer.epoch(Checkpoint())
        weights.append([last.loss, *(weight.numpy().tobytes() for weight in trainer.weights)])
    assert weights[0] == weights[1]


def test_a_radius_that_has_not_grown_is_that_of_clean_training_and_then_it_is_not() -> None:
    losses = []
    for eps, warm_up in ((0.3, 1000.0), (0.3, 0.0), (0.0, 0.0)):
        recipe = replace(TINY, objective="fgsm-rs", eps=eps, eps_warmup=warm_up)
        trainer = trainer_for(recipe)
        for i, weight in enumerate(trainer.weights):
            weight.assign(np.random.default_rng(i).normal(0, 0.3, weight.shape))
        *_, last = trainer.epoch(Checkpoint())
        losses.append(last.loss)
    growing, whole, none = losses
    assert growing == pytest.approx(none, rel=0.01)
    assert whole > 1.05 * none
