"""Which class is which output of a model without class names: the order of class folders that it was trained in."""

import logging
from collections.abc import Sequence

import numpy as np

from advcli.errors import AdvcliError, UsageError
from advcli.records import Score
from advcli.tasks.benchmark.intervals import mcnemar
from advcli.tasks.benchmark.models import EvaluatedModel, Orders
from advcli.tasks.benchmark.plan import CLEAN, Subject
from advcli.tasks.benchmark.predictions import Results

log = logging.getLogger(__name__)

_SHOWN = 4
_SIGNIFICANCE = 0.001


def note_order(models: Sequence[EvaluatedModel]) -> None:
    """Tell in which order the class folders were taken, where that matters."""
    for model in models:
        if model.orders is None:
            continue
        taken, names = model.orders.taken, model.orders.names
        log.log(
            logging.INFO if model.orders.chosen else logging.WARNING,
            "'%s' has no class names: its outputs are taken for the class folders in %s order (%s), not in %s (%s)%s",
            model.name,
            taken,
            _first(names),
            taken.other,
            _first(taken.other.arrange(names)),
            "" if model.orders.chosen else "; see --class-order",
        )


def refuse_other_order(models: Sequence[EvaluatedModel], results: Results) -> None:
    """Stop if the clean images fit the other order of the class folders far better.

    It must be right at least twice as often, beyond chance, on the images of those classes that the two orders number
    differently. An order that was asked for is kept, with a warning.

    Args:
        models: the models, whose clean images are measured.
        results: what is known of them.

    Raises:
        AdvcliError: it does, for one of the models.
    """
    for model in models:
        if model.orders is None:
            continue
        predicted, labels = results.predicted(model.name, CLEAN)[model.rows], results.labels(model.name)[model.rows]
        correct, right_in_other = predicted == labels, predicted == model.orders.other[labels]
        if not _fits_far_better(correct, right_in_other, model.orders, labels):
            continue
        taken = model.orders.taken
        found = f"clean accuracy is {correct.mean():.1%}, and {right_in_other.mean():.1%} in {taken.other} order"
        if model.orders.chosen:
            log.warning("the classes of '%s' may not be the class folders in %s order: %s", model.name, taken, found)
            continue
        raise AdvcliError(
            f"the classes of '{model.name}' do not seem to be the class folders in {taken} order: {found}",
            f"give --class-order {taken.other}; to keep this order, give --class-order {taken}",
        )


def refuse_mixed(subjects: Sequence[Subject], baseline: Sequence[Score]) -> None:
    """Refuse a baseline whose classes were numbered in another order.

    Raises:
        UsageError: there is one.
    """
    for subject in subjects:
        for score in baseline:
            orders = (score.class_order, subject.class_order)
            if score.model == subject.name and None not in orders and orders[0] != orders[1]:
                raise UsageError(
                    f"the baseline took the class folders of '{subject.name}' in {orders[0]} order, not in {orders[1]}",
                    f"give --class-order {orders[0]}, or another --baseline",
                )


def _fits_far_better(correct: np.ndarray, right_in_other: np.ndarray, orders: Orders, labels: np.ndarray) -> bool:
    differs = orders.other[labels] != labels
    own, other = int(correct[differs].sum()), int(right_in_other[differs].sum())
    _, _, p_value = mcnemar(correct[differs], right_in_other[differs])
    return other >= 2 * own and p_value < _SIGNIFICANCE


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
