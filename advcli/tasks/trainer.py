"""The network of a training run, its optimizer and its traced step."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from advcli import registry
from advcli.attacks import Attack
from advcli.attacks.pgd import PGD
from advcli.backbones import Backbone
from advcli.backend import Tensor, keras, tf
from advcli.data import stratified
from advcli.draws import Draws
from advcli.errors import AdvcliError
from advcli.model import Classifier
from advcli.objectives import Objective
from advcli.records import Progress
from advcli.tasks.adversary import Adversary
from advcli.tasks.recipe import Recipe, TrainingData

VALIDATION_ATTACK = PGD(steps=10)


class Trainer:
    """The network, its optimizer and the traced training step of one run."""

    def __init__(self, recipe: Recipe, data: TrainingData) -> None:
        self.recipe = recipe
        self.data = data
        channels = data.train.pixels.shape[-1]
        weights = None if recipe.weights == "none" else recipe.weights
        self.backbone: Backbone = registry.build("backbones", recipe.backbone)
        self.objective: Objective = registry.build("objectives", recipe.objective)
        self.attack: Attack = registry.build("attacks", recipe.attack)
        self.model = self.backbone(len(data.dataset.labels), recipe.edge, channels, weights)
        self.optimizer = keras.optimizers.SGD(recipe.learning_rate, momentum=recipe.momentum, nesterov=True)
        self.optimizer.build(self.model.trainable_variables)
        self.loss = keras.metrics.Mean()
        self.accuracy = keras.metrics.SparseCategoricalAccuracy()
        self.classifier = Classifier(
            name=registry.canonical(recipe.backbone),
            model=self.model,
            labels=data.dataset.labels,
            edge=recipe.edge,
            channels=channels,
            recipe=asdict(recipe),
        )
        self.adversary = Adversary(self.classifier, VALIDATION_ATTACK, recipe.threat, recipe.seed)
        self.batch = min(recipe.batch, len(data.train))
        self.steps_an_epoch = len(data.train) // self.batch
        self._traced_step = tf.function(self._step, input_signature=self._signature())

    def resolved(self) -> dict[str, Any]:
        """Spell out what the recipe's specs and defaults came to, and what the data is."""
        train, validation = self.data.train, self.data.validation
        return {
            "backbone": self.backbone.resolved(self.recipe.edge),
            "objective": asdict(self.objective),  # type: ignore[call-overload]
            "attack": asdict(self.attack),  # type: ignore[call-overload]
            "parameters": self.model.count_params(),
            "channels": self.classifier.channels,
            "steps_an_epoch": self.steps_an_epoch,
            "labels": list(self.data.dataset.labels),
            "train": {"images": len(train), "fingerprint": train.fingerprint()},
            "validation": {"images": len(validation), "fingerprint": validation.fingerprint()},
        }

    @property
    def variables(self) -> list[Any]:
        """Everything that training changes."""
        return [*self.model.variables, *self.optimizer.variables]

    def learning_rate(self, step: int) -> float:
        """Return a step's learning rate: a linear warm-up of one epoch at most, then half a cosine to zero."""
        total = self.recipe.epochs * self.steps_an_epoch
        warm_up = min(self.steps_an_epoch, max(1, total // 10))
        if step < warm_up:
            return self.recipe.learning_rate * (step + 1) / warm_up
        return self.recipe.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (total - warm_up)))

    def progress(self, what: str, epoch: int, step: int) -> Progress:
        """Say how far the whole training is."""
        done = (epoch - 1) * self.steps_an_epoch + step
        return Progress(f"epoch {epoch}: {what}", done, self.recipe.epochs * self.steps_an_epoch)

    def steps(self, epoch: int) -> Iterator[Progress]:
        """Go through the training images once, in an order that seed and epoch determine."""
        self.loss.reset_state()
        self.accuracy.reset_state()
        order = np.random.default_rng([self.recipe.seed, epoch]).permutation(len(self.data.train))
        for step in range(self.steps_an_epoch):
            yield self.progress("training", epoch, step)
            chosen = order[step * self.batch : (step + 1) * self.batch]
            pixels, labels = self.data.train.at(chosen)
            seeds = np.stack([chosen, np.full_like(chosen, self.recipe.seed * 100_003 + epoch)], axis=1)
            self.optimizer.learning_rate = self.learning_rate((epoch - 1) * self.steps_an_epoch + step)
            self._traced_step(tf.constant(pixels), tf.constant(labels), tf.constant(seeds, tf.int32))
            if not math.isfinite(float(self.loss.result())):
                raise AdvcliError(f"the loss is not a number any more in epoch {epoch}", "try a lower --learning-rate")

    def results(self) -> tuple[float, float]:
        """Return loss and accuracy over the epoch's training batches."""
        return float(self.loss.result()), float(self.accuracy.result())

    def validate(self) -> tuple[float, float]:
        """Return clean accuracy on the validation images, and robust accuracy on a fixed part of them."""
        validation = self.data.validation
        right = np.concatenate(
            [self.classifier.predict(pixels).argmax(axis=1) == labels for pixels, labels in validation.batches(64)]
        )
        part = stratified(validation.labels, self.recipe.robust_images, seed=0)
        robust = []
        for pixels, labels in validation.take(part).batches(64):
            adversarial, _ = self.adversary(pixels, labels)
            robust.append(self.classifier.predict(adversarial).argmax(axis=1) == labels)
        # An image that is wrong without any perturbation is not robust, whatever the attack made of it.
        return float(right.mean()), float((np.concatenate(robust) & right[part]).mean())

    def _signature(self) -> list[Any]:
        edge, channels = self.recipe.edge, self.classifier.channels
        return [
            tf.TensorSpec((None, edge, edge, channels), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, 2), tf.int32),
        ]

    def _step(self, pixels: Tensor, labels: Tensor, seeds: Tensor) -> None:
        with tf.GradientTape() as tape:

            def adversary(images: Tensor, classes: Tensor) -> Tensor:
                # Nothing is learnt through the search, and its steps need not be kept for that.
                with tape.stop_recording():
                    return self.attack(self.classifier.logits, images, classes, self.recipe.threat, Draws(seeds))

            losses, logits = self.objective(self.model, pixels, labels, adversary)
            loss = tf.reduce_mean(losses)
        weights = self.model.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.loss.update_state(loss)
        self.accuracy.update_state(labels, logits)
