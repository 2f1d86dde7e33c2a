"""Adversarial attacks: one file a method."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

import numpy as np

from advcli import registry
from advcli.backend import Nest, Tensor
from advcli.model.black_box import ACCESS_LEVELS, Access
from advcli.threat.lengths import HasLengths
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat

# What an attack needs of a model, or what it makes.
KINDS = ("gradient", "transfer", "minimum-norm", "score", "decision", "random", "spatial", "universal", "suite")
_NEEDS: dict[str, Access] = {"score": "scores", "decision": "class", "random": "class", "spatial": "class"}


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

    def members_in(self, norm: Norm) -> tuple[str, ...]:
        """Return the specs of the attacks that it runs in turn in balls of a norm, if it is a suite."""
        return ()

    @property
    def searchable_norms(self) -> tuple[str, ...]:
        """The norms of the balls that it can search with its options as they are."""
        return self.norms

    @property
    def needs(self) -> Access:
        """What it must see of a model."""
        return _NEEDS.get(self.kind, "gradient")

    @property
    def searches_as_training(self) -> bool:
        """Whether it searches as adversarial training does: by gradients, for one perturbed image in the ball."""
        return self.bounded and self.needs == "gradient"

    @property
    def single_step(self) -> bool:
        """Whether it takes one step; an attack of several steps has the option ``steps``."""
        return getattr(self, "steps", 1) == 1

    @property
    def most_queries(self) -> int | None:
        """How often it asks the model about an image at most; None if that is not limited by an option."""
        return getattr(self, "queries", None)

    @property
    def passes(self) -> int:
        """How often it asks about each point, for a randomised model: its option ``eot``."""
        return getattr(self, "eot", 1)

    @property
    def step_in_ball(self) -> float:
        """The length of a step inside the ball; a search for the smallest perturbation may leave it."""
        return 0.0 if self.kind == "minimum-norm" else super().step_in_ball

    @property
    def masked(self) -> bool:
        """Whether it can leave some pixels of each image as they are: a suite if all of its members can."""
        members = {member for norm in self.searchable_norms for member in self.members_in(Norm(norm))}
        if members:
            return all(registry.build("attacks", member).masked for member in members)
        return self.kind not in ("spatial", "universal")

    def verdict_only(self) -> Self:
        """Return the attack that leaves an image at its first adversarial point, if it has the option ``stop``.

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
        """Return adversarial images: (N, H, W, C) in [0, 1], (N,) -> (N, H, W, C).

        Args:
            logits_fn: (N, H, W, C) -> (N, K) logits; each image is computed independently.
            images: the original images, which are the centres of the balls.
            labels: (N,) the classes to move away from.
            threat: the ball, and the target class if there is one.
            rng: the only source of random numbers.
        """


class DecisionAttack(Attack):
    """An attack that asks for the predicted class only: it goes from an adversarial image towards the original.

    To reach a class it needs an image of that class; without a target it finds an adversarial image itself.
    """

    kind: ClassVar[str] = "decision"

    @abstractmethod
    def __call__(
        self,
        logits_fn: Callable[[Tensor], Tensor],
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        rng: ImageRng,
        start: Tensor | None = None,
    ) -> Tensor:
        """Return adversarial images; ``start`` holds the images to start from: (N, H, W, C)."""


class Suite(Search):
    """Several attacks, run in turn; each attacks the images that no earlier one fooled."""

    @abstractmethod
    def members_in(self, norm: Norm) -> tuple[str, ...]:
        """Return the specs of the attacks for balls of a norm, in order; a task builds and runs them."""

    @property
    def needs(self) -> Access:
        """What its members must see of a model."""
        members = {member for norm in self.searchable_norms for member in self.members_in(Norm(norm))}
        return min((registry.build("attacks", member).needs for member in members), key=ACCESS_LEVELS.index)

    @abstractmethod
    def title(self, classes: int) -> str:
        """Return the name of the suite for a classifier with this number of classes."""


class Universal(Search):
    """One pattern for all images: crafted over many of them, applied to each.

    Crafting is a number of steps, of one batch each, on images at the classifier's own size. The
    pattern is then kept as a PNG file: what is applied is what ``from_png`` reads back, so that a
    pattern from a file does the same as one just crafted.

    ``steps`` is an option: how many batches crafting takes, going over the images as often as it has to.
    """

    steps: int

    @property
    def searches_as_training(self) -> bool:
        """Whether it searches as adversarial training does; one pattern for all images is another search."""
        return False

    @abstractmethod
    def start(self, size: tuple[int, int], channels: int) -> Nest:
        """Return the state before the first step: a nested structure of tensors whose shapes do not change.

        Args:
            size: height and width of the images in pixels.
            channels: the number of channels.
        """

    @abstractmethod
    def ascend(
        self,
        logits_fn: Callable[[Tensor], Tensor],
        state: Nest,
        images: Tensor,
        labels: Tensor,
        threat: Threat,
        rng: ImageRng,
    ) -> Nest:
        """Return the state after one gradient step on a batch: (N, H, W, C), (N,).

        Args:
            logits_fn: (N, H, W, C) -> (N, K) logits, each image for itself.
            state: the result of ``start`` or of the previous step.
            images: at the classifier's input size, in [0, 1].
            labels: (N,) the classes to move away from.
            threat: the ball, if the attack is bounded, and the target class if there is one.
            rng: one random stream an image, the same in every epoch; a step derives its own from it.
        """

    @abstractmethod
    def pattern(self, state: Nest) -> Tensor:
        """Return the perturbation: (H, W, C), or (H, W, C + 1) if its last channel is an opacity."""

    @abstractmethod
    def to_png(self, pattern: np.ndarray, threat: Threat) -> np.ndarray:
        """Quantize a perturbation to 8 bits: -> (H, W, 1 to 4) uint8."""

    @abstractmethod
    def from_png(self, pixels: np.ndarray, threat: Threat) -> np.ndarray:
        """Return the perturbation that a file holds: uint8 -> float32; ``to_png`` of it returns the same pixels."""

    @abstractmethod
    def apply(self, pattern: Tensor, images: Tensor, threat: Threat, rng: ImageRng) -> Tensor:
        """Apply a perturbation to images of any size: (N, H, W, C) in [0, 1] -> (N, H, W, C) in [0, 1].

        Args:
            pattern: the result of ``from_png``.
            images: all of one size, which may be unknown when this is traced.
            threat: the threat that the perturbation was optimised for.
            rng: one random stream an image.
        """
