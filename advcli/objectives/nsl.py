"""Adversarial regularization of neural-structured-learning: loss(x) + multiplier * loss(x').

Goodfellow, Shlens and Szegedy 2015, https://arxiv.org/abs/1412.6572, as the library generalises it
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.backend import KerasModel, Tensor, neural_structured_learning, tf
from advcli.errors import UsageError, nearest
from advcli.objectives import Objective
from advcli.threat.inner_maximization import InnerMaximization
from advcli.threat.threat import Norm, Threat
from advcli.tracing import as_written, repeated

NORMS = {"infinity": Norm.LINF, "l2": Norm.L2, "l1": Norm.L1}


@as_written
@dataclass(frozen=True)
class NSL(Objective):
    """``CE(f(x), y) + multiplier * CE(f(x'), y)``; x' is the library's adversarial neighbour of x.

    Equals ``nsl.keras.AdversarialRegularization`` with the same options. Two options work that fail there: the library
    ignores bounds given as numbers, and its random start needs a known batch size. The clean pass provides the first
    gradient, so k iterations cost k + 1 forward passes, k backward passes for the input gradient and two for the
    weights; a random start costs one more of each. BatchNorm is in the same mode in all passes: in training mode from
    scratch, as in the library, and in inference mode from pretrained weights.
    Known failure: a single large step without a random start can lead to gradient masking.

    Args:
        multiplier: weight of the adversarial loss.
        adv_step_size: length of a step: pixel values in [0, 1], in the norm of adv_grad_norm.
        adv_grad_norm: infinity, l2 or l1: the norm of the step.
        pgd_iterations: number of steps.
        pgd_epsilon: radius of the ball that each step is projected onto, in the same unit; 0 means no projection.
        random_init: start at a random point of that ball, or without it of a ball with the radius of a step.
        clip: clip the neighbour to [0, 1]; false is the setting of the library's tutorial.
    """

    robust: ClassVar[bool] = True
    searches_in_training_pass: ClassVar[bool] = True
    lengths: ClassVar[tuple[str, ...]] = ("adv_step_size", "pgd_epsilon")

    multiplier: float = 0.2
    adv_step_size: float = 0.2
    adv_grad_norm: str = "infinity"
    pgd_iterations: int = 1
    pgd_epsilon: float = 0.0
    random_init: bool = False
    clip: bool = True

    def __post_init__(self) -> None:
        if self.adv_grad_norm not in NORMS:
            raise UsageError(f"unknown adv_grad_norm '{self.adv_grad_norm}'", nearest(self.adv_grad_norm, NORMS))
        for option in ("multiplier", "adv_step_size", "pgd_epsilon"):
            if getattr(self, option) < 0:
                raise UsageError(f"{option} of 'nsl' is negative: {getattr(self, option):g}")
        if self.pgd_iterations < 1:
            raise UsageError(f"pgd_iterations is less than one: {self.pgd_iterations}")
        if self.pgd_epsilon and self.adv_grad_norm == "l1":
            raise UsageError("nsl has no projection to an l1 ball", "leave pgd_epsilon out, or use infinity or l2")

    def own_threat(self) -> Threat:
        """Return the ball of the neighbours: that of the projection, else that of one step."""
        return Threat(NORMS[self.adv_grad_norm], self.pgd_epsilon or self.adv_step_size * self.pgd_iterations)

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the start of the inner maximization, which itself needs the gradient of the clean pass."""
        if not self.random_init:
            return images
        noise = Threat(NORMS[self.adv_grad_norm], 0.0).within(tf.shape(images)[1:], inner.rng)
        return self._clipped(images + (self.pgd_epsilon or self.adv_step_size) * noise)

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the clean logits: (N, H, W, C), (N,) -> (N,), (N, K)."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = model(images, training=True)
            clean = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            mean = tf.reduce_mean(clean)
        if self.random_init:
            neighbour = self._from(perturbed, model, images, labels)
        else:
            neighbour = self._neighbour(model, images, mean, labels, tape)
        moved = model(tf.stop_gradient(neighbour), training=True)
        adversarial = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, moved)
        return clean + self.multiplier * adversarial, logits

    def _neighbour(self, model: KerasModel, images: Tensor, mean: Tensor, labels: Tensor, tape: object) -> Tensor:
        nsl = neural_structured_learning()
        config = nsl.configs.AdvNeighborConfig(
            adv_step_size=self.adv_step_size,
            adv_grad_norm=self.adv_grad_norm,
            pgd_iterations=self.pgd_iterations,
            pgd_epsilon=self.pgd_epsilon or None,
            # The library's Keras wrapper has its images in a dictionary, where it does not see these.
            clip_value_min=0.0 if self.clip else None,
            clip_value_max=1.0 if self.clip else None,
        )
        neighbour, _ = nsl.lib.gen_adv_neighbor(
            images,
            mean,
            config=config,
            gradient_tape=tape,
            pgd_model_fn=lambda point: model(point, training=True),
            pgd_loss_fn=_mean_loss,
            pgd_labels=labels,
            use_while_loop=True,
        )
        return neighbour

    def _from(self, start: Tensor, model: KerasModel, images: Tensor, labels: Tensor) -> Tensor:
        """Search from a given start, which the library supports for its own random start only."""

        def further(_: Tensor, point: Tensor) -> tuple[Tensor]:
            moved = self._step(model, point, labels)
            return (self._clipped(images + self._projected(moved - images)),)

        return repeated(self.pgd_iterations, further, (start,))[0]

    def _step(self, model: KerasModel, point: Tensor, labels: Tensor) -> Tensor:
        nsl = neural_structured_learning()
        config = nsl.configs.AdvNeighborConfig(adv_step_size=self.adv_step_size, adv_grad_norm=self.adv_grad_norm)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(point)
            mean = _mean_loss(labels, model(point, training=True))
        moved, _ = nsl.lib.gen_adv_neighbor(point, mean, config=config, gradient_tape=tape)
        return moved

    def _projected(self, delta: Tensor) -> Tensor:
        if not self.pgd_epsilon:
            return delta
        nsl = neural_structured_learning()
        return nsl.lib.project_to_ball(delta, self.pgd_epsilon, nsl.configs.NormType(self.adv_grad_norm))

    def _clipped(self, images: Tensor) -> Tensor:
        return tf.clip_by_value(images, 0.0, 1.0) if self.clip else images


@as_written
def _mean_loss(labels: Tensor, logits: Tensor) -> Tensor:
    # The mean, as in the library: its l2 step is shorter where the gradient's norm is below 1e-6.
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))


COMPONENT = NSL
