"""Unfreezing: which part learns when, and that nothing else moves."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backend import keras, tf
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.unfreezing import Stages, stage_after
from conftest import make_classifier
from tiny_runs import TINY, data_for, epoch_record, trainer_for


@pytest.fixture
def residual() -> Any:
    """A network with BatchNorm, two residual blocks and a dropout, eight by eight pixels and three classes."""
    keras.utils.set_random_seed(4)
    inputs = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Rescaling(2.0, -1.0, name="preprocess")(inputs)
    x = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name="stem")(x)
    x = keras.layers.BatchNormalization(name="stem_norm")(x)
    x = keras.layers.ReLU(name="stem_relu")(x)
    for block in ("one", "two"):
        y = keras.layers.Conv2D(4, 3, padding="same", use_bias=False, name=f"{block}_conv")(x)
        y = keras.layers.BatchNormalization(name=f"{block}_norm")(y)
        x = keras.layers.Add(name=f"{block}_add")([x, y])
        x = keras.layers.ReLU(name=f"{block}_relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(3, name="logits")(x))


def learning(model: Any) -> set[str]:
    """Name the layers of which any weight learns."""
    return {weight.path.partition("/")[0] for weight in model.trainable_variables}


# When


@pytest.mark.parametrize(
    ("losses", "stage"),
    [
        ([], 0),
        ([1.0], 0),
        ([1.0, 0.5, 0.3, 0.2], 0),
        # A fall of less than a fiftieth is none.
        ([1.0, 0.99], 1),
        ([1.0, 0.97], 0),
        ([1.0, 1.2], 1),
        # A new stage compares with its own losses only, for they begin higher or lower.
        ([1.0, 1.0, 2.0], 1),
        ([1.0, 1.0, 2.0, 1.0, 0.5], 1),
        ([1.0, 1.0, 2.0, 2.0], 2),
        # After the last stage there is none.
        ([1.0] * 6, 2),
        ([1.0] * 60, 2),
    ],
)
def test_a_stage_ends_when_the_loss_stands_still(losses: list[float], stage: int) -> None:
    assert stage_after(losses, stages=3, patience=1, longest=100) == stage


def test_patience_is_how_many_epochs_without_a_fall_are_waited_for() -> None:
    stages = [stage_after([1.0] * epochs, stages=4, patience=2, longest=100) for epochs in range(10)]
    assert stages == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3]


def test_a_stage_ends_in_any_case_when_its_time_is_over() -> None:
    falling = [0.5**epoch for epoch in range(12)]
    stages = [stage_after(falling[:epochs], stages=4, patience=1, longest=3) for epochs in range(13)]
    assert stages == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3]


def test_one_stage_is_never_left() -> None:
    assert stage_after([1.0] * 20, stages=1, patience=1, longest=2) == 0


# What


def test_the_head_learns_first_and_then_a_block_more_at_each_stage(residual: Any) -> None:
    stages = Stages(residual, "plateau", 4)
    expected = [{"logits"}, {"two_conv", "two_norm"}, {"one_conv", "one_norm"}, {"stem", "stem_norm"}]
    assert len(stages) == 4
    for stage in range(4):
        stages.enter(stage)
        assert learning(residual) == set().union(*expected[: stage + 1])


def test_a_branch_is_not_cut() -> None:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1, name="stem")(inputs)
    left = keras.layers.Conv2D(4, 1, name="left")(x)
    right = keras.layers.Conv2D(4, 1, name="right2")(keras.layers.Conv2D(4, 1, name="right")(x))
    x = keras.layers.Concatenate()([left, right])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 1, name="top")(x))
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(x))
    stages = Stages(model, "plateau", 10)
    found = []
    for stage in range(len(stages)):
        stages.enter(stage)
        found.append(learning(model) - set().union(*found))
    assert found == [{"logits"}, {"top"}, {"left", "right", "right2"}, {"stem"}]


@pytest.mark.parametrize(("count", "sizes"), [(2, [1, 3]), (3, [1, 1, 2]), (4, [1, 1, 1, 1]), (9, [1, 1, 1, 1])])
def test_there_are_as_many_stages_as_asked_for_and_at_most_one_a_part(count: int, sizes: list[int]) -> None:
    model = make_classifier().model
    stages = Stages(model, "plateau", count)
    order = ["logits", "conv2", "conv1", "conv0"]
    assert len(stages) == len(sizes)
    for stage in range(len(stages)):
        stages.enter(stage)
        assert learning(model) == set(order[: sum(sizes[: stage + 1])])


@pytest.mark.parametrize("how", ["plateau", "head", "all"])
def test_the_last_stage_is_everything_but_for_head(how: str, residual: Any) -> None:
    everything = learning(residual)
    stages = Stages(residual, how, 3)
    assert len(stages) == (3 if how == "plateau" else 1)
    stages.enter(len(stages) - 1)
    assert learning(residual) == ({"logits"} if how == "head" else everything)


def test_an_earlier_stage_can_be_entered_again(residual: Any) -> None:
    stages = Stages(residual, "plateau", 4)
    for stage in (3, 1):
        stages.enter(stage)
    assert learning(residual) == {"logits", "two_conv", "two_norm"}


def test_a_network_that_is_all_head_has_one_stage() -> None:
    model = make_classifier("linear").model
    assert len(Stages(model, "plateau", 4)) == 1


def test_a_real_network_parts_at_its_bottlenecks() -> None:
    model = registry.build("backbones", "mobilenetv2:alpha=0.35")(10, 16, 1, None)
    everything = len(model.trainable_variables)
    stages = Stages(model, "plateau", 4)
    counts = []
    for stage in range(4):
        stages.enter(stage)
        counts.append(len(model.trainable_variables))
    assert counts[0] == 2
    assert counts[3] == everything
    assert min(np.diff(counts)) > 0.2 * everything


# What follows from it


def test_frozen_batchnorm_keeps_its_statistics_and_uses_them(residual: Any) -> None:
    norms = {name: residual.get_layer(name) for name in ("stem_norm", "one_norm", "two_norm")}
    for norm in norms.values():
        norm.moving_mean.assign(np.linspace(-0.5, 0.5, 4))
        norm.moving_variance.assign(np.linspace(0.5, 2, 4))

    def statistics() -> dict[str, bytes]:
        return {
            name: norm.moving_mean.numpy().tobytes() + norm.moving_variance.numpy().tobytes()
            for name, norm in norms.items()
        }

    Stages(residual, "plateau", 4).enter(1)
    step = tf.function(lambda images: residual(images, training=True))
    before = statistics()
    pictures = np.random.default_rng(0).uniform(size=(16, 8, 8, 3)).astype(np.float32)
    for _ in range(3):
        step(pictures)
    after = statistics()
    assert {name for name in norms if after[name] != before[name]} == {"two_norm"}
    # The statistics of the batch would make an image depend on the others.
    features = keras.Model(residual.input, residual.get_layer("one_relu").output)
    np.testing.assert_allclose(features(pictures, training=True)[:1], features(pictures[:1], training=True), atol=1e-5)


ONE_A_STAGE = replace(
    TINY, batch=200, epochs=3, unfreeze="plateau", stages=3, schedule="constant", warmup=0.0, learning_rate=0.1
)


def test_what_is_frozen_stays_as_it_is_to_the_bit() -> None:
    trainer = trainer_for(ONE_A_STAGE)
    checkpoint = Checkpoint()
    for number, moving in enumerate([{"logits"}, {"logits", "conv2"}, {"logits", "conv0", "conv1", "conv2"}], start=1):
        before = {weight.path: weight.numpy() for weight in trainer.weights}
        list(trainer.epoch(checkpoint))
        moved = {weight.path for weight in trainer.weights if (weight.numpy() != before[weight.path]).any()}
        assert {path.partition("/")[0] for path in moved} == moving
        checkpoint = checkpoint.extended(epoch_record(number, loss=1.0, stage=number))


def test_the_head_alone_learns_with_head() -> None:
    trainer = trainer_for(replace(ONE_A_STAGE, unfreeze="head"))
    before = {weight.path: weight.numpy() for weight in trainer.weights}
    checkpoint = Checkpoint()
    for number in (1, 2):
        list(trainer.epoch(checkpoint))
        checkpoint = checkpoint.extended(epoch_record(number, loss=1.0))
    moved = {weight.path for weight in trainer.weights if (weight.numpy() != before[weight.path]).any()}
    assert moved == {"logits/kernel", "logits/bias"}


def test_momentum_survives_a_change_of_stage() -> None:
    trainer = trainer_for(ONE_A_STAGE)
    names = [weight.path for weight in trainer.weights]
    pixels, labels = data_for(ONE_A_STAGE).train.at(slice(None))

    def slopes() -> list[np.ndarray]:
        trainer.stages.enter(2)
        with tf.GradientTape() as tape:
            logits = trainer.model(pixels, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        return [gradient.numpy() for gradient in tape.gradient(loss, trainer.weights)]

    first = slopes()
    list(trainer.epoch(Checkpoint()))
    second, before = slopes(), [weight.numpy() for weight in trainer.weights]
    list(trainer.epoch(Checkpoint((epoch_record(1),))))
    steps = [weight.numpy() - old for weight, old in zip(trainer.weights, before, strict=True)]
    for name, one, two, step in zip(names, first, second, steps, strict=True):
        if name.startswith("logits"):
            expected = -0.1 * (two + 0.9 * (two + 0.9 * one))
        elif name.startswith("conv2"):
            expected = -0.1 * (two + 0.9 * two)
        else:
            expected = np.zeros_like(two)
        np.testing.assert_allclose(step, expected, rtol=1e-3, atol=1e-6, err_msg=name)


def test_a_longer_run_does_not_go_back_to_an_earlier_stage() -> None:
    history = [epoch_record(number, loss=0.5**number, stage=stage) for number, stage in ((1, 1), (2, 2), (3, 3))]
    for epochs in (3, 30):
        assert trainer_for(replace(ONE_A_STAGE, epochs=epochs)).stage(Checkpoint(tuple(history))) == 2


# A user's model


def stages_of(model: Any, count: int = 4, how: str = "plateau") -> list[set[str]]:
    """Name the layers that begin to learn with each stage."""
    stages = Stages(model, how, count, lambda: model(np.zeros((1, 8, 8, 3), np.float32)))
    found: list[set[str]] = []
    for stage in range(len(stages)):
        stages.enter(stage)
        now = {weight.path.rpartition("/")[0].rpartition("/")[2] for weight in model.trainable_variables}
        found.append(now - set().union(*found))
    return found


ONE_BY_ONE = [{"scores"}, {"top"}, {"middle"}, {"stem"}]


def convolutions() -> list[Any]:
    return [keras.layers.Conv2D(4, 3, padding="same", name=name) for name in ("stem", "middle", "top")]


def test_a_nested_network_begins_to_learn_from_its_top_down() -> None:
    stem, middle, top = convolutions()
    inside = keras.Input((8, 8, 3))
    base = keras.Model(inside, middle(stem(inside)), name="base")
    flip = keras.Sequential([keras.layers.RandomFlip(), keras.layers.Rescaling(2.0)])
    head = keras.Sequential([keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, name="scores")])
    model = keras.Sequential([keras.Input((8, 8, 3)), flip, base, top, head])
    assert stages_of(model) == ONE_BY_ONE
    assert stages_of(model, how="head") == [{"scores"}]
    assert stages_of(model, how="all") == [{"stem", "middle", "top", "scores"}]


class OutOfOrder(keras.Model):
    """Makes its layers in another order than it calls them, has a weight of its own, and a layer it never calls."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = keras.layers.Dense(3, name="scores")
        self.unused = keras.layers.Dense(3, name="unused")
        stem, self.middle, self.top = convolutions()
        self.base = keras.Sequential([stem])

    def build(self, shape: Any) -> None:
        self.token = self.add_weight(shape=(1, 1, 1, 3), name="token")
        self.unused.build((None, 3))

    def call(self, inputs: Any) -> Any:
        features = self.top(self.middle(self.base(inputs + self.token)))
        return self.scores(keras.ops.mean(features, axis=(1, 2)))


def test_a_subclassed_network_learns_in_the_order_of_its_calls_and_its_own_weights_last() -> None:
    model = OutOfOrder()
    model(np.zeros((1, 8, 8, 3), np.float32))
    *above, last = ONE_BY_ONE
    assert stages_of(model) == [*above, last | {model.name, "unused"}]


def test_what_was_saved_frozen_learns_but_for_batchnorm_and_is_frozen_again_in_the_file() -> None:
    stem, middle, top = convolutions()
    normal = keras.layers.BatchNormalization(name="normal")
    inside = keras.Input((8, 8, 3))
    base = keras.Model(inside, normal(middle(stem(inside))), name="base")
    base.trainable = False
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(3, name="scores")]
    model = keras.Sequential([keras.Input((8, 8, 3)), base, top, *head])
    stages = Stages(model, "all", 4)
    stages.enter(0)
    assert {weight.path.split("/")[-2] for weight in model.trainable_variables} == {"stem", "middle", "top", "scores"}
    with stages.as_given():
        assert not (base.trainable or stem.trainable or normal.trainable)
        assert top.trainable
    assert stem.trainable
    assert len(model.trainable_variables) == 8 == len(stages.weights)


def test_scale_and_shift_of_normalization_can_stay_frozen(residual: Any) -> None:
    stages = Stages(residual, "plateau", 2, normalization_learns=False)
    assert not {"stem_norm", "one_norm", "two_norm"} & {weight.path.partition("/")[0] for weight in stages.weights}
    stages.enter(1)
    assert learning(residual) == {"stem", "one_conv", "two_conv", "logits"}
