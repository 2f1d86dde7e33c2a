"""The network of a training run and all that changes with it."""

import logging
import math
from collections.abc import Hashable, Iterator
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from advcli import registry
from advcli.attacks import Attack
from advcli.backbones import Backbone
from advcli.backend import KerasLayer, Tensor, TracedFunction, Variable, tf
from advcli.errors import AdvcliError, UsageError
from advcli.model.classifier import Classifier
from advcli.objectives import Objective, Replaying, standard_objective
from advcli.records import Progress
from advcli.records.base import Fields, Json
from advcli.tasks.train.batches import Batches, balanced_weights
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.distribution import Devices
from advcli.tasks.train.fitted_head import FittedHead, fit_head, linear_head
from advcli.tasks.train.fused_batchnorm import fused_normalization
from advcli.tasks.train.mixed_precision import LossScale, half, refuse_without_gpu
from advcli.tasks.train.norm_schedule import choose_norm
from advcli.tasks.train.optimizer import LearningRate, make_optimizer
from advcli.tasks.train.proof import pass_agrees
from advcli.tasks.train.recipe import Recipe, TrainingData
from advcli.tasks.train.scaled_adam import filter_axes
from advcli.tasks.train.start import described
from advcli.tasks.train.training_step import Update
from advcli.tasks.train.unfreezing import Stages, stage_after
from advcli.tasks.train.validation import Validation, Validator
from advcli.tasks.train.weight_averaging import Averages
from advcli.tracing import as_written

log = logging.getLogger(__name__)

_PROVED = 4
_ROUNDING = 1e-3
_HALF_PRECISION = 5e-2


class Diverged(AdvcliError):
    """The loss is not a number any more."""


class Trainer:
    """The network, its optimizer, its averages, and the traced steps of one run.

    Args:
        recipe: the recipe.
        data: the images.
        devices: the devices of the run.

    Raises:
        UsageError: the objective cannot train on these devices.
    """

    def __init__(self, recipe: Recipe, data: TrainingData, devices: Devices) -> None:
        self.recipe = recipe
        self.data = data
        self.devices = devices
        self.strategy = devices.strategy
        self.objective: Objective = registry.build("objectives", recipe.objective)
        self.modifiers = [registry.build("modifiers", spec) for spec in recipe.modifier]
        self.attack: Attack = registry.build("attacks", recipe.attack)
        self._refuse_replays()
        part = devices.part(min(recipe.batch, len(data.train)))
        if recipe.amp:
            refuse_without_gpu()
        with self.strategy.scope():
            self.classifier = self._begun()
            self.model = self.classifier.model
            self.stages = self._make_stages()
            self.weights = self.stages.weights
            self.optimizer = make_optimizer(recipe, self.weights, filter_axes(self.model))
            self.averages = Averages(self.weights, recipe.ema) if recipe.ema else None
            self.scale = LossScale() if recipe.amp else None
        attacked = recipe.robust_images
        network = self.classifier.training_copy
        self.validator = Validator(network, data.validation, attacked, recipe.balls, recipe.seed, devices)
        balanced = recipe.sampler == "balanced"
        self.batches = Batches(data.train, recipe.batch, recipe.augment, recipe.seed, part, balanced=balanced)
        self.rate = LearningRate.of(recipe, self.batches.steps)
        self.linear_head = self._linear_head()
        self.fused = self._proven_passes()
        self._kept = self._nothing_kept()
        self._traced: dict[Hashable, TracedFunction] = {}

    def resolved(self) -> dict[str, Json]:
        """Return the resolved options of the recipe, and the description of the data."""
        train, validation = self.data.train, self.data.validation
        components = {
            "objective": self.objective,
            "attack": self.attack,
            "schedule": self.rate.schedule,
            "augment": [registry.build("augmentations", spec) for spec in self.recipe.augment],
            "modifier": self.modifiers,
        }
        return {
            **self._network(),
            **{name: _options(component) for name, component in components.items()},
            "parameters": self.model.count_params(),
            "channels": self.classifier.channels,
            "strategy": {
                "name": self.devices.name,
                "devices": self.devices.count,
                "workers": self.devices.workers.count,
            },
            "steps_an_epoch": self.batches.steps,
            "warm_up_steps": self.rate.warm_up,
            "stages": len(self.stages),
            "labels": list(self.classifier.labels),
            "train": {"images": len(train), "fingerprint": train.fingerprint()},
            "validation": {"images": len(validation), "fingerprint": validation.fingerprint()},
        }

    @property
    def variables(self) -> list[Variable]:
        """Everything that training changes."""
        kept = [self._kept] if isinstance(self.objective, Replaying) else []
        averages = self.averages.values if self.averages is not None else []
        scale = self.scale.variables if self.scale is not None else []
        return [*self.model.variables, *self.optimizer.variables, *averages, *kept, *scale]

    def stage(self, checkpoint: Checkpoint) -> int:
        """Return the stage of the epoch that follows, from 0."""
        stages, losses = len(self.stages), checkpoint.losses
        # Never back: an extended run would have stayed longer in each stage.
        reached = checkpoint.history[-1].stage - 1 if checkpoint.history else 0
        if self.linear_head is not None and stages > 1 and losses:
            # A fitted head is done after its epoch.
            longest = math.ceil((self.recipe.epochs - 1) / (stages - 1))
            return max(reached, 1 + stage_after(losses[1:], stages - 1, self.recipe.patience, longest))
        longest = math.ceil(self.recipe.epochs / stages)
        return max(reached, stage_after(losses, stages, self.recipe.patience, longest))

    def aims_at_robustness(self, epoch: int) -> bool:
        """Return whether an epoch trains with the robust objective."""
        return self.objective.robust and epoch >= self.recipe.adv_start_epoch

    def eps(self, step: int, ball: int = 0) -> float:
        """Return the radius that a step, counted over the whole run, trains against in one of the balls."""
        full = self.recipe.balls[ball].eps
        begun = step - (self.recipe.adv_start_epoch - 1) * self.batches.steps
        growing = self.recipe.eps_warmup * self.batches.steps
        if begun < 0:
            return 0.0
        return full if begun + 1 >= growing else full * (begun + 1) / growing

    def learning_rate(self, checkpoint: Checkpoint) -> float:
        """Return the rate of the step that follows; each rollback has halved it."""
        step = checkpoint.epoch * self.batches.steps + checkpoint.step
        stage = self.stage(checkpoint)
        began = sum(record.stage - 1 < stage for record in checkpoint.history) * self.batches.steps
        return self.rate.at(step, checkpoint.losses, began) * 0.5**checkpoint.rollbacks

    def progress(self, what: str, checkpoint: Checkpoint) -> Progress:
        """Return the progress of the whole training."""
        done = checkpoint.epoch * self.batches.steps + checkpoint.step
        return Progress(f"epoch {checkpoint.epoch + 1}: {what}", done, self.recipe.epochs * self.batches.steps)

    def alternates(self, epoch: int) -> bool:
        """Return whether the steps of an epoch choose one of several balls; clean steps have none."""
        return len(self.recipe.balls) > 1 and "eps" in self.objective.uses and epoch >= self.recipe.adv_start_epoch

    def choose_ball(self, checkpoint: Checkpoint) -> int:
        """Return the place of the ball of the step that follows."""
        number = checkpoint.epoch + 1
        if not self.alternates(number):
            return 0
        seed = (self.recipe.seed, number, checkpoint.rollbacks, checkpoint.step)
        return choose_norm([ball.norm for ball in self.recipe.balls], checkpoint.norms, seed)

    def epoch(self, checkpoint: Checkpoint, ball: int | None = None) -> Iterator[Checkpoint]:
        """Take the remaining steps of an epoch; yield the checkpoint after each.

        Args:
            checkpoint: the state of the run.
            ball: take all steps in this one of the balls; None: choose one for each step.

        Raises:
            Diverged: the loss is not a number.
        """
        number = checkpoint.epoch + 1
        stage = self.stage(checkpoint)
        self.stages.enter(stage)
        if not checkpoint.history and self.linear_head is not None:
            fitted = self._fit_head(self.linear_head) if not checkpoint.step else None
            if self.recipe.unfreeze != "all":
                yield checkpoint if fitted is None else self._instead_of_steps(checkpoint, fitted)
                return
        adversarial = number >= self.recipe.adv_start_epoch
        replays = self.objective.replays if adversarial and isinstance(self.objective, Replaying) else 1
        batches = self.batches.epoch(number, checkpoint.rollbacks, checkpoint.step)
        for batch in batches:
            self.optimizer.learning_rate = self.learning_rate(checkpoint)
            chosen = self.choose_ball(checkpoint) if ball is None else ball
            step = self._step_of(stage, adversarial, chosen)
            eps = tf.constant(self.eps((number - 1) * self.batches.steps + checkpoint.step, chosen), tf.float32)
            spread = [self.devices.spread(values) for values in batch]
            losses, right, fooled = math.nan, 0, 0
            for _ in range(replays):
                losses, right, fooled, kept = step(*spread, self._kept, eps)
                self._kept.assign(self.strategy.experimental_local_results(kept)[0])
            if not math.isfinite(float(losses)):
                raise Diverged(f"the loss is not a number any more in epoch {number}", "try a lower --learning-rate")
            if self.alternates(number):
                norm = str(self.recipe.balls[chosen].norm)
                checkpoint = checkpoint.attacked(norm, self.batches.size, int(fooled))
            checkpoint = checkpoint.advanced(float(losses), int(right))
            yield checkpoint

    def _fit_head(self, head: KerasLayer) -> FittedHead:
        data = self.data
        with self.strategy.scope():
            fitted = fit_head(
                self.classifier,
                head,
                data.train,
                data.validation,
                self.recipe.augment,
                self.recipe.seed,
                self._balance() if "balanced" in (self.recipe.class_weights, self.recipe.sampler) else None,
            )
        if self.averages is not None:
            self.averages.begin()
        return fitted

    def _instead_of_steps(self, checkpoint: Checkpoint, fitted: FittedHead) -> Checkpoint:
        """Return the checkpoint after an epoch in which only the head was fitted."""
        steps = self.batches.steps
        images = steps * self.batches.size
        return replace(checkpoint, step=steps, loss=fitted.loss * images, right=round(fitted.accuracy * images))

    def validate(self) -> Validation:
        """Validate the current weights."""
        return self.validator()

    def _begun(self) -> Classifier:
        """Return the classifier at the beginning of the run: a backbone, or the model to start from."""
        recipe, data = self.recipe, self.data
        if data.start is not None:
            data.start.restore()
            return replace(data.start.classifier, recipe=recipe.to_json())
        backbone: Backbone = registry.build("backbones", recipe.backbone)
        labels, channels = data.dataset.labels, data.train.pixels.shape[-1]
        weights = None if recipe.weights == "none" else recipe.weights
        model = backbone(len(labels), recipe.edge, channels, weights)
        name = registry.canonical(recipe.backbone)
        return Classifier(name, model, labels, (recipe.edge, recipe.edge), channels, recipe=recipe.to_json())

    def _network(self) -> Fields:
        if self.data.start is not None:
            return {"model": described(self.data.start, self.recipe)}
        return {"backbone": registry.build("backbones", self.recipe.backbone).resolved(self.recipe.edge)}

    def _make_stages(self) -> Stages:
        classifier = self.classifier
        black = tf.zeros((1, *classifier.image_size, classifier.channels))
        return Stages(
            self.model,
            self.recipe.unfreeze,
            self.recipe.stages,
            lambda: self.model(classifier.to_input(black), training=False),
            normalization_learns=self.recipe.batchnorm != "frozen",
        )

    def _linear_head(self) -> KerasLayer | None:
        """Return the new head if it is to be fitted and can be; several workers take the same steps instead."""
        recipe = self.recipe
        new = recipe.weights != "none" or (self.data.start is not None and self.data.start.new_head)
        if not new or recipe.new_head == "steps" or self.devices.workers.count > 1:
            return None
        head = linear_head(self.classifier, self.data.validation)
        if head is None:
            log.info(
                "the scores of '%s' do not come from a dense layer: its new head is trained by steps",
                self.classifier.name,
            )
        return head

    def _refuse_replays(self) -> None:
        # Each device would have its own perturbation from the last batch; the checkpoint holds one.
        if self.devices.count > 1 and isinstance(self.objective, Replaying):
            raise UsageError(f"'{self.recipe.objective}' trains on one device only", "give --strategy one")

    def _proven_passes(self) -> bool:
        """Return whether BatchNorm may be fused, and refuse float16 if it changes the outputs."""
        # On several devices each replica runs the same pass, which only one of them could prove.
        if self.devices.count > 1:
            return True
        pixels, _ = self.data.train.at(slice(0, _PROVED))
        images = self.classifier.to_input(tf.constant(pixels))
        if self.scale is not None and not pass_agrees(self.model, images, lambda: half(self.model), _HALF_PRECISION):
            raise UsageError(f"'{self.classifier.name}' computes different results in float16", "leave --amp out")
        if self.recipe.batchnorm != "training":
            return False
        if pass_agrees(self.model, images, lambda: fused_normalization(self.model), _ROUNDING):
            return True
        log.warning("the fused BatchNorm differs from the layers of the model, which are used as they are")
        return False

    def _nothing_kept(self) -> Variable:
        size = (*self.classifier.image_size, self.classifier.channels)
        shape = (self.batches.size, *size) if isinstance(self.objective, Replaying) else ()
        return tf.Variable(tf.zeros(shape), trainable=False)

    def _step_of(self, stage: int, adversarial: bool, ball: int) -> TracedFunction:
        """Return the traced step of a stage and a ball: each stage trains other weights, so each has its own trace."""
        if (stage, adversarial, ball) not in self._traced:
            update = Update(
                self.recipe,
                self.classifier,
                self.objective if adversarial else registry.build("objectives", standard_objective()),
                self.modifiers if adversarial else (),
                self.attack,
                self.optimizer,
                self.batches.size,
                self.devices.count,
                self.scale,
                self.fused,
                self._class_weights(),
                self.recipe.balls[ball],
            )
            self._traced[stage, adversarial, ball] = tf.function(self._make_step(update))
        return self._traced[stage, adversarial, ball]

    def _class_weights(self) -> Tensor | None:
        if self.recipe.class_weights == "none":
            return None
        return tf.constant(self._balance())

    def _balance(self) -> np.ndarray:
        return balanced_weights(self.data.train.labels, len(self.classifier.labels))

    def _make_step(self, update: Update) -> TracedFunction:
        @as_written
        def step(images: Tensor, labels: Tensor, seeds: Tensor, kept: Tensor, eps: Tensor) -> tuple[Tensor, ...]:
            losses, right, fooled, kept = self.strategy.run(update, args=(images, labels, seeds, kept, eps))
            if self.averages is not None:
                self.averages.move(self.optimizer.iterations)
            total = tf.distribute.ReduceOp.SUM
            sums = [self.strategy.reduce(total, each, axis=None) for each in (losses, right, fooled)]
            return *sums, kept

        return step


def _options(component: Any) -> Json:
    if isinstance(component, list):
        return [_options(item) for item in component]
    return {"name": type(component).__module__.rpartition(".")[2].replace("_", "-"), **asdict(component)}
