"""The history as TensorBoard reads it."""

from dataclasses import asdict
from pathlib import Path

from advcli.backend import tf
from advcli.records import Epoch

_SCALARS = (
    "loss",
    "train_accuracy",
    "clean",
    "robust",
    "single_step",
    "zero_gradients",
    "ema_clean",
    "ema_robust",
    "learning_rate",
    "eps",
    "stage",
    "seconds",
)


def write_events(folder: Path, record: Epoch) -> None:
    """Append one epoch to the event files of a folder; an epoch that was trained twice has both points."""
    with tf.summary.create_file_writer(str(folder)).as_default():
        values = asdict(record)
        for name in _SCALARS:
            if values[name] is not None:
                tf.summary.scalar(name, values[name], step=record.epoch)
        for kind in record.guard:
            tf.summary.text("guard", kind, step=record.epoch)
