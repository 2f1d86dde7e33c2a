"""``--recipe``: the values of options that the user left open."""

from collections.abc import Collection
from dataclasses import replace

from advcli import registry
from advcli.augmentations import read as read_augmentations
from advcli.recipes import OF_OBJECTIVE, TrainingRecipe
from advcli.search.threat_defaults import read_training_radii
from advcli.tasks.train.recipe import usual_optimizer
from advcli.tasks.train.request import Request
from advcli.threat.threat import Norm


def with_recipe(request: Request, given: Collection[str]) -> Request:
    """Fill in what the recipe sets and the user left open; a given objective also replaces what belongs to it.

    Args:
        request: the options.
        given: the names of those that the user gave.
    """
    name = request.recipe or _usual(request, given)
    if name is None:
        return request
    values = values_of(registry.build("recipes", name), request.epochs if "epochs" in given else None)
    skipped = {*given, *(OF_OBJECTIVE if "objective" in given else ())}
    if (request.optimizer or usual_optimizer(pretrained=request.pretrained)) != "scaled-adam":
        # The rates of recipes are relative to the weights.
        skipped.add("learning_rate")
    kept = {option: value for option, value in values.items() if option not in skipped}
    return replace(request, recipe=registry.canonical(name), **kept)


def values_of(recipe: TrainingRecipe, epochs: int | None = None) -> dict[str, object]:
    """Return the values of the options that a recipe sets, as a request has them; without epochs, its own length."""
    values = dict(recipe(epochs))
    if "augment" in values:
        values["augment"] = read_augmentations(str(values["augment"]), ())
    return values


def _usual(request: Request, given: Collection[str]) -> str | None:
    """Return the recipe for pretrained weights if the user chose no loss."""
    if not request.pretrained or "objective" in given:
        return None
    if list(read_training_radii(request.norm, request.eps)) != [Norm.LINF]:
        return None
    found = (name for name in registry.names("recipes") if registry.component("recipes", name).default)
    return next(found, None)
