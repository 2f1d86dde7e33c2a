"""What ``advcli train`` reports."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.records.base import Record


@dataclass(frozen=True, kw_only=True)
class Epoch(Record):
    """One pass over the training data.

    ``clean``, ``robust`` (under PGD-10) and ``single_step`` (under FGSM) are validation accuracies,
    ``zero_gradients`` the share of validation images without any gradient, ``ema_...`` the same of the
    averaged weights; ``eps`` is the radius at the epoch's end, in the first of several norms, ``guard`` the alarms of
    the epoch, ``rollbacks`` how often the run was rolled back before. ``class_weights`` and ``sampler`` say how classes
    are balanced.
    """

    type: ClassVar[str] = "epoch"

    epoch: int
    of: int
    stage: int
    stages: int
    loss: float
    train_accuracy: float
    clean: float
    robust: float
    single_step: float
    zero_gradients: float
    ema_clean: float | None
    ema_robust: float | None
    learning_rate: float
    eps: float
    guard: tuple[str, ...]
    rollbacks: int
    class_weights: str = "none"
    sampler: str = "shuffle"
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Planned(Record):
    """The estimated cost of a run, from a few timed steps; memory and disk are in bytes.

    ``expected`` is what the recipe reached where it was measured, test accuracies in per cent by column.
    """

    type: ClassVar[str] = "planned"

    parameters: int
    images: int
    steps_an_epoch: int
    epochs: int
    seconds_to_begin: float
    seconds_a_step: float
    seconds_a_validation: float
    seconds_an_epoch: float
    seconds: float
    memory: int
    disk: int
    cheaper: str | None
    cheaper_seconds_a_step: float | None
    recipe: str | None = None
    expected: dict[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Mixed(Record):
    """A weighted mean of the weights of some runs, with the validation accuracies of an epoch."""

    type: ClassVar[str] = "mixed"

    runs: tuple[str, ...]
    weights: tuple[float, ...]
    clean: float
    robust: float
    single_step: float
    zero_gradients: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """The temperature by which the logits of ``model.keras`` are divided, fitted on the validation images.

    ``nll`` is the mean negative log-likelihood, ``ece`` the expected calibration error on them (15 bins of equal mass).
    """

    temperature: float
    images: int
    nll_before: float
    nll_after: float
    ece_before: float
    ece_after: float


@dataclass(frozen=True, kw_only=True)
class Averaged(Record):
    """The mix that was saved: its folder, its weights, and by which of its validation accuracies it was chosen.

    ``norm`` and ``eps`` are the ball of ``robust``, ``threats`` all balls if there are several. ``calibration`` is
    recorded with --calibrate.
    """

    type: ClassVar[str] = "averaged"

    output: str
    runs: tuple[str, ...]
    weights: tuple[float, ...]
    select: str
    norm: str
    eps: float
    clean: float
    robust: float
    validation_images: int
    robust_images: int
    threats: tuple[tuple[str, float], ...] = ()
    calibration: Temperature | None = None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Trained(Record):
    """A finished run: its folder and its best epoch.

    ``norm`` and ``eps`` are the ball, ``threats`` all balls if there are several; ``robust`` then counts images that
    are correct in each. ``averaged``: the best weights are the averaged ones; ``measure``: the command line that
    measures on test images; ``calibration`` is recorded with --calibrate; ``seconds``: of this call, and of
    the epochs of earlier ones.
    """

    type: ClassVar[str] = "trained"

    output: str
    backbone: str
    objective: str
    norm: str
    eps: float
    best_epoch: int
    clean: float
    robust: float
    validation_images: int
    robust_images: int
    best_clean_epoch: int
    ema_epoch: int | None
    averaged: bool = False
    threats: tuple[tuple[str, float], ...] = ()
    recipe: str | None = None
    measure: str = ""
    start: str | None = None
    start_sha256: str | None = None
    calibration: Temperature | None = None
    seconds: float
