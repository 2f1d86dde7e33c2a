"""The order of class folders that numbers the outputs of a model without class names."""

import logging
from collections.abc import Sequence

import numpy as np

from advcli.errors import AdvcliError, UsageError
from advcli.tasks.benchmark.class_matching import Orders
from advcli.tasks.benchmark.earlier_results import Baseline
from advcli.tasks.benchmark.intervals import mcnemar
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.perturbations import Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Subject
from advcli.tasks.benchmark.predictions import Results
from advcli.threat.spelling import spell_spec

log = logging.getLogger(__name__)

_SHOWN = 4
_SIGNIFICANCE = 0.001


def note_order(models: Sequence[EvaluatedModel]) -> None:
    """Report which classes the outputs of models without class names are taken for, and the order, where it matters."""
    for model in models:
        if model.orders is None:
            if model.numbered:
                what = "'%s' has no class names: its outputs are taken as the classes in their order (%s); see --labels"
                log.info(what, model.name, _first(model.numbered))
            continue
        taken, names = model.orders.taken, model.orders.names
        log.log(
            logging.INFO if model.orders.chosen else logging.WARNING,
            "'%s' has no class names: its outputs are assigned to the class folders in %s order (%s), not in %s (%s)%s",
            model.name,
            taken,
            _first(names),
            taken.other,
            _first(taken.other.arrange(names)),
            "" if model.orders.chosen else "; see --class-order",
        )


def refuse_other_order(models: Sequence[EvaluatedModel], results: Results, perturbation: Perturbation = CLEAN) -> None:
    """Refuse an order of the class folders if the other order gives a far higher clean accuracy.

    The other order must be correct at least twice as often, beyond chance, on the images of those classes whose
    indices differ. For an order that the user chose there is only a warning.

    Args:
        models: the models, whose clean images are measured.
        results: their predictions.
        perturbation: the one that shows it.

    Raises:
        AdvcliError: the other order fits better for one of the models.
    """
    for model in models:
        if model.orders is None:
            continue
        labels = results.labels(model.name)[model.rows]
        predicted = results.predicted(model.name, perturbation)[model.rows]
        correct, right_in_other = predicted == labels, predicted == model.orders.other[labels]
        if not _fits_far_better(correct, right_in_other, model.orders, labels):
            continue
        taken = model.orders.taken
        in_other = f"{right_in_other.mean():.1%} in {taken.other} order"
        found = f"{spell_spec(perturbation.spec)} accuracy is {correct.mean():.1%}, and {in_other}"
        if model.orders.chosen:
            log.warning("the classes of '%s' may not be the class folders in %s order: %s", model.name, taken, found)
            continue
        raise AdvcliError(
            f"the classes of '{model.name}' do not seem to be the class folders in {taken} order: {found}",
            f"give --class-order {taken.other}; to keep this order, give --class-order {taken}",
        )


def refuse_mixed(subjects: Sequence[Subject], baseline: Baseline | None) -> None:
    """Refuse a baseline whose classes were numbered in another order.

    Raises:
        UsageError: the order differs.
    """
    for subject in subjects:
        for score in baseline.scores if baseline is not None else ():
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
