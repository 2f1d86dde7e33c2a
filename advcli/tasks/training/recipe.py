"""What a training run is to do, and the images it does it with."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from advcli.data import Dataset, Images, decode, split_off
from advcli.errors import UsageError
from advcli.threat import Norm, Threat

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """All that determines a run, and that ``run.json`` records; the options of ``advcli train`` by their names."""

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
    augment: tuple[str, ...] = ()
    modifier: tuple[str, ...] = ()
    eps_warmup: float = 0.0
    adv_start_epoch: int = 1
    optimizer: str = "sgd"
    schedule: str = "cosine"
    warmup: float | None = None
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    ema: float = 0.0
    unfreeze: str = "all"
    stages: int = 4
    patience: int = 1
    guard: str = "warn"
    amp: bool = False
    deterministic: bool = False
    strategy: str = "one"
    twin: bool = False
    against: str | None = None

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
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in content.items()
        }
        return cls(**values)

    @property
    def threat(self) -> Threat:
        """The ball that is trained and validated against."""
        return Threat(Norm(self.norm), self.eps)

    @property
    def twin_recipe(self) -> "Recipe":
        """The same without any defence."""
        return replace(
            self, objective="clean", modifier=(), eps_warmup=0.0, adv_start_epoch=1, twin=False, against=None
        )


@dataclass(frozen=True)
class TrainingData:
    """Decoded images to learn from, and others of the same split to choose the best epoch by."""

    dataset: Dataset
    train: Images
    validation: Images


def prepare(recipe: Recipe, dataset: Dataset, memory: int | None = None) -> TrainingData:
    """Part the training split into images to learn from and images to validate on, and decode them.

    Args:
        recipe: which images, and at what size.
        dataset: where they are.
        memory: how many bytes of decoded images may be held in memory; the rest is kept on disk.

    Raises:
        UsageError: there are not two images.
    """
    if recipe.classes:
        dataset = dataset.restrict(recipe.classes)
    images = dataset.train.sample(recipe.limit, recipe.first, recipe.seed)
    if len(images) < 2:
        raise UsageError(
            f"{len(images)} of the {len(dataset.train)} training images: too few to train and to validate on",
            "give a higher --limit" if recipe.limit is not None else "give a higher --first" if recipe.first else "",
        )
    rest, validation = split_off(images.labels, recipe.validation, seed=0)
    unseen = len(dataset.labels) - len(set(images.labels[rest].tolist()))
    if unseen:
        log.warning("no image of %d of the %d classes is trained on", unseen, len(dataset.labels))
    channels = 3 if recipe.weights != "none" else dataset.channels
    return TrainingData(
        dataset,
        decode(images.take(rest), recipe.edge, channels, recipe.skip_bad, memory),
        decode(images.take(validation), recipe.edge, channels, recipe.skip_bad, memory),
    )
