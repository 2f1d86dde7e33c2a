"""A run's learning curves as a picture."""

from collections.abc import Sequence
from typing import BinaryIO

from advcli.records import Epoch


def draw_curves(history: Sequence[Epoch], title: str, file: BinaryIO) -> None:
    """Draw loss and learning rate, and training, clean and robust accuracy, over the epochs."""
    from matplotlib.figure import Figure

    epochs = [record.epoch for record in history]
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    losses, accuracies = figure.subplots(1, 2)
    marker = "o" if len(epochs) <= 30 else None

    losses.plot(epochs, [record.loss for record in history], color="#0072b2", marker=marker, label="training loss")
    losses.set(xlabel="epoch", ylabel="training loss", ylim=(0, None))
    rates = losses.twinx()
    rates.plot(epochs, [record.learning_rate for record in history], color="#999999", linestyle=":")
    rates.set(ylabel="learning rate (dotted)", ylim=(0, None))

    accuracies.plot(
        epochs, [record.train_accuracy for record in history], color="#999999", linestyle="--", label="training"
    )
    accuracies.plot(
        epochs, [record.clean for record in history], color="#0072b2", marker=marker, label="validation, clean"
    )
    accuracies.plot(
        epochs, [record.robust for record in history], color="#d55e00", marker=marker, label="validation, PGD-10"
    )
    accuracies.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
    accuracies.legend(loc="lower right")
    for axes in (losses, accuracies):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(file, format="png", dpi=100)
