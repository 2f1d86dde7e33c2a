"""Random augmentations of training images: one file an augmentation. Never part of a model or of an evaluation."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import ClassVar, Self

from advcli import registry
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.plugins import named_file
from advcli.threat.rng import ImageRng
from advcli.tracing import as_written

# Where a change stands, whatever the order it is asked for in.
STAGES = ("geometry", "colour", "noise")

ARTICLE = ("flip", "crop", "jitter", "gaussian", "poisson", "salt-pepper")


@dataclass(frozen=True)
class Augmentation(ABC):
    """A random change of images, drawn for each image by itself.

    A subclass sets ``stage``, and what differs from these values:

    ``stage``: one of ``STAGES``.
    ``covers``: the corruptions that do to test images what it does to training images; a noise covers itself.
    """

    stage: ClassVar[str]
    covers: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Return augmented images: (N, H, W, C) float32 in [0, 1] -> (N, H, W, C); the caller clips them to [0, 1].

        Args:
            images: of any size, with one channel or three.
            rng: the only source of random numbers, one stream an image.
        """

    def on_all(self) -> Self:
        """Return the same change made to every image, where the option ``probability`` leaves some as they are."""
        chances = {field.name for field in fields(self)} & {"probability"}
        return replace(self, **dict.fromkeys(chances, 1.0))


def noise_augmentations() -> list[str]:
    """Return the names of the augmentations that add noise."""
    return [
        name for name in registry.names("augmentations") if registry.component("augmentations", name).stage == "noise"
    ]


def read(text: str, usual: Sequence[str]) -> tuple[str, ...]:
    """Read ``--augment``: ``auto``, ``article``, ``none``, or a list such as ``flip,jitter:strength=0.4``.

    Args:
        text: the value of the option.
        usual: the augmentations that ``auto`` means for the data.

    Returns:
        The specs, in the order in which they are applied.

    Raises:
        UsageError: an item is not an augmentation, or is given twice.
    """
    if text.strip().lower() in ("auto", "article", "none"):
        specs = {"auto": tuple(usual), "article": ARTICLE, "none": ()}[text.strip().lower()]
    else:
        # A comma also parts the options of one augmentation: what follows it is then key=value.
        specs = tuple(part.strip() for part in re.split(r",(?!\s*[\w-]+=)", text) if part.strip())
        if not specs:
            raise UsageError("--augment is empty", "give none for no augmentation")
        if whole := {"auto", "article", "none"} & {spec.lower() for spec in specs}:
            raise UsageError(f"'{whole.pop()}' cannot be part of a list", "name the augmentations one by one")
    for file in filter(None, map(named_file, specs)):
        raise UsageError(f"'{file}' is a file", "--augment takes names; install the file as a package")
    names = [registry.canonical(spec) for spec in specs]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"augmentation '{name}' is given twice", "leave one out")
    built = {spec: registry.build("augmentations", spec) for spec in specs}
    return tuple(sorted(specs, key=lambda spec: STAGES.index(built[spec].stage)))


@as_written
def augmented(specs: Sequence[str], images: Tensor, rng: ImageRng) -> Tensor:
    """Apply augmentations in turn, each with its own random numbers: (N, H, W, C) -> (N, H, W, C), both in [0, 1]."""
    for spec in specs:
        # By name, so that what one augmentation draws does not depend on which others there are.
        changed = registry.build("augmentations", spec)(images, rng.named(registry.canonical(spec)))
        images = tf.clip_by_value(changed, 0.0, 1.0)
    return images
