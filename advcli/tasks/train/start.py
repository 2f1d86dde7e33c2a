"""The model that a run starts from, in place of a backbone: a user's own, or that of an earlier run."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from advcli.backend import KerasLayer, keras
from advcli.data.class_order import has_names
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.model.new_head import with_new_head
from advcli.records.base import Json
from advcli.tasks.train.distribution import Devices
from advcli.tasks.train.recipe import Recipe
from advcli.tasks.train.start_choice import choose_start

log = logging.getLogger(__name__)

MEASURED = 256
# A model that is no further from chance than this part of the way to all correct has probably other classes.
_CLEARLY = 0.2


@dataclass(frozen=True)
class Start:
    """A loaded model, ready to be trained on a data set.

    Args:
        classifier: the model, with the labels of its outputs.
        numbers: (classes of the data,) the index of each in the model.
        new_head: whether the model got a new head for the classes of the data.
    """

    classifier: Classifier
    numbers: np.ndarray
    new_head: bool

    def complete(self, recipe: Recipe, unfreeze_chosen: bool, guard_chosen: bool) -> Recipe:
        """Fill in what depends on the model: the image size, and for a new head that it learns first."""
        plateau = self.new_head and recipe.epochs > 1 and not unfreeze_chosen
        return replace(
            recipe,
            edge=self.classifier.image_size[0],
            unfreeze="plateau" if plateau else recipe.unfreeze,
            guard="rollback" if plateau and not guard_chosen else recipe.guard,
            new_head=recipe.new_head if self.new_head else "steps",
        )

    def numbered(self, images: Images) -> Images:
        """Number the classes of images as the model does."""
        return replace(images, labels=self.numbers[images.labels].astype(np.int32))

    @cached_property
    def _initial(self) -> tuple[list[np.ndarray], list[tuple[KerasLayer, bool]]]:
        model = self.classifier.model
        values = [np.array(variable) for variable in model.variables]
        return values, [(layer, layer.trainable) for layer in model._flatten_layers()]

    def restore(self) -> None:
        """Give the model its initial weights, and its layers their ``trainable``; the first call takes them."""
        values, learning = self._initial
        for layer, learns in learning:
            layer.trainable = learns
        for variable, value in zip(self.classifier.model.variables, values, strict=True):
            variable.assign(value)

    def measure(self, images: Images) -> float | None:
        """Report the accuracy before training on some images, and return it; None if the model has a new head.

        Near chance it warns, for then classes or input range may be others.
        """
        if self.new_head:
            return None
        # Images of a folder come class by class.
        pixels, labels = images.at(np.linspace(0, len(images) - 1, min(len(images), MEASURED)).astype(int))
        accuracy = float((self.classifier.classes(pixels) == labels).mean())
        chance = 1 / len(self.classifier.labels)
        level = logging.WARNING if accuracy < chance + _CLEARLY * (1 - chance) else logging.INFO
        doubt = "; check its classes and its input range (see --labels, --input-range)"
        log.log(
            level,
            "'%s' classifies %.1f%% of %d validation images correctly before training%s",
            self.classifier.name,
            100 * accuracy,
            len(labels),
            doubt if level == logging.WARNING else "",
        )
        return accuracy


def load_start(recipe: Recipe, dataset: Dataset, devices: Devices) -> Start:
    """Load the model of a recipe, and give it a new head if it lacks a class of the data.

    Raises:
        UsageError: the recipe has another image size.
        AdvcliError: the model cannot be read, or cannot get a new head.
    """
    choice = choose_start(recipe)
    if choice is None:
        raise ValueError("the recipe starts from a backbone")
    keras.utils.set_random_seed(recipe.seed)
    with devices.strategy.scope():
        classifier = choice.load(dataset.train.uniform_size)
        height, width = classifier.image_size
        if recipe.edge not in (0, height) or (recipe.edge and width != height and not recipe.model_sha256):
            message = f"'{recipe.model}' takes images of {height} x {width} pixels, not {recipe.edge}"
            raise UsageError(message, "leave --image-size out")
        numbers = _numbers(classifier, dataset)
        if numbers is None:
            log.warning(
                "'%s' gets a new head for the %d classes of '%s', in place of its own for %d",
                classifier.name,
                len(dataset.labels),
                dataset.name,
                len(classifier.labels),
            )
            classifier = with_new_head(classifier, dataset.labels)
            return Start(classifier, np.arange(len(dataset.labels)), new_head=True)
    if not has_names(classifier.labels):
        classifier = replace(classifier, labels=dataset.labels)
    elif len(dataset.labels) < len(classifier.labels):
        shown = (classifier.name, len(classifier.labels), len(dataset.labels))
        log.info("'%s' keeps its head for %d classes; %d of them are trained on", *shown)
    if classifier.head.activation in ("sigmoid", "hard_sigmoid", "tanh") and not classifier.head.single:
        log.warning(
            "'%s' has an independent score for each class: training compares the classes with each other, "
            "so that the scores keep their order, not their size",
            classifier.name,
        )
    return Start(classifier, numbers, new_head=False)


def _numbers(classifier: Classifier, dataset: Dataset) -> np.ndarray | None:
    """Find the index of each class of the data in a model; None if the classes differ."""
    if not has_names(classifier.labels):
        return np.arange(len(dataset.labels)) if len(dataset.labels) == len(classifier.labels) else None
    found = [classifier.class_named(label) for label in dataset.labels]
    if None in found or len(set(found)) < len(found):
        return None
    return np.array(found)


def described(start: Start, recipe: Recipe) -> Mapping[str, Json]:
    """Return what ``run.json`` says of the model that a run starts from."""
    return {
        "path": recipe.model,
        "sha256": recipe.model_sha256,
        "input_range": list(start.classifier.input_range),
        "head": start.classifier.head.name,
        "new_head": start.new_head,
    }
