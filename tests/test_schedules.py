"""Schedules of the learning rate: what they have in common, and each one's formula."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from advcli import registry
from advcli.errors import UsageError
from advcli.schedules import Schedule, since_best
from advcli.tasks.train.optimizer import LearningRate

SCHEDULES = registry.names("schedules")
FALLING = [1.0, 0.5, 0.25, 0.12]
STANDING = [1.0] * 8


def schedule(spec: str) -> Schedule:
    return registry.build("schedules", spec)


def fractions(spec: str, steps: int = 400, losses: Sequence[float] = FALLING) -> np.ndarray:
    chosen = schedule(spec)
    return np.array([chosen(step / steps, losses) for step in range(steps)])


# All of them


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("losses", [[], FALLING, STANDING], ids=["none", "falling", "standing"])
def test_fractions_are_fractions(name: str, losses: list[float]) -> None:
    found = fractions(name, losses=losses)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_those_that_rise_begin_low_and_the_others_at_the_highest_rate(name: str) -> None:
    first = schedule(name)(0.0, [])
    assert first < 0.1 if schedule(name).rises else first == 1


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_highest_rate_is_reached(name: str) -> None:
    assert fractions(name, losses=FALLING).max() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", SCHEDULES)
def test_after_the_warm_up_comes_the_highest_rate_and_then_the_schedule(name: str) -> None:
    rate = LearningRate(0.4, schedule(name), warm_up=10, steps=110)
    assert [rate.at(step, []) for step in range(10)] == pytest.approx([0.04 * (step + 1) for step in range(10)])
    after = [rate.at(step, []) for step in range(10, 110)]
    assert after == pytest.approx(0.4 * fractions(name, 100, losses=[]))


@pytest.mark.parametrize(
    ("name", "end"), [("constant", 1), ("cosine", 0), ("cyclic", 0), ("onecycle", 1e-5), ("piecewise", 0.01)]
)
def test_where_they_end(name: str, end: float) -> None:
    assert schedule(name)(1.0, FALLING) == pytest.approx(end, abs=1e-12)


# Each by itself


def test_cosine() -> None:
    expected = [1, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]
    assert fractions("cosine", 4).tolist() == pytest.approx(expected)


def test_cyclic_is_a_triangle() -> None:
    assert fractions("cyclic:peak=0.25", 8).tolist() == pytest.approx([0, 0.5, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])


def test_onecycle_is_two_half_cosines() -> None:
    found = fractions("onecycle:peak=0.5,start=0.2,end=0.1", 8)
    rise = [0.6 - 0.4 * math.cos(math.pi * quarter / 4) for quarter in range(4)]
    fall = [0.55 + 0.45 * math.cos(math.pi * quarter / 4) for quarter in range(4)]
    assert found.tolist() == pytest.approx(rise + fall)


def test_piecewise_falls_twice() -> None:
    assert fractions("piecewise", 8).tolist() == pytest.approx([1] * 4 + [0.1] * 2 + [0.01] * 2)
    found = fractions("piecewise:first=0.25,second=0.5,factor=0.5", 4)
    assert found.tolist() == pytest.approx([1, 0.5, 0.25, 0.25])


@pytest.mark.parametrize(
    ("losses", "fraction"),
    [
        ([], 1),
        ([2.0], 1),
        ([2.0, 1.0, 0.5, 0.2, 0.1], 1),
        # Less than a hundredth of the best loss is no fall.
        ([2.0, 1.99], 1),
        ([2.0, 1.99, 1.985], 0.1),
        ([2.0, 1.99, 1.97], 1),
        # A rise is none either, and what was waited for is forgotten after a fall.
        ([2.0, 3.0, 4.0], 0.1),
        ([2.0, 3.0, 1.0, 1.5], 1),
        # After a step down the count begins anew.
        ([2.0, 2.0, 2.0, 2.0, 2.0], 0.1),
        ([2.0, 2.0, 2.0, 2.0, 2.0, 2.0], 0.01),
        ([2.0, 2.0, 2.0, 1.0, 0.5, 0.2], 0.1),
        ([1.0] * 50, 0.001),
    ],
)
def test_plateau_steps_down_when_the_loss_stands_still(losses: list[float], fraction: float) -> None:
    for progress in (0.0, 0.5, 0.99):
        assert schedule("plateau")(progress, losses) == pytest.approx(fraction)


def test_plateau_never_rises_as_epochs_are_added() -> None:
    losses = np.random.default_rng(0).normal(1, 0.02, 60).tolist()
    found = [schedule("plateau:patience=1,factor=0.5")(0, losses[:end]) for end in range(60)]
    assert (np.diff(found) <= 0).all()
    assert found[0] == 1
    assert found[-1] == 0.001


def test_since_best_counts_the_epochs_without_a_clear_fall() -> None:
    losses = [4.0, 2.0, 1.99, 1.97, 1.5, 1.6]
    assert [since_best(losses[:end], 0.02) for end in range(7)] == [0, 0, 0, 1, 2, 0, 1]
    assert since_best([-1.0, -1.5, -1.51], 0.02) == 1


@pytest.mark.parametrize(
    "spec",
    [
        *("cyclic:peak=0", "cyclic:peak=1", "onecycle:peak=2", "onecycle:start=-0.1", "onecycle:end=1.5"),
        *("piecewise:first=0.8", "piecewise:second=1", "piecewise:first=0", "piecewise:factor=1"),
        *("plateau:patience=0", "plateau:factor=1", "plateau:floor=2", "plateau:floor=-1", "plateau:threshold=-0.1"),
    ],
)
def test_options_that_mean_nothing_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        schedule(spec)
