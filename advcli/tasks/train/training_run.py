"""One training run: epochs of an objective, validated clean and under attack, guarded, resumable."""

import contextlib
import logging
import math
import shlex
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, replace
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from advcli import registry
from advcli.backend import keras, tf
from advcli.errors import AdvcliError, UsageError
from advcli.model.classifier import NotNumbers
from advcli.records import Epoch, Progress, Score, Trained
from advcli.tasks.train import overfitting_guard as guard
from advcli.tasks.train import tensorboard as events
from advcli.tasks.train.calibrate import calibrate
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.distribution import Devices
from advcli.tasks.train.recipe import Recipe, TrainingData
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.start import MEASURED
from advcli.tasks.train.temperature import refuse_uncalibratable
from advcli.tasks.train.trainer import Diverged, Trainer
from advcli.threat.spelling import typed_radius
from advcli.threat.threat import Norm

log = logging.getLogger(__name__)

# The longest time between two checkpoints, in seconds.
_LONGEST = 600
# A p-value: how probable so many correct images may be for a network that has learnt nothing.
_CHANCE = 0.01

Events = Iterator[Epoch | Trained | Score | Progress]


class _Chosen(NamedTuple):
    """The weights of ``model.keras``: their file, their epoch and their validation accuracies."""

    file: str
    epoch: int
    clean: float
    robust: float


class TrainingRun:
    """One training run."""

    def __init__(self, recipe: Recipe, data: TrainingData, run: Run, devices: Devices, tensorboard: bool) -> None:
        self.start = time.perf_counter()
        # The time of the epochs of earlier calls.
        self.before = 0.0
        self.recipe = recipe
        self.data = data
        self.run = run
        # All workers read the folder, only the chief writes in it.
        self.writes = devices.workers.writes
        self.devices = devices
        self.board = run.folder / "tensorboard" if tensorboard else None
        self.common = {"model": run.name, "data": data.dataset.name, "seed": recipe.seed}
        # The accuracy of the best network that returns one answer for all images.
        self.constant = float(np.bincount(data.validation.labels).max()) / len(data.validation)
        if recipe.deterministic:
            tf.config.experimental.enable_op_determinism()
        keras.utils.set_random_seed(recipe.seed)
        self.trainer = Trainer(recipe, data, devices)
        self._check_lengths()
        if recipe.calibrate:
            refuse_uncalibratable(self.trainer.classifier, data.validation)

    def _check_lengths(self) -> None:
        """Refuse a radius that is too large for the images, and warn of steps that are too long for it."""
        specs = {self.recipe.objective: "objectives"} | dict.fromkeys(self.recipe.modifier, "modifiers")
        losses = {spec: registry.build(family, spec) for spec, family in specs.items()}
        if any("attack" in loss.uses for loss in losses.values()):
            losses[self.recipe.attack] = registry.build("attacks", self.recipe.attack)
        elif not any("eps" in loss.uses for loss in losses.values()):
            return
        classifier = self.trainer.classifier
        for ball in self.recipe.balls:
            ball.refuse_impossible((*classifier.image_size, classifier.channels))
            for spec, loss in losses.items():
                ball.warn_of_long_step(loss, spec)

    def events(self, resume: bool) -> Events:
        """Run to the end."""
        with self.run.locked() if self.writes else contextlib.nullcontext():
            yield from self._run(resume)

    def _run(self, resume: bool) -> Events:
        checkpoint = self._begin(resume)
        while checkpoint.epoch < self.recipe.epochs:
            try:
                record, ahead = yield from self._epoch(checkpoint)
            except (Diverged, NotNumbers) as error:
                checkpoint = self._after_divergence(checkpoint, error)
                continue
            if self._must_go_back(record, checkpoint):
                yield record
                checkpoint = self._roll_back("; ".join(record.guard))
                continue
            checkpoint = ahead
            self._keep(checkpoint)
            yield record
            if record.guard and self.recipe.guard == "stop":
                log.warning("stopped by the guard after epoch %d", checkpoint.epoch)
                break
        self._save("last")
        calibration = None
        if self.recipe.calibrate and self.writes and checkpoint.history:
            yield Progress("calibrating", 0, 0)
            chosen, unsafe = self._chosen(checkpoint), self.recipe.unsafe_load
            calibration = calibrate(self.run, chosen.file, self.data.validation, unsafe=unsafe)
            if calibration is not None:
                self.run.description.write(self.recipe.to_json(), self.trainer.resolved(), calibration)
        if checkpoint.history:
            chosen = self._chosen(checkpoint)
            self._warn_of_chance(chosen)
            self._warn_of_worse(chosen)
        yield replace(self._trained(checkpoint), calibration=calibration)

    def _warn_of_chance(self, chosen: _Chosen) -> None:
        """Warn of a result that is no better than the same answer for every image."""
        labels = self.data.validation.labels
        test = binomtest(round(chosen.clean * len(labels)), len(labels), self.constant, alternative="greater")
        if test.pvalue > _CHANCE:
            log.warning(
                "the best epoch, %d, classifies %.1f%% of the validation images correctly; the same answer for all of "
                "them is right for %.1f%%: train longer, or with another --learning-rate or a smaller --eps",
                chosen.epoch,
                100 * chosen.clean,
                100 * self.constant,
            )

    def _warn_of_worse(self, chosen: _Chosen) -> None:
        """Warn if clean training made a model worse than it was."""
        before = self.data.before
        if before is None or self.trainer.objective.robust:
            return
        error = math.sqrt(before * (1 - before) / min(MEASURED, len(self.data.validation)))
        if chosen.clean < before - 2 * error:
            log.warning(
                "the best epoch, %d, classifies %.1f%% of the validation images correctly; before training it were "
                "%.1f%%: train with a smaller --learning-rate",
                chosen.epoch,
                100 * chosen.clean,
                100 * before,
            )

    def _begin(self, resume: bool) -> Checkpoint:
        resolved = self.trainer.resolved()
        checkpoint = Checkpoint()
        if resume:
            self.run.description.refuse_other_data(resolved)
            checkpoint = self.run.checkpoints.restore(self.trainer.variables)
            self._refuse_done(checkpoint)
            self.before = sum(record.seconds for record in checkpoint.history)
        plan = {"recipe": self.recipe.to_json(), "resolved": resolved, "checkpoint": asdict(checkpoint)}
        self.devices.refuse_difference(plan | {"resume": resume})
        if self.writes:
            if resume:
                self.run.remove_unfinished()
                if self.recipe.calibrate and checkpoint.history:
                    # Until the end it is the model as it was trained.
                    self.run.choose_model(self._chosen(checkpoint).file)
            else:
                self.run.clear()
            self.run.description.write(self.recipe.to_json(), resolved)
            if not resume:
                self.run.checkpoints.save(checkpoint, self.trainer.variables)
        return checkpoint

    def _refuse_done(self, checkpoint: Checkpoint) -> None:
        if checkpoint.epoch > self.recipe.epochs:
            raise UsageError(
                f"'{self.run.folder}' has {checkpoint.epoch} epochs already", "give more than that with --epochs"
            )
        if checkpoint.epoch == self.recipe.epochs:
            log.info("all %d epochs are done; a larger --epochs continues the run", checkpoint.epoch)

    def _epoch(self, checkpoint: Checkpoint) -> Generator[Progress, None, tuple[Epoch, Checkpoint]]:
        """Train and validate one epoch; return its record and the checkpoint after it."""
        began = saved = time.perf_counter()
        trainer, number = self.trainer, checkpoint.epoch + 1
        yield trainer.progress("training", checkpoint)
        for position in trainer.epoch(checkpoint):
            checkpoint = position
            if self.writes and time.perf_counter() - saved > _LONGEST:
                self.run.checkpoints.save(checkpoint, trainer.variables)
                saved = time.perf_counter()
            yield trainer.progress("training", checkpoint)
        yield trainer.progress("validating", checkpoint)
        found, averaged = trainer.validate(), None
        if trainer.averages is not None:
            with trainer.averages.in_place():
                averaged = trainer.validate()
        images = trainer.batches.steps * trainer.batches.size
        record = Epoch(
            epoch=number,
            of=self.recipe.epochs,
            stage=trainer.stage(checkpoint) + 1,
            stages=len(trainer.stages),
            loss=checkpoint.loss / images,
            train_accuracy=checkpoint.right / images,
            clean=found.clean,
            robust=found.robust,
            single_step=found.single_step,
            zero_gradients=found.zero_gradients,
            ema_clean=averaged.clean if averaged else None,
            ema_robust=averaged.robust if averaged else None,
            learning_rate=trainer.learning_rate(replace(checkpoint, step=checkpoint.step - 1)),
            eps=trainer.eps(number * trainer.batches.steps - 1),
            class_weights=self.recipe.class_weights,
            sampler=self.recipe.sampler,
            guard=(),
            rollbacks=checkpoint.rollbacks,
            seconds=time.perf_counter() - began,
            **self.common,
        )
        alarms = guard.alarms((*checkpoint.history, record), trainer.aims_at_robustness(number), self.constant)
        for alarm in alarms:
            log.warning("epoch %d: %s: %s", number, alarm.kind, alarm.message)
        record = replace(record, guard=tuple(alarm.kind for alarm in alarms))
        return record, checkpoint.extended(record)

    def _keep(self, checkpoint: Checkpoint) -> None:
        """Write the files of an epoch, the checkpoint last, so that a run killed before repeats the epoch."""
        trainer, run = self.trainer, self.run
        for name, columns in (("best-robust", ("robust", "clean")), ("best-clean", ("clean", "robust"))):
            if self._best(checkpoint, *columns) == checkpoint.epoch:
                self._save(name)
        if trainer.averages is not None and self._best_average(checkpoint) == checkpoint.epoch:
            with trainer.averages.in_place():
                self._save("ema")
        if self.writes:
            chosen = self._chosen(checkpoint)
            if chosen.epoch == checkpoint.epoch:
                run.choose_model(chosen.file)
            run.write_history(checkpoint.history)
            if self.board is not None:
                events.write_events(self.board, checkpoint.history[-1])
            run.checkpoints.save(checkpoint, trainer.variables)

    def _save(self, name: str) -> None:
        """Save the current weights as one of the run's models; which layers are frozen now is no part of it."""
        with self.trainer.stages.as_given():
            if self.writes:
                self.run.save_model(self.trainer.classifier, name)

    def _chosen(self, checkpoint: Checkpoint) -> _Chosen:
        """Return the best of the epochs and of their averaged weights, by what the objective aims at."""
        columns = ("robust", "clean") if self.trainer.objective.robust else ("clean", "robust")
        best = checkpoint.history[self._best(checkpoint, *columns) - 1]
        weights = _Chosen(f"best-{columns[0]}", best.epoch, best.clean, best.robust)
        if self.trainer.averages is None:
            return weights
        best = checkpoint.history[self._best_average(checkpoint) - 1]
        averages = _Chosen("ema", best.epoch, best.ema_clean or 0.0, best.ema_robust or 0.0)
        return max(weights, averages, key=lambda chosen: tuple(getattr(chosen, column) for column in columns))

    def _best_average(self, checkpoint: Checkpoint) -> int:
        columns = ("ema_robust", "ema_clean") if self.trainer.objective.robust else ("ema_clean", "ema_robust")
        return self._best(checkpoint, *columns)

    def _best(self, checkpoint: Checkpoint, *columns: str) -> int:
        return checkpoint.best(*columns, constant=self.constant)

    def _must_go_back(self, record: Epoch, checkpoint: Checkpoint) -> bool:
        curable = any(kind in guard.CURABLE for kind in record.guard)
        return self.recipe.guard == "rollback" and curable and checkpoint.rollbacks < guard.MOST_ROLLBACKS

    def _roll_back(self, reason: str) -> Checkpoint:
        """Restore the last checkpoint, and continue with half the rate and in another order."""
        checkpoint = self.run.checkpoints.restore(self.trainer.variables, whole=True).rolled_back()
        # No worker may find what the chief writes next.
        self.devices.meet()
        if self.writes:
            self.run.checkpoints.save(checkpoint, self.trainer.variables)
        log.warning(
            "%s: back to %s, continuing with half the learning rate (rollback %d of %d)",
            reason,
            f"the end of epoch {checkpoint.epoch}" if checkpoint.epoch else "the beginning",
            checkpoint.rollbacks,
            guard.MOST_ROLLBACKS,
        )
        return checkpoint

    def _after_divergence(self, checkpoint: Checkpoint, error: Diverged | NotNumbers) -> Checkpoint:
        if self.recipe.guard == "rollback" and checkpoint.rollbacks < guard.MOST_ROLLBACKS:
            return self._roll_back(error.message)
        kept = f"; the weights of epoch {checkpoint.epoch} are kept" if checkpoint.epoch else ""
        raise AdvcliError(
            error.message + kept,
            f"train it again (--overwrite) with a lower --learning-rate than {self.recipe.learning_rate:g}, "
            "--clip-norm 1, or --guard rollback",
        ) from error

    def _measuring_command(self) -> str:
        """Return the command line that measures the run on the test images."""
        words = ["advcli", "benchmark", str(self.run.folder), "--data", self.recipe.data]
        if self.recipe.classes:
            words += ["--classes", ",".join(self.recipe.classes)]
        balls = self.recipe.balls
        for ball in balls if balls[0].norm is not Norm.LINF or len(balls) > 1 else ():
            words += ["--norm", str(ball.norm)]
        for ball in balls:
            eps = typed_radius(ball.eps)
            words += ["--eps", f"{ball.norm}={eps}" if len(balls) > 1 else eps]
        return shlex.join([*words, "--corruptions", "all"])

    def _trained(self, checkpoint: Checkpoint) -> Trained:
        best = self._chosen(checkpoint)
        return Trained(
            output=str(self.run.folder),
            backbone=self.recipe.backbone or self.trainer.classifier.name,
            objective="+".join((self.recipe.objective, *self.recipe.modifier)),
            norm=self.recipe.norm,
            eps=self.recipe.eps,
            threats=self.recipe.threats,
            best_epoch=best.epoch,
            clean=best.clean,
            robust=best.robust,
            validation_images=len(self.data.validation),
            robust_images=min(self.recipe.robust_images, len(self.data.validation)),
            best_clean_epoch=self._best(checkpoint, "clean", "robust"),
            start=self.recipe.model,
            start_sha256=self.recipe.model_sha256 or None,
            averaged=best.file == "ema",
            ema_epoch=self._best_average(checkpoint) if self.trainer.averages is not None else None,
            recipe=self.recipe.recipe,
            measure=self._measuring_command(),
            seconds=self.before + time.perf_counter() - self.start,
            **self.common,
        )
