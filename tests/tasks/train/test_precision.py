"""Mixed precision, as far as a processor can tell: what is in float16, what is not, and what an overflow does."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advcli.backend import tf
from advcli.errors import UsageError
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.mixed_precision import LossScale, half
from advcli.tasks.train.trainer import Trainer
from conftest import make_classifier
from tiny_runs import TINY, trainer_for


@pytest.fixture
def anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a processor do what it is refused for being slow."""
    monkeypatch.setattr("advcli.tasks.train.trainer.refuse_without_gpu", lambda: None)


def steps(trainer: Trainer) -> Checkpoint:
    *_, last = trainer.epoch(Checkpoint())
    return last


def values(trainer: Trainer) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in trainer.variables]


def test_without_a_gpu_it_is_refused() -> None:
    with pytest.raises(UsageError, match="--amp needs a GPU") as caught:
        trainer_for(replace(TINY, amp=True))
    assert caught.value.hint == "leave it out"


def test_layers_compute_in_float16_and_the_head_and_the_weights_do_not() -> None:
    model = make_classifier("mobilenetv2:alpha=0.35", edge=32).model
    dtypes: dict[str, Any] = {}

    def watched(layer: Any) -> Any:
        call = layer.call

        def watching(*arguments: Any, **options: Any) -> Any:
            outputs = call(*arguments, **options)
            dtypes[layer.name] = outputs.dtype
            return outputs

        return watching

    weighted = [layer for layer in model.layers if layer.weights]
    for layer in weighted:
        layer.call = watched(layer)
    with half(model):
        outputs = model(tf.zeros((2, 32, 32, 3)), training=True)
    assert outputs.dtype == tf.float32
    assert [dtypes[layer.name] for layer in weighted] == [tf.float16] * (len(weighted) - 1) + [tf.float32]
    assert {weight.dtype for weight in model.weights if "float" in weight.dtype} == {"float32"}
    assert {layer.dtype_policy.name for layer in model.layers} == {"float32"}


def test_what_is_computed_is_nearly_the_same_and_after_it_exactly() -> None:
    model = make_classifier("small:width=8").model
    images = tf.random.stateless_uniform((4, 8, 8, 3), (0, 1))
    exact = model(images, training=False).numpy()
    with half(model):
        rough = model(images, training=False).numpy()
    assert not np.array_equal(rough, exact)
    np.testing.assert_allclose(rough, exact, atol=0.01 * np.abs(exact).max())
    np.testing.assert_array_equal(model(images, training=False), exact)


@pytest.mark.parametrize("objective", ["clean", "trades:steps=1"])
def test_a_run_in_float16_is_nearly_the_one_in_float32(objective: str, anywhere: None) -> None:
    recipe = replace(TINY, objective=objective, weight_decay=0.01, clip_norm=1.0)
    exact, rough = trainer_for(recipe), trainer_for(replace(recipe, amp=True))
    for one, other in zip(exact.weights, rough.weights, strict=True):
        other.assign(one)
    losses = [steps(trainer).loss for trainer in (exact, rough)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.01)
    for one, other in zip(exact.weights, rough.weights, strict=True):
        np.testing.assert_allclose(other.numpy(), one.numpy(), atol=5e-3)


def test_attacks_stay_in_float32(anywhere: None) -> None:
    trainer = trainer_for(replace(TINY, objective="pgd-at", amp=True))
    dtypes: list[Any] = []

    def attack(logits: Any, images: Any, labels: Any, threat: Any, rng: Any) -> Any:
        graph = tf.compat.v1.get_default_graph()
        before = len(graph.get_operations())
        logits(images)
        added = graph.get_operations()[before:]
        dtypes.extend(operation.outputs[0].dtype for operation in added if operation.type in ("Conv2D", "MatMul"))
        return images

    trainer.attack = attack  # pyright: ignore[reportAttributeAccessIssue]  in place of a frozen component
    next(trainer.epoch(Checkpoint()))
    assert len(dtypes) > 2
    assert set(dtypes) == {tf.float32}


def test_a_step_that_overflows_is_not_taken(anywhere: None) -> None:
    trainer = trainer_for(replace(TINY, amp=True, batch=200))
    assert trainer.scale is not None
    trainer.scale.scale.assign(2.0**100)
    statistics = {id(variable) for variable in trainer.scale.variables}
    before = values(trainer)
    steps(trainer)
    changed = [
        id(variable)
        for variable, old in zip(trainer.variables, before, strict=True)
        if not np.array_equal(np.asarray(variable), old)
    ]
    # The learning rate is set before the step.
    assert set(changed) - {id(trainer.optimizer.learning_rate)} <= statistics
    assert float(trainer.scale.scale) == 2.0**99
    trainer.scale.scale.assign(2.0**15)
    steps(trainer)
    assert any((np.asarray(weight) != old).any() for weight, old in zip(trainer.model.variables, before, strict=False))
    assert float(trainer.scale.scale) == 2.0**15


def test_the_scale_is_doubled_after_many_steps_without_an_overflow() -> None:
    scale = LossScale()
    scale.steps.assign(1998)
    found = []
    for finite in (True, True, True, False):
        scale.move(tf.constant(finite))
        found.append((float(scale.scale), int(scale.steps)))
    assert found == [(2.0**15, 1999), (2.0**16, 0), (2.0**16, 1), (2.0**15, 0)]


def test_gradients_are_divided_by_the_scale_or_zero() -> None:
    scale = LossScale()
    gradients, finite = scale.undone([tf.constant([2.0**15]), tf.constant([0.0, 3.0])])
    assert bool(finite)
    np.testing.assert_allclose(gradients[0], [1.0])
    gradients, finite = scale.undone([tf.constant([1.0]), tf.constant([np.inf, 3.0])])
    assert not bool(finite)
    assert all((gradient.numpy() == 0).all() for gradient in gradients)
