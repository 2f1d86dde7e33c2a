"""Which images of a folder are measured: all, or only those held out from the training of a model."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from advcli.data.dataset import Dataset
from advcli.records.base import Json

log = logging.getLogger(__name__)


def measured_part(dataset: Dataset, data: str, models: Sequence[tuple[str, Mapping[str, Json]]]) -> Dataset:
    """Return the data set with the images to measure in ``test``.

    A folder without images for testing is measured whole, unless a model was trained on that very folder: then only
    the part is measured that training sets aside.

    Args:
        dataset: the data set.
        data: the value of ``--data``.
        models: name and recipe of each model.
    """
    if dataset.whole is None:
        return dataset
    total = len(dataset.whole)
    for name, recipe in models:
        if not _trained_on(recipe, dataset, data):
            continue
        log.warning(
            "'%s' was trained on '%s': the %d of its %d images that were held out from training are measured",
            name,
            dataset.name,
            len(dataset.test),
            total,
        )
        known = recipe.get("data_identity", "")
        if known and known != dataset.identity:
            log.warning("'%s' has changed since: some of these images may have been trained on", dataset.name)
        return replace(dataset, whole=None)
    if models:
        log.info("'%s' is measured whole: %d images", dataset.name, total)
    return dataset.measured_whole()


def _trained_on(recipe: Mapping[str, Json], dataset: Dataset, data: str) -> bool:
    """Return whether a model was trained on this folder: on the same files, or on what is at its path."""
    before = recipe.get("data", "")
    if not before:
        return False
    if dataset.identity and recipe.get("data_identity") == dataset.identity:
        return True
    before, now = _path(before), _path(data)
    if before.exists():
        return before.resolve() == now.resolve()
    # The runs of earlier versions say no more than the name of a folder that is elsewhere now.
    return "data_identity" not in recipe and before.name == now.name


def _path(data: str) -> Path:
    given = data.partition("path=")[2].partition(",")[0] if ":path=" in data or ",path=" in data else data
    return Path(given).expanduser()
