"""How far a run is, and which epoch was the best."""

from advcli.tasks.train.checkpoint import Checkpoint
from tiny_runs import epoch_record


def after(*accuracies: tuple[float, float]) -> Checkpoint:
    """Make a checkpoint after epochs of some clean and robust accuracies."""
    checkpoint = Checkpoint()
    for number, (clean, robust) in enumerate(accuracies, start=1):
        checkpoint = checkpoint.extended(epoch_record(number, clean=clean, robust=robust))
    return checkpoint


def test_the_best_epoch_is_the_robust_one_or_the_clean_one() -> None:
    checkpoint = after((0.5, 0.4), (0.9, 0.1), (0.6, 0.4), (0.6, 0.4))
    # Of equals the one that is also better in the other way, and of those the first.
    assert checkpoint.best("robust", "clean", constant=0.1) == 3
    assert checkpoint.best("clean", "robust", constant=0.1) == 2


def test_one_answer_for_all_images_is_the_best_only_of_its_kind() -> None:
    checkpoint = after((0.3, 0.3), (0.2, 0.2), (0.9, 0.1))
    # The network of the first epochs may return one class, which 30% of the images have.
    assert checkpoint.best("robust", "clean", constant=0.3) == 3
    assert checkpoint.best("robust", "clean", constant=0.25) == 1
    assert after((0.2, 0.2), (0.3, 0.3)).best("robust", "clean", constant=0.3) == 2


def test_before_the_first_epoch_none_is_the_best() -> None:
    assert Checkpoint().best("robust", "clean", constant=0.1) == 0


def test_what_was_not_measured_is_not_the_best() -> None:
    history = (epoch_record(1, ema_robust=None), epoch_record(2, ema_robust=0.1))
    assert Checkpoint(history).best("ema_robust", "ema_clean", constant=0.1) == 2


def test_steps_add_up_and_an_epoch_begins_anew() -> None:
    checkpoint = after((0.5, 0.4)).rolled_back().advanced(3.0, 2).advanced(1.5, 4)
    assert (checkpoint.epoch, checkpoint.step, checkpoint.loss, checkpoint.right) == (1, 2, 4.5, 6)
    following = checkpoint.extended(epoch_record(2, loss=0.25))
    assert (following.epoch, following.step, following.loss, following.right) == (2, 0, 0.0, 0)
    assert following.losses == [1.0, 0.25]
    assert following.rollbacks == 1
