"""Searches for adversarial images: one file a method."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import numpy as np

from advcli import registry
from advcli.backend import Tensor
from advcli.errors import UsageError
from advcli.threat.lengths import HasLengths
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat

# What an attack needs of a model, or what it makes.
KINDS = ("gradient", "transfer", "smallest", "score", "decision", "random", "geometry", "pattern", "suite")


@dataclass(frozen=True)
class Search(HasLengths, ABC):
    """What every attack says of itself, in attributes of its class, which are read before TensorFlow is imported.

    A subclass sets what differs from these values:

    ``kind``: one of ``KINDS``.
    ``norms``: the norms of the balls that it can search.
    ``targeted``: it can aim at a class.
    ``bounded``: it searches the ball of the threat; if not, norm and eps mean nothing to it.
    ``lengths``: the options that are lengths in the units of eps (pixel values in [0, 1]); an option that is a
        ratio says so in its name.
    """

    kind: ClassVar[str]
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    targeted: ClassVar[bool] = True
    bounded: ClassVar[bool] = True

    @property
    def members(self) -> tuple[str, ...]:
        """The specs of the attacks that it runs in turn, if it is a suite."""
        return ()

    @property
    def searchable_norms(self) -> tuple[str, ...]:
        """The norms of the balls that it can search with its options as they are."""
        return self.norms

    @property
    def step_in_ball(self) -> float:
        """The length of a step inside the ball; a search for the smallest perturbation may leave it."""
        return 0.0 if self.kind == "smallest" else super().step_in_ball

    def verdict_only(self) -> Self:
        """Return the attack that leaves an image at the first point that breaks it, if it has the option ``stop``.

        That is enough where only the verdict counts: every point on the way is looked at.
        """
        return replace(self, stop=True) if "stop" in {field.name for field in fields(self)} else self


class Attack(Search):
    """A search for the adversarial image of each image, inside the ball of a threat.

    An attack whose paper looks for the smallest perturbation returns the smallest it found, brought
    back into the ball if it is larger; one that found none, its last try inside the ball or the image.
    """

    @abstractmethod
    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Search for adversarial images: (N, H, W, C) in [0, 1], (N,) -> (N, H, W, C).

        Args:
            logits_fn: (N, H, W, C) -> (N, K) logits, each image for itself.
            images: where the search starts; the centres of the balls.
            labels: the classes to move away from.
            threat: the ball, and the class to reach if there is one.
            rng: the only source of randomness.
        """


class Suite(Search):
    """Several attacks, run in turn, each on the images that those before it left right."""

    @property
    @abstractmethod
    def members(self) -> tuple[str, ...]:
        """The specs of the attacks, in order; a task builds and runs them."""

    @abstractmethod
    def title(self, classes: int) -> str:
        """Say what the suite is on a classifier of so many classes."""


class Universal(Search):
    """One pattern for all images: crafted over many of them, applied to each.

    Crafting is a number of steps, of one batch each, on images at the classifier's own size. The
    pattern is then kept as a PNG file: what is applied is what ``from_png`` reads back, so that a
    pattern from a file does the same as one just crafted.

    ``steps`` is an option: how many batches crafting takes, going over the images as often as it has to.
    """

    steps: int

    @abstractmethod
    def start(self, edge: int, channels: int) -> Any:
        """Return the state before the first step, a nest of tensors whose shapes do not change.

        Args:
            edge: the side of the images in pixels.
            channels: how many channels they have.
        """

    @abstractmethod
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
            state: from the start, or from the step before.
            images: at the classifier's own size, in [0, 1].
            labels: the classes to move away from.
            threat: the ball, if it means anything to the attack, and the class to reach if there is one.
            rng: the images' own, the same in every epoch; a step makes others of them.
        """

    @abstractmethod
    def pattern(self, state: Any) -> Tensor:
        """Return what has been crafted: (H, W, C), with one more channel if it has an opacity."""

    @abstractmethod
    def to_png(self, pattern: np.ndarray, threat: Threat) -> np.ndarray:
        """Bring a pattern to the 8 bits of a file: -> (H, W, 1 to 4) uint8."""

    @abstractmethod
    def from_png(self, pixels: np.ndarray, threat: Threat) -> np.ndarray:
        """Return the pattern that a file holds: uint8 -> float32, and ``to_png`` of it is the same file."""

    @abstractmethod
    def apply(self, pattern: Tensor, images: Tensor, threat: Threat, rng: ImageRng) -> Tensor:
        """Apply a pattern to images of any size: (N, H, W, C) in [0, 1] -> (N, H, W, C) in [0, 1].

        Args:
            pattern: as ``from_png`` returns it.
            images: all of one size, which need not be known when this is traced.
            threat: the one it was crafted for.
            rng: the images' own.
        """


def refuse_unsupported(attack: Search, threat: Threat) -> None:
    """Refuse a threat that the attack has no method for.

    Raises:
        UsageError: the attack does not know the norm, or cannot aim at a class.
    """
    name = type(attack).__module__.rpartition(".")[2].replace("_", "-")
    norms = attack.searchable_norms
    if attack.bounded and threat.norm not in norms:
        hint = f"its norms: {', '.join(norms)}; for every norm: {', '.join(_of_every_norm())}"
        raise UsageError(f"'{name}' does not search {threat.norm} balls", hint)
    if threat.target is not None and not attack.targeted:
        raise UsageError(f"'{name}' cannot aim at a class", "leave the target out: it looks for any wrong class")


def _of_every_norm() -> list[str]:
    """Name the attacks that search balls of every norm."""
    names = registry.names("attacks")
    return [name for name in names if set(registry.build("attacks", name).searchable_norms) == set(Norm)]


def refuse_radius(search: Search, spec: str, norm: Norm | None, eps: float | None, minimal: bool = False) -> None:
    """Refuse a radius for an attack that has none, and the smallest one for a pattern of many images.

    Raises:
        UsageError: one of them was asked for.
    """
    name = registry.canonical(spec)
    if not search.bounded and (minimal or norm or eps is not None):
        raise UsageError(
            f"'{name}' does not search a ball, so it has no radius", "leave --eps, --norm and --minimal out"
        )
    if minimal and isinstance(search, Universal):
        raise UsageError(
            f"'{name}' is one perturbation for all images, not the smallest for each", "leave --minimal out"
        )


def refuse_pattern(search: Search, spec: str, hint: str) -> None:
    """Refuse an attack that crafts one pattern for many images.

    Raises:
        UsageError: it is one.
    """
    if isinstance(search, Universal):
        raise UsageError(f"'{registry.canonical(spec)}' is one pattern for many images", hint)
