"""Searches for adversarial images: one file a method."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from advcli import registry
from advcli.backend import Tensor
from advcli.draws import Draws
from advcli.errors import UsageError
from advcli.threat import Norm, Threat


class Attack(Protocol):
    """A search inside the ball of a threat.

    What balls an attack can search it says in attributes, which are read before TensorFlow is
    imported: ``norms: ClassVar[tuple[str, ...]]`` lists the norms it knows
    (without it: linf and l2), and ``targeted: ClassVar[bool] = False`` means that it cannot aim at a class.

    An attack whose paper looks for the smallest perturbation returns the smallest it found, brought
    back into the ball if it is larger; one that found none, its last try inside the ball or the image.
    """

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, draws: Draws
    ) -> Tensor:
        """Search for adversarial images: (N, H, W, C) in [0, 1], (N,) -> (N, H, W, C).

        Args:
            logits_fn: (N, H, W, C) -> (N, K) logits, each image for itself.
            images: where the search starts; the centres of the balls.
            labels: the classes to move away from.
            threat: the ball, and the class to reach if there is one.
            draws: the only source of randomness.
        """
        ...


@runtime_checkable
class Suite(Protocol):
    """Several attacks, run in turn, each on the images that those before it left right."""

    @property
    def members(self) -> tuple[str, ...]:
        """The specs of the attacks, in order; a task builds and runs them."""
        ...

    def title(self, classes: int) -> str:
        """Say what the suite is on a classifier of so many classes."""
        ...


def norms_of(attack: "Attack | Suite") -> tuple[str, ...]:
    """Return the norms that an attack knows."""
    return getattr(attack, "norms", ("linf", "l2"))


def refuse_unsupported(attack: "Attack | Suite", threat: Threat) -> None:
    """Refuse a threat that the attack has no method for.

    Raises:
        UsageError: the attack does not know the norm, or cannot aim at a class.
    """
    name = type(attack).__module__.rpartition(".")[2].replace("_", "-")
    norms = norms_of(attack)
    if threat.norm not in norms:
        hint = f"its norms: {', '.join(norms)}; for every norm: {', '.join(_of_every_norm())}"
        raise UsageError(f"'{name}' does not search {threat.norm} balls", hint)
    if threat.target is not None and not getattr(attack, "targeted", True):
        raise UsageError(f"'{name}' cannot aim at a class", "leave the target out: it looks for any wrong class")


def _of_every_norm() -> list[str]:
    """Name the attacks that search balls of every norm."""
    names = registry.names("attacks")
    return [name for name in names if set(norms_of(registry.build("attacks", name))) == set(Norm)]


def ascent(
    logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat
) -> tuple[Tensor, Tensor]:
    """Return the gradient of the threat's loss, and the logits: (N, H, W, C) -> (N, H, W, C), (N, K)."""
    from advcli.backend import tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = logits_fn(images)
        # The sum, not the mean: an image's gradient must not depend on its batch.
        loss = tf.reduce_sum(threat.loss(logits, labels))
    # A model that rounds its input has no gradient, which is no reason to fail.
    return tape.gradient(loss, images, unconnected_gradients=tf.UnconnectedGradients.ZERO), logits
