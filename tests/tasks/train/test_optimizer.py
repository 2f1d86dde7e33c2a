"""The optimizer against the formulas of the papers, on logistic regression, whose gradient is known."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backend import keras
from advcli.errors import UsageError
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.optimizer import LearningRate, decays, make_optimizer, refuse_unknown_optimizer
from advcli.tasks.train.recipe import Recipe, draft
from advcli.tasks.train.request import Request
from tiny_runs import TINY, data_for, epoch_record, trainer_for

# Every step sees all images, so that their order is of no account.
REGRESSION = replace(TINY, backbone="linear", batch=200, schedule="constant", warmup=0.0, learning_rate=0.1)
STEPS = 3


def trained(recipe: Recipe) -> list[np.ndarray]:
    """Take some steps from a kernel that is not zero: -> kernel and bias."""
    trainer = trainer_for(replace(recipe, epochs=STEPS))
    for weight, value in zip(trainer.weights, start(), strict=True):
        weight.assign(value)
    for number in range(STEPS):
        (after,) = trainer.epoch(Checkpoint(tuple([epoch_record(1)] * number)))
        assert after.step == 1
    return [weight.numpy() for weight in trainer.weights]


def start() -> list[np.ndarray]:
    generator = np.random.default_rng(5)
    return [generator.normal(0, 0.3, shape).astype(np.float32) for shape in ((64, 10), (10,))]


def gradient(weights: list[np.ndarray]) -> list[np.ndarray]:
    """Differentiate the mean cross-entropy of all images by kernel and bias."""
    pixels, labels = data_for(REGRESSION).train.at(slice(None))
    pixels = pixels.reshape(len(pixels), -1).astype(np.float64)
    logits = pixels @ weights[0] + weights[1]
    chances = np.exp(logits - logits.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    error = (chances - np.eye(10)[labels]) / len(labels)
    return [pixels.T @ error, error.sum(axis=0)]


def close(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_decay_with_sgd_goes_through_the_momentum_and_spares_biases(momentum: float) -> None:
    found = trained(replace(REGRESSION, momentum=momentum, weight_decay=0.5))
    weights = [value.astype(np.float64) for value in start()]
    velocity = [np.zeros_like(value) for value in weights]
    for _ in range(STEPS):
        slopes = gradient(weights)
        slopes[0] = slopes[0] + 0.5 * weights[0]
        velocity = [momentum * old + slope for old, slope in zip(velocity, slopes, strict=True)]
        ahead = [slope + momentum * speed for slope, speed in zip(slopes, velocity, strict=True)]
        weights = [weight - 0.1 * step for weight, step in zip(weights, ahead, strict=True)]
    close(found, weights)


def test_decay_with_adamw_is_apart_from_the_gradient_and_spares_biases() -> None:
    found = trained(replace(REGRESSION, optimizer="adamw", weight_decay=0.5))
    weights = [value.astype(np.float64) for value in start()]
    first, second = ([np.zeros_like(value) for value in weights] for _ in range(2))
    for step in range(1, STEPS + 1):
        slopes = gradient(weights)
        first = [0.9 * old + 0.1 * slope for old, slope in zip(first, slopes, strict=True)]
        second = [0.999 * old + 0.001 * slope**2 for old, slope in zip(second, slopes, strict=True)]
        weights[0] = weights[0] * (1 - 0.1 * 0.5)
        rate = 0.1 * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        weights = [
            weight - rate * mean / (np.sqrt(square) + 1e-7)
            for weight, mean, square in zip(weights, first, second, strict=True)
        ]
    close(found, weights)


def test_clipping_shortens_the_gradient_of_all_weights_together_and_before_the_decay() -> None:
    found = trained(replace(REGRESSION, momentum=0.0, clip_norm=0.05, weight_decay=0.2))
    weights = [value.astype(np.float64) for value in start()]
    for _ in range(STEPS):
        slopes = gradient(weights)
        length = math.sqrt(sum(float((slope**2).sum()) for slope in slopes))
        assert length > 0.05
        slopes = [slope * 0.05 / length for slope in slopes]
        slopes[0] = slopes[0] + 0.2 * weights[0]
        weights = [weight - 0.1 * slope for weight, slope in zip(weights, slopes, strict=True)]
    close(found, weights)


def test_a_short_gradient_is_not_clipped() -> None:
    close(trained(replace(REGRESSION, clip_norm=1000.0)), trained(REGRESSION))


def test_decay_is_for_kernels_of_any_layer_only() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.DepthwiseConv2D(3, name="depthwise")(x)
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(keras.layers.Flatten()(x)))
    decaying = [weight.path for weight in model.trainable_variables if decays(weight)]
    assert decaying == ["conv/kernel", "depthwise/kernel", "head/kernel"]
    optimizer = make_optimizer(replace(TINY, optimizer="adamw", weight_decay=0.1), model.trainable_variables)
    spared = [weight.path for weight in model.trainable_variables if not optimizer._use_weight_decay(weight)]
    assert spared == ["conv/bias", "norm/gamma", "norm/beta", "depthwise/bias", "head/bias"]


def test_the_optimizer_knows_all_weights_from_the_start() -> None:
    weights = trainer_for(replace(TINY, unfreeze="plateau")).weights
    optimizer = make_optimizer(TINY, weights)
    slots = [variable for variable in optimizer.variables if variable.path.endswith("momentum")]
    assert [slot.shape for slot in slots] == [weight.shape for weight in weights]


def test_an_unknown_optimizer_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="unknown optimizer 'adamv'") as caught:
        refuse_unknown_optimizer("adamv")
    assert "adamw" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "warm_up"),
    [
        ({"epochs": 4}, 4),
        ({"epochs": 20}, 10),
        ({"epochs": 1, "steps": 3}, 1),
        ({"epochs": 4, "warmup": 0.0}, 0),
        ({"epochs": 4, "warmup": 1.5}, 15),
        ({"epochs": 4, "warmup": 9.0}, 40),
        ({"epochs": 20, "schedule": "onecycle"}, 0),
        ({"epochs": 20, "schedule": "cyclic"}, 0),
        ({"epochs": 20, "schedule": "cyclic", "warmup": 2.0}, 20),
    ],
)
def test_the_warm_up_is_an_epoch_and_at_most_a_tenth_unless_it_is_said_or_needless(
    change: dict[str, Any], warm_up: int
) -> None:
    change = dict(change)
    steps = change.pop("steps", 10)
    rate = LearningRate.of(replace(TINY, **change), steps)
    assert rate.warm_up == warm_up
    highest = max(rate.at(step, []) for step in range(rate.steps))
    assert highest == pytest.approx(TINY.learning_rate, rel=0.02)


@pytest.mark.parametrize("name", registry.names("schedules"))
def test_every_schedule_drives_a_run_from_its_first_step_to_its_last(name: str) -> None:
    rate = LearningRate.of(replace(TINY, schedule=name, epochs=30), 7)
    rates = np.array([rate.at(step, [1.0] * (step // 7)) for step in range(rate.steps)])
    assert rates.max() == pytest.approx(TINY.learning_rate, rel=0.02)
    assert rates[-1] < 0.1 * rates.max() or name == "constant"


def test_the_rate_rises_again_when_more_layers_begin_to_learn() -> None:
    rate = LearningRate(0.8, registry.build("schedules", "constant"), 0, 100, restart=4)
    assert [rate.at(step, [], 10) for step in (10, 11, 13, 14)] == pytest.approx([0.2, 0.4, 0.8, 0.8])
    assert rate.at(0, []) == 0.8


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("sgd", 0.05, 3, "training", "all", "warn")),
        ({"clip_norm": 0.0}, ("sgd", 0.05, 0, "training", "all", "warn")),
        ({"optimizer": "scaled-adam"}, ("scaled-adam", 0.001, 0, "training", "all", "warn")),
        ({"weights": "imagenet"}, ("scaled-adam", 0.001, 0, "inference", "plateau", "rollback")),
        ({"weights": "imagenet", "optimizer": "sgd"}, ("sgd", 0.01, 0, "training", "plateau", "rollback")),
        ({"weights": "imagenet", "optimizer": "adamw"}, ("adamw", 0.0002, 0, "inference", "plateau", "rollback")),
        ({"weights": "imagenet", "unfreeze": "all"}, ("scaled-adam", 0.001, 0, "inference", "all", "warn")),
    ],
)
def test_rate_mode_and_weights_belong_together(options: dict[str, Any], expected: tuple[object, ...]) -> None:
    recipe = draft(Request(objective="clean", **options))
    rate = (recipe.optimizer, recipe.learning_rate, recipe.clip_norm)
    found = (*rate, recipe.batchnorm, recipe.unfreeze, recipe.guard)
    assert found == expected
