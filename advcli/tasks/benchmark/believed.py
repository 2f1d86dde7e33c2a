"""What models believe of the images, batch by batch and under each perturbation."""

from collections.abc import Iterator

import numpy as np

from advcli.model.classifier import UNDEFINED, Classifier
from advcli.records import Calibration
from advcli.records.base import Fields
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan, Subject, Worst
from advcli.tasks.benchmark.predictions import UNKNOWN, Results
from advcli.tasks.benchmark.scores import correct_under
from advcli.tasks.calibration import Beliefs, auroc, beliefs_of, reliability, selective_accuracy
from advcli.tasks.calibration_interval import error_interval

_DIGITS = 6
_FINEST = 15


def believed(classifier: Classifier, scores: np.ndarray, labels: np.ndarray) -> Fields:
    """Return the fields of a batch that say what a model believes; none for one that returns classes alone.

    Args:
        classifier: the model.
        scores: (N, K) its own score of each class.
        labels: (N,) the true classes.
    """
    if classifier.access == "class":
        return {}
    found = beliefs_of(scores, labels, independent=classifier.head.independent)
    return {
        # The order of confidences near 1 matters.
        "confidence": _rounded(found.confidence, np.minimum(found.confidence, 1 - found.confidence)),
        "log_loss": _rounded(found.log_loss, found.log_loss),
        "squared_error": _rounded(found.squared_error, found.squared_error),
    }


def _rounded(values: np.ndarray, sizes: np.ndarray) -> tuple[float | None, ...]:
    """Round to six significant digits of each size; NaN becomes None."""
    rounded = []
    for value, size in zip(values.tolist(), sizes.tolist(), strict=True):
        if np.isnan(value):
            rounded.append(None)
            continue
        places = _DIGITS - 1 - int(np.floor(np.log10(size))) if size > 0 else _FINEST
        rounded.append(round(value, min(places, _FINEST)))
    return tuple(rounded)


def calibrations(plan: Plan, results: Results) -> Iterator[Calibration]:
    """Say how calibrated each model is under each perturbation whose images are all measured.

    Of several predictions for each image the first wrong one is kept: their confidences are not those of the model.
    """
    if plan.repeats > 1:
        return
    for subject in plan.subjects:
        for measured in (*plan.shared, *plan.of_kind(Kind.ATTACK), *plan.worsts):
            record = _calibration(plan, results, subject, measured)
            if record is not None:
                yield record


def _calibration(plan: Plan, results: Results, subject: Subject, measured: Perturbation | Worst) -> Calibration | None:
    beliefs, predicted = _under(results, subject.name, measured)
    known = ~np.isnan(beliefs.confidence)
    rows = plan.rows
    # An image for which the model returned NaN has no confidence; any other without one is not measured.
    if (~known & (predicted != UNDEFINED))[rows].any() or not known[rows].any():
        return None
    rows = rows[known[rows]]
    confidence = beliefs.confidence[rows]
    correct = correct_under(results, subject.name, measured)[rows]
    bins = reliability(confidence, correct)
    low, high = error_interval(bins)
    return Calibration(
        model=subject.name,
        data=plan.data,
        seed=plan.seed,
        **measured.place,
        images=len(rows),
        ece=bins.error,
        ece_low=low,
        ece_high=high,
        brier=float(beliefs.squared_error[rows].mean()),
        nll=float(beliefs.log_loss[rows].mean()),
        confidence_when_wrong=None if correct.all() else float(confidence[~correct].mean()),
        accuracy_at_90_coverage=selective_accuracy(confidence, correct),
        auroc=auroc(confidence, correct),
        bin_confidence=tuple(bins.confidence.tolist()),
        bin_accuracy=tuple(bins.accuracy.tolist()),
    )


def _under(results: Results, model: str, measured: Perturbation | Worst) -> tuple[Beliefs, np.ndarray]:
    """Return what a model believes of each image, and what it predicts: (N,) each."""
    if isinstance(measured, Worst):
        return _worst(results, model, measured)
    after, predicted = results.beliefs(model, measured), results.predicted(model, measured)
    if measured.kind is not Kind.ATTACK:
        return after, predicted
    # An image that is wrong when clean is not attacked: it is its own adversarial image.
    wrong, clean = ~results.correct(model, CLEAN), results.beliefs(model, CLEAN)
    beliefs = Beliefs(
        np.where(wrong, clean.confidence, after.confidence),
        np.where(wrong, clean.log_loss, after.log_loss),
        np.where(wrong, clean.squared_error, after.squared_error),
    )
    return beliefs, np.where(wrong, results.predicted(model, CLEAN), predicted)


def _worst(results: Results, model: str, worst: Worst) -> tuple[Beliefs, np.ndarray]:
    """Choose for each image the attack that fools the model, of several the one with the largest loss."""
    found = [_under(results, model, attack) for attack in worst.attacks]
    predicted = np.array([predicted for _, predicted in found])
    values = np.array([(each.confidence, each.log_loss, each.squared_error) for each, _ in found])
    fooled = np.array([~results.correct(model, CLEAN, attack) for attack in worst.attacks])
    chosen = np.lexsort((np.nan_to_num(values[:, 1], nan=-1.0), fooled), axis=0)[-1]
    images = np.arange(results.images)
    unmeasured = (predicted == UNKNOWN).any(axis=0)
    chosen_values = np.where(unmeasured[:, None], np.nan, values[chosen, :, images])
    return Beliefs(*chosen_values.T), np.where(unmeasured, UNKNOWN, predicted[chosen, images])
