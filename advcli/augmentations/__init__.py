"""Random augmentations of training images: one file an augmentation. Never part of a model or of an evaluation."""

import re
from collections.abc import Sequence
from typing import ClassVar, Protocol

from advcli import registry
from advcli.backend import Tensor, as_written, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng

# The order in which augmentations are applied, whatever the order of the option.
STAGES = ("geometry", "colour", "noise")

ARTICLE = ("flip", "crop", "jitter", "gaussian", "poisson", "salt-pepper")


class Augmentation(Protocol):
    """A random change of images, independent for each image.

    ``stage`` is one of ``STAGES``.
    """

    stage: ClassVar[str]

    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Return augmented images: (N, H, W, C) float32 in [0, 1] -> (N, H, W, C); the caller clips them to [0, 1].

        Args:
            images: of any size, with one channel or three.
            rng: the only source of random numbers, one stream an image.
        """
        ...


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
        # A comma also separates the options of one augmentation: the next item is then key=value.
        specs = tuple(part.strip() for part in re.split(r",(?!\s*[\w-]+=)", text) if part.strip())
        if not specs:
            raise UsageError("--augment is empty", "give none for no augmentation")
        if whole := {"auto", "article", "none"} & {spec.lower() for spec in specs}:
            raise UsageError(f"'{whole.pop()}' cannot be part of a list", "name the augmentations one by one")
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
        # By name, so that an augmentation's random numbers do not depend on the other augmentations.
        changed = registry.build("augmentations", spec)(images, rng.named(registry.canonical(spec)))
        images = tf.clip_by_value(changed, 0.0, 1.0)
    return images
