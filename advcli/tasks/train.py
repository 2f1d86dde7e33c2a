"""Train a classifier: epochs of an objective, validated clean and under attack, resumable."""

import time
from collections.abc import Iterator
from dataclasses import asdict

from advcli.backend import keras
from advcli.records import Epoch, Progress, Trained
from advcli.tasks.recipe import Recipe, TrainingData
from advcli.tasks.run import Checkpoint, Run
from advcli.tasks.trainer import Trainer


def train(
    recipe: Recipe, data: TrainingData, run: Run, *, resume: bool = False
) -> Iterator[Epoch | Trained | Progress]:
    """Train, and after each epoch write history, curves, checkpoint and the best model into the run folder.

    Args:
        recipe: what to do.
        data: the images.
        run: the folder.
        resume: go on from the folder's checkpoint.
    """
    start = time.perf_counter()
    keras.utils.set_random_seed(recipe.seed)
    trainer = Trainer(recipe, data)
    resolved = trainer.resolved()
    if resume:
        run.refuse_other_data(resolved)
        checkpoint = run.restore(trainer.variables)
    else:
        checkpoint = Checkpoint()
        run.clear()
    run.write_description(asdict(recipe), resolved)
    common = {"model": run.name, "data": data.dataset.name, "seed": recipe.seed}
    for epoch in range(checkpoint.epoch + 1, recipe.epochs + 1):
        began = time.perf_counter()
        yield from trainer.steps(epoch)
        loss, train_accuracy = trainer.results()
        yield trainer.progress("validating", epoch, trainer.steps_an_epoch)
        clean, robust = trainer.validate()
        record = Epoch(
            epoch=epoch,
            of=recipe.epochs,
            loss=loss,
            train_accuracy=train_accuracy,
            clean=clean,
            robust=robust,
            learning_rate=trainer.learning_rate(epoch * trainer.steps_an_epoch - 1),
            seconds=time.perf_counter() - began,
            **common,  # type: ignore[arg-type]
        )
        checkpoint = checkpoint.extended(record, robust=trainer.objective.robust)
        if checkpoint.best == epoch:
            run.save_model(trainer.classifier)
        run.write_history(checkpoint.history)
        run.save(checkpoint, trainer.variables)
        yield record
    best = checkpoint.history[checkpoint.best - 1]
    yield Trained(
        output=str(run.folder),
        backbone=recipe.backbone,
        objective=recipe.objective,
        norm=recipe.norm,
        eps=recipe.eps,
        best_epoch=checkpoint.best,
        clean=best.clean,
        robust=best.robust,
        validation_images=len(data.validation),
        seconds=time.perf_counter() - start,
        **common,  # type: ignore[arg-type]
    )
