"""AutoGraph converts only what needs it: the conversion of an attack takes longer than all the rest of its trace."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from advcli import registry
from advcli.attacks.pgd import PGD
from advcli.backend import Tensor, tf
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat
from advcli.tracing import as_written, converted


def sum_to(count: Tensor) -> Tensor:
    total = tf.constant(0)
    for each in tf.range(count):
        total += each
    return total


@as_written
def through_the_boundary(count: Tensor) -> Tensor:
    return converted(sum_to)(count)


@as_written
def past_the_boundary(count: Tensor) -> Tensor:
    return sum_to(count)


@as_written
class Written:
    def __call__(self, count: Tensor) -> Tensor:
        return sum_to(count)


class Derived(Written):
    def __call__(self, count: Tensor) -> Tensor:
        return sum_to(count)


@pytest.mark.parametrize("function", [sum_to, through_the_boundary, Derived()])
def test_loops_over_tensors_are_converted(function: Callable[[Tensor], Tensor]) -> None:
    assert tf.function(lambda count: function(count))(tf.constant(4)) == 6
    assert function(tf.constant(4)) == 6


@pytest.mark.parametrize("function", [past_the_boundary, Written()])
def test_what_is_as_written_is_not_converted(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(TypeError, match="symbolic"):
        tf.function(lambda count: function(count))(tf.constant(4))
    assert function(tf.constant(4)) == 6


@pytest.fixture
def conversions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the functions that AutoGraph converts."""
    from tensorflow.python.autograph.impl import api

    found: list[str] = []
    convert = api._convert_actual

    def noted(entity: Callable[..., object], context: object) -> object:
        found.append(f"{entity.__module__}.{entity.__qualname__}")
        return convert(entity, context)

    monkeypatch.setattr(api, "_convert_actual", noted)
    yield found


@pytest.mark.parametrize(
    "spec", ["fgsm", "pgd", "pgd:stop=true,restarts=2,eot=2", "apgd:steps=3,eot=2", "square:queries=9,eot=3"]
)
def test_these_attacks_need_no_conversion(
    spec: str, linear: Classifier, pictures: np.ndarray, conversions: list[str]
) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    CompiledAttack(linear, registry.build("attacks", spec), Threat())(pictures, labels)
    assert conversions == []


@dataclass(frozen=True)
class Own(PGD):
    """A user's attack on the ground of one that is as written."""

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        found = images
        for _ in tf.range(2):
            if tf.reduce_any(~threat.is_adversarial(logits_fn(found), labels)):
                found = super().__call__(logits_fn, found, labels, threat, rng)
        return threat.project(found, images)


def test_an_attack_of_ones_own_may_loop_over_tensors(
    linear: Classifier, pictures: np.ndarray, conversions: list[str]
) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    found, _ = CompiledAttack(linear, Own(), Threat())(pictures, labels)
    assert conversions == [f"{__name__}.Own.__call__"]
    assert np.abs(found - pictures).max() == pytest.approx(Threat().eps, rel=1e-3)
