"""Alarms: failures of robust training that raise no error, detected from the history.

Catastrophic overfitting: Wong, Rice and Kolter 2020, https://arxiv.org/abs/2001.03994. Robust
overfitting: Rice, Wong and Kolter 2020, https://arxiv.org/abs/2002.11569
"""

from collections.abc import Sequence
from dataclasses import dataclass

from advcli.records import Epoch

CATASTROPHIC = "catastrophic overfitting"
ROBUST = "robust overfitting"
DIVERGED = "the loss is not a number"
NOT_FALLING = "the loss does not fall"
NO_GRADIENT = "zero gradients"
UNFREEZING = "unfreezing destroys the features"

# What a step back cannot mend is not stepped back for.
CURABLE = (CATASTROPHIC, DIVERGED, UNFREEZING)

# The largest number of rollbacks of a run.
MOST_ROLLBACKS = 3

_COLLAPSE = 0.2
# A larger gap between one step and ten means gradient masking, which may be there from the beginning, if one step
# leaves nearly all images correct. An undefended network has a gap, too, but one step fools it on many images.
_MASKED = 0.3
_NEARLY_ALL = 0.7
_BELOW_BEST = 0.02
_EPOCHS_BELOW = 3
_STILL = 0.98
_VANISHED = 0.25
_THROWN_DOWN = 0.05


@dataclass(frozen=True)
class Alarm:
    """One detected failure.

    Args:
        kind: its name.
        message: the evidence, and what to do.
    """

    kind: str
    message: str


def alarms(history: Sequence[Epoch], robust: bool, constant: float) -> list[Alarm]:
    """Check the last epoch against those before it.

    Args:
        history: the records of whole epochs, in order.
        robust: whether these epochs aimed at robustness.
        constant: the clean accuracy of the best network that returns one answer for all images.
    """
    found = [_zero_gradients(history), _not_falling(history), _thrown_down(history, robust)]
    if robust:
        found += [_catastrophic(history), _robust_overfitting(history, constant)]
    return [alarm for alarm in found if alarm is not None]


def _catastrophic(history: Sequence[Epoch]) -> Alarm | None:
    *before, last = history
    best = max((epoch.robust for epoch in before), default=0.0)
    collapsed = _gap(last) > _COLLAPSE and last.robust < best - _COLLAPSE
    # While the radius still grows, validation at the full radius is no evidence.
    steady = len(before) > 0 and before[-1].eps == last.eps and min(_gap(before[-1]), _gap(last)) > _MASKED
    masked = steady and last.single_step > _NEARLY_ALL * last.clean
    if not collapsed and not masked:
        return None
    fall = f"PGD-10 fell from {best:.1%} to" if collapsed else "PGD-10 leaves"
    return Alarm(
        CATASTROPHIC,
        f"{fall} {last.robust:.1%} while one step still leaves {last.single_step:.1%} correct: the network masks its "
        "gradient; try n-fgsm or pgd-at, a smaller --eps or --modifier gradalign",
    )


def _gap(epoch: Epoch) -> float:
    return epoch.single_step - epoch.robust


def _robust_overfitting(history: Sequence[Epoch], constant: float) -> Alarm | None:
    best = max(history, key=lambda epoch: (epoch.clean > constant, epoch.robust))
    after = [epoch for epoch in history if epoch.epoch > best.epoch]
    below = len(after) >= _EPOCHS_BELOW and all(
        epoch.robust < best.robust - _BELOW_BEST for epoch in after[-_EPOCHS_BELOW:]
    )
    if not below or history[-1].train_accuracy <= best.train_accuracy:
        return None
    return Alarm(
        ROBUST,
        f"PGD-10 has been below its {best.robust:.1%} of epoch {best.epoch} for {_EPOCHS_BELOW} epochs while training "
        f"accuracy rises: the weights of epoch {best.epoch} are kept",
    )


def _not_falling(history: Sequence[Epoch]) -> Alarm | None:
    # Clean epochs before, a radius that still grew, or the head alone say nothing of the loss of all that learns now.
    last = history[-1]
    losses = [epoch.loss for epoch in history if (epoch.eps, epoch.stage) == (last.eps, last.stage)]
    if len(losses) != _EPOCHS_BELOW or min(losses[1:]) < _STILL * losses[0]:
        return None
    return Alarm(
        NOT_FALLING,
        f"the loss is {losses[-1]:.3g} after {len(losses)} epochs and was {losses[0]:.3g} after the first: try another "
        "--learning-rate, --eps-warmup, or some clean epochs first (--adv-start-epoch)",
    )


def _thrown_down(history: Sequence[Epoch], robust: bool) -> Alarm | None:
    last = history[-1]
    before = [epoch for epoch in history if epoch.stage < last.stage]
    if not before:
        return None
    best = max(epoch.clean for epoch in before)
    # Robust training may pay for robustness with clean accuracy.
    gained = robust and last.robust > max(epoch.robust for epoch in before)
    if gained or last.clean >= best - _THROWN_DOWN:
        return None
    return Alarm(
        UNFREEZING,
        f"clean accuracy was {best:.1%} before stage {last.stage} and is {last.clean:.1%}: "
        "the learning rate is too high for the layers that are now trained",
    )


def _zero_gradients(history: Sequence[Epoch]) -> Alarm | None:
    share = history[-1].zero_gradients or 0.0
    if share <= _VANISHED:
        return None
    return Alarm(
        NO_GRADIENT,
        f"{share:.0%} of the validation images have a gradient of exactly zero: gradient attacks fail there, "
        "and the robust accuracy is not reliable",
    )
