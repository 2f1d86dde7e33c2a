"""Training runs that take a second: a tiny network on 120 digits of 8 pixels."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from advcli.datasets import find
from advcli.records import Epoch, Trained
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.recipe import Recipe, TrainingData, prepare
from advcli.tasks.train.run import train_model
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.trainer import Trainer

RECIPE = Recipe(
    data="digits",
    backbone="small",
    objective="clean",
    attack="pgd:steps=7",
    eps=0.1,
    edge=32,
    weights="none",
    epochs=4,
    batch=32,
    learning_rate=0.05,
    momentum=0.9,
    validation=0.15,
    robust_images=32,
    seed=0,
)
TINY = replace(RECIPE, backbone="small:width=4", edge=8, limit=120, epochs=2)


@cache
def _data(limit: int | None, edge: int, weights: str) -> TrainingData:
    return prepare(replace(TINY, limit=limit, edge=edge, weights=weights), find("digits")())


def data_for(recipe: Recipe) -> TrainingData:
    """Decode the digits that a recipe trains on."""
    return _data(recipe.limit, recipe.edge, recipe.weights)


def trainer_for(recipe: Recipe) -> Trainer:
    """Build a trainer that has not begun."""
    return Trainer(recipe, data_for(recipe), find_devices("one"))


def run(recipe: Recipe, folder: Path, *, resume: bool = False) -> list[Epoch | Trained]:
    """Train, and return the records."""
    events = train_model(recipe, data_for(recipe), Run(folder), resume=resume)
    return [event for event in events if isinstance(event, (Epoch, Trained))]


def epoch_record(number: int, **changes: Any) -> Epoch:
    """Make the record of an epoch in which nothing went wrong."""
    sound = Epoch(
        model="run", data="digits", seed=0, epoch=number, of=20, stage=1, stages=1, loss=1 / number,
        train_accuracy=0.5, clean=0.8, robust=0.5, single_step=0.55, zero_gradients=0.0, ema_clean=None,
        ema_robust=None, learning_rate=0.1, eps=0.1, guard=(), rollbacks=0, seconds=1.0,
    )  # fmt: skip
    return replace(sound, **changes)
