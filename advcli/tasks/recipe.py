"""What a training run is to do, and the images it does it with."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from advcli.data import Dataset, Images, decode, split_off
from advcli.errors import UsageError
from advcli.threat import Norm, Threat


@dataclass(frozen=True)
class Recipe:
    """All that determines a run, and that ``run.json`` records."""

    data: str
    backbone: str
    objective: str
    attack: str
    norm: str
    eps: float
    edge: int
    weights: str
    epochs: int
    batch: int
    learning_rate: float
    momentum: float
    validation: float
    robust_images: int
    seed: int
    classes: tuple[str, ...] = ()
    limit: int | None = None
    first: int | None = None
    skip_bad: bool = False

    def __post_init__(self) -> None:
        _ = self.threat

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Recipe":
        """Read the recipe of an earlier run.

        Raises:
            UsageError: it was written by another version.
        """
        known = {field.name for field in fields(cls)}
        if not set(content) <= known:
            raise UsageError(f"the run has options unknown here: {', '.join(sorted(set(content) - known))}")
        return cls(**{**content, "classes": tuple(content.get("classes", ()))})

    @property
    def threat(self) -> Threat:
        """The ball that is trained and validated against."""
        return Threat(Norm(self.norm), self.eps)


@dataclass(frozen=True)
class TrainingData:
    """Decoded images to learn from, and others of the same split to choose the best epoch by."""

    dataset: Dataset
    train: Images
    validation: Images


def prepare(recipe: Recipe, dataset: Dataset) -> TrainingData:
    """Part the training split into images to learn from and images to validate on, and decode them."""
    if recipe.classes:
        dataset = dataset.restrict(recipe.classes)
    images = dataset.train.sample(recipe.limit, recipe.first, recipe.seed)
    rest, validation = split_off(images.labels, recipe.validation, seed=0)
    channels = 3 if recipe.weights != "none" else dataset.channels
    return TrainingData(
        dataset,
        decode(images.take(rest), recipe.edge, channels, recipe.skip_bad),
        decode(images.take(validation), recipe.edge, channels, recipe.skip_bad),
    )
