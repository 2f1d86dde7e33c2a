"""One step of training: perturb the batch, take the loss and its gradient, change the weights."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

from advcli.attacks import Attack
from advcli.backend import Optimizer, Tensor, Variable, tf
from advcli.model.classifier import Classifier
from advcli.modifiers import Penalty, WeightPerturbation
from advcli.objectives import InnerMaximization, Objective, Replaying
from advcli.tasks.train.frozen_statistics import frozen_statistics
from advcli.tasks.train.fused_batchnorm import fused_normalization
from advcli.tasks.train.mixed_precision import LossScale, half
from advcli.tasks.train.optimizer import decays
from advcli.tasks.train.recipe import Recipe
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat
from advcli.tracing import as_written, converted


@as_written
class TrainingPass:
    """The trained network as objectives call it: images in [0, 1] at its size to logits.

    Args:
        classifier: the classifier with the network.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def __call__(self, images: Tensor, training: bool) -> Tensor:
        """Compute logits: (N, H, W, C) -> (N, K)."""
        classifier = self._classifier
        return classifier.head.logits(classifier.model(classifier.to_range(images), training=training))


class Update:
    """The training step of one device on its part of a batch.

    Args:
        recipe: decay, clipping and the balls.
        classifier: the trained model.
        objective: the loss.
        modifiers: the modifiers of the objective.
        attack: the attack of ``--attack``.
        optimizer: built on all weights of the model.
        batch: the images of a whole step, on all devices.
        devices: the number of devices.
        scale: of the loss, if the passes that train are in float16.
        fused: whether BatchNorm is computed by one operation.
        class_weights: (K,) what the loss of an image of each class counts; None: 1.
        threat: the ball, one of those of the recipe; None: its only one.
    """

    def __init__(
        self,
        recipe: Recipe,
        classifier: Classifier,
        objective: Objective,
        modifiers: Sequence[Penalty | WeightPerturbation],
        attack: Attack,
        optimizer: Optimizer,
        batch: int,
        devices: int,
        scale: LossScale | None = None,
        fused: bool = True,
        class_weights: Tensor | None = None,
        threat: Threat | None = None,
    ) -> None:
        self.recipe = recipe
        self.classifier = classifier
        self.model = classifier.model
        self.network = TrainingPass(classifier)
        self.objective = objective
        self.penalties = [modifier for modifier in modifiers if isinstance(modifier, Penalty)]
        self.displacing = [modifier for modifier in modifiers if isinstance(modifier, WeightPerturbation)]
        self.attack = attack
        self.optimizer = optimizer
        self.batch = batch
        self.devices = devices
        self.scale = scale
        self.fused = fused
        self.class_weights = class_weights
        self.threat = threat or recipe.threat

    def __call__(
        self, images: Tensor, labels: Tensor, seeds: Tensor, kept: Tensor, eps: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Take the step: -> the sum of the losses, two numbers of images, the perturbation for the next batch.

        The numbers are of correct images, and, if there are several balls, of images that the attack fooled.

        Args:
            images: (N, H, W, C) in [0, 1].
            labels: (N,).
            seeds: (N, 2).
            kept: the perturbation from the batch before.
            eps: the radius now, if it is still growing.
        """
        inner = self._inner_maximization(seeds, kept, eps)
        perturbed = tf.stop_gradient(self.objective.perturb(inner, images, labels))
        fooled = self._fooled(inner, perturbed, labels)
        statistics = [tf.identity(weight) for weight in self._statistics()] if self.displacing else []
        losses, logits, gradients, upwards = self._gradients(inner, images, perturbed, labels)
        if self.displacing:
            # They move once in an update, in the passes at the displaced weights.
            for weight, value in zip(self._statistics(), statistics, strict=True):
                weight.assign(value)
            gradients = self._displaced_gradients(inner, images, perturbed, labels, gradients)
        self._apply(self._summed(gradients))
        self._equalize()
        if isinstance(self.objective, Replaying):
            kept = self.objective.climb(inner, images, upwards)
        right = tf.argmax(logits, axis=1, output_type=labels.dtype) == labels
        return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(right, tf.int32)), fooled, kept

    def _fooled(self, inner: InnerMaximization, perturbed: Tensor, labels: Tensor) -> Tensor:
        """Count the adversarial images that the network, in inference mode, takes for another class."""
        if len(self.recipe.balls) == 1 or "eps" not in self.objective.uses:
            return tf.constant(0)
        predicted = tf.argmax(inner.logits(self.objective.adversarial(perturbed)), axis=1, output_type=labels.dtype)
        return tf.reduce_sum(tf.cast(predicted != labels, tf.int32))

    @as_written
    def _inner_maximization(self, seeds: Tensor, kept: Tensor, eps: Tensor) -> InnerMaximization:
        threat = self.threat
        if self.recipe.eps_warmup:
            threat = replace(threat, eps=eps)
        rng = ImageRng(seeds)
        # The weights do not change during the attack, so they are read and folded once.
        logits = self.classifier.current_copy().logits

        def attack(images: Tensor, labels: Tensor) -> Tensor:
            return converted(self.attack)(logits, images, labels, threat, rng)

        return InnerMaximization(logits, attack, threat, rng, kept)

    def _gradients(
        self, inner: InnerMaximization, images: Tensor, perturbed: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor], Tensor]:
        """Return losses, logits, and the gradients by the weights and by the perturbed images."""
        with tf.GradientTape() as tape:
            if isinstance(self.objective, Replaying):
                tape.watch(perturbed)
            with self._forms():
                losses, logits = self.objective(self.network, images, perturbed, labels)
                for modifier in self.penalties:
                    losses += modifier.penalty(self.network, inner, images, labels)
            if self.class_weights is not None:
                losses *= tf.gather(self.class_weights, labels)
            loss = tf.reduce_sum(losses) / self.batch
            if self.scale:
                loss *= self.scale.scale
        weights = self.model.trainable_variables
        found, upwards = tape.gradient(loss, (weights, perturbed))
        # A user's model may have weights that its output does not depend on, and embeddings with sparse gradients.
        gradients = [
            tf.zeros_like(weight) if gradient is None else tf.convert_to_tensor(gradient)
            for weight, gradient in zip(weights, found, strict=True)
        ]
        return losses, logits, gradients, upwards

    @as_written
    def _forms(self) -> contextlib.ExitStack:
        """Have the layers compute as this run trains them, until the context ends."""
        forms = contextlib.ExitStack()
        if self.recipe.batchnorm != "training":
            forms.enter_context(frozen_statistics(self.model))
        elif self.fused:
            forms.enter_context(fused_normalization(self.model))
        if self.scale:
            forms.enter_context(half(self.model))
        return forms

    def _displaced_gradients(
        self, inner: InnerMaximization, images: Tensor, perturbed: Tensor, labels: Tensor, gradients: list[Tensor]
    ) -> list[Tensor]:
        """Return the gradients at displaced weights, and restore the weights exactly."""
        weights = self.model.trainable_variables
        before = [tf.identity(weight) for weight in weights]
        # All devices take the same displacement.
        gradients = self._summed(gradients)
        if self.scale:
            gradients, _ = self.scale.undone(gradients)
        for modifier in self.displacing:
            for weight, step in zip(weights, modifier.displacement(before, gradients), strict=True):
                weight.assign_add(step)
        _, _, gradients, _ = self._gradients(inner, images, perturbed, labels)
        for weight, value in zip(weights, before, strict=True):
            weight.assign(value)
        return gradients

    @as_written
    def _summed(self, gradients: list[Tensor]) -> list[Tensor]:
        if self.devices == 1:
            return gradients
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)

    @as_written
    def _apply(self, gradients: list[Tensor]) -> None:
        """Change the weights by the gradients of the whole batch."""
        if self.scale:
            self._apply_if_finite(gradients, self.scale)
        else:
            self._apply_all(gradients)

    @as_written
    def _apply_if_finite(self, gradients: list[Tensor], scale: LossScale) -> None:
        """Apply the gradients unless they have overflowed."""
        gradients, finite = scale.undone(gradients)
        changing = [*self.model.trainable_variables, *self.optimizer.variables]
        before = [tf.identity(variable) for variable in changing]
        self._apply_all(gradients)
        for variable, value in zip(changing, before, strict=True):
            variable.assign(tf.where(finite, tf.convert_to_tensor(variable), value))
        scale.move(finite)

    @as_written
    def _apply_all(self, gradients: list[Tensor]) -> None:
        weights = self.model.trainable_variables
        if self.recipe.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.recipe.clip_norm)
        if self.recipe.weight_decay and self.recipe.optimizer == "sgd":
            # Coupled: the decay goes through the momentum, as in the papers; Keras' own does not.
            gradients = [
                gradient + self.recipe.weight_decay * tf.convert_to_tensor(weight) if decays(weight) else gradient
                for gradient, weight in zip(gradients, weights, strict=True)
            ]
        if self.devices > 1:
            # The optimizer sums the gradients of the devices.
            gradients = [gradient / self.devices for gradient in gradients]
        self.optimizer.apply(gradients, weights)

    @as_written
    def _equalize(self) -> None:
        """Give all devices the mean of BatchNorm's moving statistics, each having moved its own."""
        statistics = self._statistics()
        if self.devices == 1 or not statistics:
            return
        means = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.MEAN, [tf.convert_to_tensor(weight) for weight in statistics]
        )
        for weight, mean in zip(statistics, means, strict=True):
            weight.assign(mean)

    @as_written
    def _statistics(self) -> list[Variable]:
        """Return BatchNorm's moving statistics, of the layers that learn."""
        layers = [layer for layer in self.model.layers if layer.trainable]
        return [weight for layer in layers for weight in layer.non_trainable_weights]
