"""A run's learning curves as a picture."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, BinaryIO

from advcli.records import Epoch

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BLUE, _RED, _GREY, _GREEN = "#0072b2", "#d55e00", "#888888", "#009e73"


def draw_curves(history: Sequence[Epoch], title: str, file: BinaryIO) -> None:
    """Draw loss, accuracies and learning rate over the epochs, with the stages and the guard's alarms."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 5.5), layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    losses, accuracies = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[:, 1])
    rates = figure.add_subplot(grid[1, 0], sharex=losses)

    _line(losses, history, "loss", _BLUE, "training loss")
    losses.margins(y=0.08)
    losses.set_ylim(bottom=0)
    losses.set_ylabel("training loss")
    losses.tick_params(labelbottom=False)
    _line(rates, history, "learning_rate", _GREY, "learning rate")
    rates.set(xlabel="epoch", ylabel="learning rate", ylim=(0, None))
    _line(accuracies, history, "train_accuracy", _GREY, "training", linestyle="--")
    _line(accuracies, history, "clean", _BLUE, "validation, clean")
    _line(accuracies, history, "single_step", _RED, "validation, one step", linestyle=":")
    _line(accuracies, history, "robust", _RED, "validation, PGD-10")
    if history[-1].ema_robust is not None:
        _line(accuracies, history, "ema_clean", _GREEN, "averaged weights, clean", linestyle="--")
        _line(accuracies, history, "ema_robust", _GREEN, "averaged weights, PGD-10")
    accuracies.set(xlabel="epoch", ylabel="accuracy", ylim=(0, 1.02))
    for axes in (losses, accuracies, rates):
        axes.grid(alpha=0.3)
        axes.xaxis.get_major_locator().set_params(integer=True)  # pyright: ignore[reportCallIssue]  this locator takes it
        _mark_stages(axes, history, named=axes is losses)
    _mark_alarms(accuracies, history)
    accuracies.legend(loc="best", fontsize="small")
    figure.savefig(file, format="png", dpi=100)


def _line(axes: "Axes", history: Sequence[Epoch], column: str, color: str, label: str, linestyle: str = "-") -> None:
    marker = "o" if len(history) <= 30 else None
    values = [getattr(record, column) for record in history]
    axes.plot(
        [record.epoch for record in history],
        values,
        color=color,
        label=label,
        linestyle=linestyle,
        marker=marker,
        markersize=4,
    )


def _mark_stages(axes: "Axes", history: Sequence[Epoch], named: bool) -> None:
    """Draw a line where a stage of unfreezing begins."""
    for before, after in pairwise(history):
        if after.stage != before.stage:
            axes.axvline(before.epoch + 0.5, color=_GREY, linewidth=0.8, linestyle="--")
            if named:
                axes.annotate(
                    f"stage {after.stage}",
                    (before.epoch + 0.5, 0.97),
                    xycoords=axes.get_xaxis_transform(),
                    fontsize="x-small",
                    rotation=90,
                    va="top",
                )


def _mark_alarms(axes: "Axes", history: Sequence[Epoch]) -> None:
    alarmed = [record for record in history if record.guard]
    if alarmed:
        axes.plot(
            [record.epoch for record in alarmed],
            [record.robust for record in alarmed],
            "x",
            color="black",
            markersize=9,
            label="guard: " + ", ".join(dict.fromkeys(kind for record in alarmed for kind in record.guard)),
        )
