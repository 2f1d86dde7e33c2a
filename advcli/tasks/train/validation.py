"""Validation after every epoch: clean, after one gradient step, and under PGD-10."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advcli.attacks.fgsm import FGSM
from advcli.attacks.pgd import PGD
from advcli.backend import Tensor, tf
from advcli.data.decoded import Images
from advcli.data.split import stratified
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.train.distribution import Devices
from advcli.threat.gradient import loss_gradient
from advcli.threat.threat import Threat

ATTACK = PGD(steps=10)
_BATCH = 64


@dataclass(frozen=True)
class Validation:
    """The validation accuracies of an epoch.

    Args:
        clean: accuracy on all of them.
        robust: accuracy under PGD-10 on a fixed part of them, of all in that part; with several norms, an image counts
            that is correct under all of them.
        single_step: accuracy under FGSM on the same part; far above ``robust`` it indicates gradient masking.
        zero_gradients: the share of the part whose gradient is exactly zero.
    """

    clean: float
    robust: float
    single_step: float
    zero_gradients: float


class Validator:
    """Measures a classifier while it is trained; traced once.

    Each worker validates on a share of the images; all get the same numbers.

    Args:
        classifier: the trained model, with its current weights.
        images: the validation images.
        part: how many of them are attacked, a fixed stratified sample.
        threats: the ball, or several, each in another norm.
        seed: of the attack's random numbers.
        devices: the devices of the run.
    """

    def __init__(
        self,
        classifier: Classifier,
        images: Images,
        part: int,
        threats: Sequence[Threat],
        seed: int,
        devices: Devices,
    ) -> None:
        self._classifier = classifier
        chosen = stratified(images.labels, part, seed=0)
        share = slice(devices.workers.index, None, devices.workers.count)
        self._sizes = np.array([len(images), len(chosen), len(chosen), len(chosen)])
        self._images = Images(images.pixels[share], images.labels[share])
        self._attacked = images.take(chosen[share])
        self._devices = devices
        self._threats = tuple(threats)
        self._attacks = [CompiledAttack(classifier, ATTACK, threat, seed) for threat in threats]
        self._traced_step = tf.function(
            self._step,
            input_signature=[
                tf.TensorSpec((None, *classifier.image_size, classifier.channels), tf.float32),
                tf.TensorSpec((None,), tf.int32),
            ],
        )

    def __call__(self) -> Validation:
        """Measure."""
        correct = sum(int(self._correct(pixels, labels).sum()) for pixels, labels in self._images.batches(_BATCH))
        counts = np.zeros(3, np.int64)
        for pixels, labels in self._attacked.batches(_BATCH):
            # An image that is wrong without any perturbation is not robust, whatever the attack returned.
            clean = self._correct(pixels, labels)
            aheads, vanished = self._traced_step(tf.constant(pixels), tf.constant(labels))
            robust, single_step = clean, clean
            for attack, ahead in zip(self._attacks, aheads, strict=True):
                adversarial, _ = attack(pixels, labels)
                robust = robust & self._correct(adversarial, labels)
                single_step = single_step & self._correct(ahead.numpy(), labels)
            counts += [robust.sum(), single_step.sum(), vanished.numpy().sum()]
        shares = self._devices.total(np.array([correct, *counts])) / self._sizes
        return Validation(*map(float, shares))

    def _correct(self, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return self._classifier.predict(pixels).argmax(axis=1) == labels

    def _step(self, images: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
        """Take the single step of FGSM in each ball, and tell which images have no gradient."""
        # The loss is the same in all balls.
        gradient, _ = loss_gradient(self._classifier.logits, images, labels, self._threats[0])
        aheads = [FGSM().along(gradient, images, threat) for threat in self._threats]
        return aheads, tf.reduce_all(gradient == 0, axis=(1, 2, 3))
