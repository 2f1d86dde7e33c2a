"""Alarms: each by a history that gives it, and by histories that nearly do."""

from typing import Any

import pytest

from advcli.records import Epoch
from advcli.tasks.train import overfitting_guard as guard
from tiny_runs import epoch_record


def history(**columns: Any) -> list[Epoch]:
    """Make epochs of the values of some columns, one after the other."""
    rows = zip(*columns.values(), strict=True)
    return [epoch_record(i, **dict(zip(columns, row, strict=True))) for i, row in enumerate(rows, start=1)]


def kinds(epochs: list[Epoch], robust: bool = True, constant: float = 0.1) -> list[str]:
    return [alarm.kind for alarm in guard.alarms(epochs, robust, constant)]


def test_a_sound_run_gives_no_alarm() -> None:
    epochs = history(robust=[0.3, 0.4, 0.5, 0.45, 0.5, 0.52], train_accuracy=[0.4, 0.5, 0.6, 0.7, 0.8, 0.9])
    assert all(kinds(epochs[:end]) == [] for end in range(1, 7))


def test_the_first_epoch_alone_gives_no_alarm_of_overfitting() -> None:
    assert kinds([epoch_record(1, robust=0.0, single_step=0.9)]) == []


@pytest.mark.parametrize(
    ("robust", "single_step", "alarm"),
    [
        ([0.5, 0.05], [0.55, 0.7], True),
        ([0.5, 0.2, 0.05], [0.55, 0.3, 0.7], True),
        # It holds as long as it is so.
        ([0.5, 0.05, 0.05], [0.55, 0.7, 0.8], True),
        # Both fall: that is no masked gradient.
        ([0.5, 0.05], [0.55, 0.1], False),
        # One step leaves more right, but PGD has not fallen far.
        ([0.5, 0.35], [0.55, 0.7], False),
        # It was never robust, and one step has been far too good for two epochs.
        ([0.02, 0.03], [0.5, 0.6], True),
        ([0.02, 0.03], [0.5, 0.2], False),
        # A network without a defence: one step fools half of what ten steps fool.
        ([0.02, 0.03], [0.45, 0.42], False),
        # It is over.
        ([0.5, 0.05, 0.5], [0.55, 0.7, 0.55], False),
    ],
)
def test_catastrophic_overfitting(robust: list[float], single_step: list[float], alarm: bool) -> None:
    epochs = history(robust=robust, single_step=single_step)
    assert (guard.CATASTROPHIC in kinds(epochs)) == alarm


def test_a_radius_that_still_grows_is_no_sign_of_a_hidden_gradient() -> None:
    epochs = history(robust=[0.02, 0.03, 0.04], single_step=[0.5, 0.6, 0.6], eps=[0.1, 0.2, 0.3])
    assert kinds(epochs) == []


def test_the_alarm_of_catastrophic_overfitting_says_what_was_seen_and_what_to_do() -> None:
    (alarm,) = guard.alarms(history(robust=[0.5, 0.05], single_step=[0.55, 0.7]), robust=True, constant=0.1)
    for part in ("from 50.0% to 5.0%", "70.0%", "n-fgsm", "--eps", "--modifier gradalign"):
        assert part in alarm.message


ROBUST = [0.4, 0.5, 0.47, 0.46, 0.45]
TRAINING = [0.5, 0.6, 0.7, 0.8, 0.9]


def test_robust_overfitting() -> None:
    epochs = history(robust=ROBUST, train_accuracy=TRAINING)
    assert [kinds(epochs[:end]) for end in range(1, 6)] == [[], [], [], [], [guard.ROBUST]]
    (alarm,) = guard.alarms(epochs, robust=True, constant=0.1)
    for part in ("50.0%", "epoch 2", "are kept"):
        assert part in alarm.message


@pytest.mark.parametrize(
    ("robust", "training"),
    [
        # Training accuracy falls, too: that is no overfitting.
        (ROBUST, [0.5, 0.6, 0.5, 0.5, 0.5]),
        # Not clearly below the best.
        ([0.4, 0.5, 0.49, 0.485, 0.481], TRAINING),
        # Not three times in a row.
        ([0.4, 0.5, 0.4, 0.49, 0.4], TRAINING),
    ],
)
def test_what_only_looks_like_robust_overfitting(robust: list[float], training: list[float]) -> None:
    assert kinds(history(robust=robust, train_accuracy=training)) == []


def test_one_answer_for_all_images_is_not_what_robustness_fell_from() -> None:
    epochs = history(robust=[0.3, 0.1, 0.12, 0.14, 0.16], clean=[0.3, 0.7, 0.8, 0.9, 0.9], train_accuracy=TRAINING)
    assert kinds(epochs, constant=0.2) == [guard.ROBUST]
    assert kinds(epochs, constant=0.3) == []


def test_runs_that_do_not_aim_at_robustness_give_no_alarm_of_it() -> None:
    assert kinds(history(robust=[0.5, 0.05], single_step=[0.55, 0.7]), robust=False) == []
    assert kinds(history(robust=ROBUST, train_accuracy=TRAINING), robust=False) == []


@pytest.mark.parametrize("robust", [True, False])
@pytest.mark.parametrize(
    ("loss", "alarm"),
    [
        ([2.3, 2.3, 2.3], True),
        ([2.3, 2.29, 2.26], True),
        ([2.3, 2.9, 4.0], True),
        ([2.3, 2.2, 2.0], False),
        # It fell before it rose.
        ([2.3, 1.0, 2.3], False),
        # Too early to say, and too late for it to be news.
        ([2.3, 2.3], False),
        ([2.3, 2.3, 2.3, 2.3], False),
    ],
)
def test_a_loss_that_does_not_fall(loss: list[float], alarm: bool, robust: bool) -> None:
    assert (guard.NOT_FALLING in kinds(history(loss=loss), robust)) == alarm


def test_the_loss_is_compared_from_the_first_epoch_against_the_whole_radius_on() -> None:
    eps = [0.0, 0.0, 0.05, 0.1, 0.1, 0.1]
    rising = history(loss=[0.3, 0.2, 0.9, 1.5, 1.2, 1.0], eps=eps)
    assert all(kinds(rising[:end]) == [] for end in range(1, 7))
    standing = history(loss=[0.3, 0.2, 0.9, 1.5, 1.5, 1.5], eps=eps)
    assert [kinds(standing[:end]) for end in range(1, 7)] == [[]] * 5 + [[guard.NOT_FALLING]]


@pytest.mark.parametrize(("share", "alarm"), [(0.0, False), (0.25, False), (0.3, True), (1.0, True)])
def test_zero_gradients(share: float, alarm: bool) -> None:
    found = guard.alarms([epoch_record(1, zero_gradients=share)], robust=False, constant=0.1)
    assert [one.kind for one in found] == ([guard.NO_GRADIENT] if alarm else [])
    assert all(f"{share:.0%}" in one.message for one in found)


def test_only_what_a_step_back_can_mend_is_stepped_back_for() -> None:
    assert set(guard.CURABLE) == {guard.CATASTROPHIC, guard.DIVERGED, guard.UNFREEZING}


@pytest.mark.parametrize(
    ("clean", "robust", "aims_at_robustness", "alarm"),
    [
        ([0.85, 0.67], [0.0, 0.0], False, True),
        ([0.85, 0.82], [0.0, 0.0], False, False),
        # It has recovered.
        ([0.85, 0.67, 0.84], [0.0, 0.0, 0.0], False, False),
        # Robust training may pay with clean accuracy, but not for nothing.
        ([0.85, 0.67], [0.01, 0.3], True, False),
        ([0.85, 0.67], [0.01, 0.01], True, True),
    ],
)
def test_a_stage_that_throws_the_model_down(
    clean: list[float], robust: list[float], aims_at_robustness: bool, alarm: bool
) -> None:
    epochs = history(clean=clean, robust=robust, single_step=robust, stage=[1] + [2] * (len(clean) - 1))
    assert (guard.UNFREEZING in kinds(epochs, aims_at_robustness)) is alarm
    same_stage = history(clean=clean, robust=robust, single_step=robust, stage=[2] * len(clean))
    assert guard.UNFREEZING not in kinds(same_stage, aims_at_robustness)


def test_the_loss_of_the_head_alone_is_no_measure_of_the_loss_of_all_layers() -> None:
    assert guard.NOT_FALLING not in kinds(history(loss=[0.1, 0.25, 0.2, 0.15], stage=[1, 2, 2, 2]), robust=False)
    assert guard.NOT_FALLING in kinds(history(loss=[0.1, 0.25, 0.25, 0.26], stage=[1, 2, 2, 2]), robust=False)
