"""Adversarial attacks: one file a method."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from advcli import registry
from advcli.backend import Tensor, as_written, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat

# What an attack needs of a model, or what it makes.
KINDS = ("gradient", "transfer", "minimum-norm", "score", "decision", "random", "spatial", "universal", "suite")


class Attack(Protocol):
    """Search for an adversarial image of each image, inside the ball of a threat.

    Class attributes describe the attack; they are read before TensorFlow is imported.
    ``kind: ClassVar[str]`` is one of ``KINDS``.
    ``norms: ClassVar[tuple[str, ...]]`` lists the supported norms; the default is linf and l2.
    ``targeted: ClassVar[bool] = False`` means that the attack does not support a target class.
    ``bounded: ClassVar[bool] = False`` means that the attack ignores norm and eps.
    ``lengths: ClassVar[tuple[str, ...]]`` names the options that are lengths in the units of eps (pixel values in
    [0, 1]); the name of an option that is a ratio ends in ``ratio``.

    A minimum-norm attack returns the smallest adversarial perturbation it found, projected onto the ball if it is
    larger. If it found none, it returns its last iterate inside the ball, or the image.
    """

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return adversarial images: (N, H, W, C) in [0, 1], (N,) -> (N, H, W, C).

        Args:
            logits_fn: (N, H, W, C) -> (N, K) logits; each image is computed independently.
            images: the original images, which are the centres of the balls.
            labels: (N,) the classes to move away from.
            threat: the ball, and the target class if there is one.
            rng: the only source of random numbers.
        """
        ...


@runtime_checkable
class Suite(Protocol):
    """Several attacks, run in turn; each attacks the images that no earlier one fooled."""

    @property
    def members(self) -> tuple[str, ...]:
        """Return the specs of the attacks, in order; a task builds and runs them."""
        ...

    def title(self, classes: int) -> str:
        """Return the name of the suite for a classifier with this number of classes."""
        ...


@runtime_checkable
class Universal(Protocol):
    """A universal perturbation: one perturbation, optimised over many images and applied to each.

    The optimisation takes a number of steps, each on one batch of images at the classifier's input size. The
    perturbation is then stored as a PNG file. What is applied is always the result of ``from_png``, so that a
    perturbation from a file has the same effect as a new one. The class attributes are those of ``Attack``.
    """

    @property
    def steps(self) -> int:
        """Return the number of steps, one batch each; the images are repeated as often as necessary."""
        ...

    def start(self, edge: int, channels: int) -> Any:
        """Return the state before the first step: a nested structure of tensors whose shapes do not change.

        Args:
            edge: the image size: height and width in pixels.
            channels: the number of channels.
        """
        ...

    def ascend(
        self,
        logits_fn: Callable[[Tensor], Tensor],
        state: Any,
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        rng: ImageRng,
    ) -> Any:
        """Return the state after one gradient step on a batch: (N, edge, edge, C), (N,).

        Args:
            logits_fn: (N, edge, edge, C) -> (N, K) logits, each image for itself.
            state: the result of ``start`` or of the previous step.
            images: at the classifier's input size, in [0, 1].
            labels: (N,) the classes to move away from.
            threat: the ball, if the attack is bounded, and the target class if there is one.
            rng: one random stream an image, the same in every epoch; a step derives its own from it.
        """
        ...

    def pattern(self, state: Any) -> Tensor:
        """Return the perturbation: (H, W, C), or (H, W, C + 1) if its last channel is an opacity."""
        ...

    def to_png(self, pattern: np.ndarray, threat: Threat) -> np.ndarray:
        """Quantize a perturbation to 8 bits: -> (H, W, 1 to 4) uint8."""
        ...

    def from_png(self, pixels: np.ndarray, threat: Threat) -> np.ndarray:
        """Return the perturbation that a file holds: uint8 -> float32; ``to_png`` of it returns the same pixels."""
        ...

    def apply(self, pattern: Tensor, images: Tensor, threat: Threat, rng: ImageRng) -> Tensor:
        """Apply a perturbation to images of any size: (N, H, W, C) in [0, 1] -> (N, H, W, C) in [0, 1].

        Args:
            pattern: the result of ``from_png``.
            images: all of one size, which may be unknown when this is traced.
            threat: the threat that the perturbation was optimised for.
            rng: one random stream an image.
        """
        ...


def is_bounded(attack: "Attack | Suite | Universal") -> bool:
    """Return whether an attack searches the ball of a threat."""
    return getattr(attack, "bounded", True)


def norms_of(attack: "Attack | Suite | Universal") -> tuple[str, ...]:
    """Return the norms that an attack supports."""
    return getattr(attack, "norms", ("linf", "l2"))


def refuse_unsupported(attack: "Attack | Suite | Universal", threat: Threat) -> None:
    """Refuse a threat that the attack does not support.

    Raises:
        UsageError: the attack does not support the norm, or does not support a target class.
    """
    name = type(attack).__module__.rpartition(".")[2].replace("_", "-")
    norms = norms_of(attack)
    if is_bounded(attack) and threat.norm not in norms:
        hint = f"its norms: {', '.join(norms)}; for every norm: {', '.join(_of_every_norm())}"
        raise UsageError(f"'{name}' does not search {threat.norm} balls", hint)
    if threat.target is not None and not getattr(attack, "targeted", True):
        raise UsageError(f"'{name}' cannot aim at a class", "leave the target out: it looks for any wrong class")


def _of_every_norm() -> list[str]:
    """Name the attacks that search balls of every norm."""
    names = registry.names("attacks")
    return [name for name in names if set(norms_of(registry.build("attacks", name))) == set(Norm)]


@as_written
def ascent(
    logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat
) -> tuple[Tensor, Tensor]:
    """Return the gradient of the threat's loss, and the logits: (N, H, W, C) -> (N, H, W, C), (N, K)."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = logits_fn(images)
        # The sum, not the mean: an image's gradient must not depend on its batch.
        loss = tf.reduce_sum(threat.loss(logits, labels))
    # A model that rounds its input has no gradient, which is no reason to fail.
    return tape.gradient(loss, images, unconnected_gradients=tf.UnconnectedGradients.ZERO), logits


def refuse_radius(
    search: Attack | Suite | Universal, spec: str, norm: Norm | None, eps: float | None, minimal: bool = False
) -> None:
    """Refuse a radius for an attack that has none, and the smallest one for a pattern of many images.

    Raises:
        UsageError: one of them was asked for.
    """
    name = registry.canonical(spec)
    if not is_bounded(search) and (minimal or norm or eps is not None):
        raise UsageError(
            f"'{name}' does not search a ball, so it has no radius", "leave --eps, --norm and --minimal out"
        )
    if minimal and isinstance(search, Universal):
        raise UsageError(
            f"'{name}' is one perturbation for all images, not the smallest for each", "leave --minimal out"
        )


def refuse_pattern(search: Attack | Suite | Universal, spec: str, hint: str) -> None:
    """Refuse an attack that computes one perturbation for many images.

    Raises:
        UsageError: the attack is universal.
    """
    if isinstance(search, Universal):
        raise UsageError(f"'{registry.canonical(spec)}' is one perturbation for many images", hint)
