"""``--calibrate``: divide the logits of a run's model by the temperature that fits its validation images."""

import logging

from advcli.data.decoded import Images
from advcli.errors import AdvcliError
from advcli.model.load import load
from advcli.records import Temperature
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.temperature import (
    PROVED,
    divide_logits,
    fit_temperature,
    measure_calibration,
    predictions_on,
)

log = logging.getLogger(__name__)


def calibrate(run: Run, file: str, images: Images, *, unsafe: bool) -> Temperature | None:
    """Fit a temperature, and write the model with it as ``model.keras``.

    Args:
        run: the folder.
        file: the name of the file of the model before, without its suffix.
        images: the validation images, with the class numbers of the model.
        unsafe: whether code in a model may run.

    Returns:
        What was fitted and how well; None if the logits cannot be divided, of which it warns.
    """
    classifier = load(run.folder / f"{file}.keras", run.name, unsafe=unsafe)
    head = classifier.head
    logits, scores = predictions_on(classifier, images)
    before = measure_calibration(scores, images.labels, head)
    temperature = fit_temperature(logits, images.labels, head)
    if temperature != 1:
        try:
            scaled = divide_logits(classifier, temperature, images.at(slice(0, PROVED))[0])
        except AdvcliError as error:
            log.warning("%s: model.keras is not calibrated", error.message)
            return None
        run.save_model(scaled, "model")
    # Measured on what was written.
    _, scores = predictions_on(load(run.folder / "model.keras", run.name, unsafe=unsafe), images)
    after = measure_calibration(scores, images.labels, head)
    return Temperature(
        temperature=temperature,
        images=len(images),
        nll_before=before.nll,
        nll_after=after.nll,
        ece_before=before.ece,
        ece_after=after.ece,
    )
