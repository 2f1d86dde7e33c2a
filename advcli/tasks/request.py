"""How an attack on image files is asked for."""

from collections.abc import Collection
from dataclasses import dataclass

from advcli.threat import Threat

# What can be written of an image -> the ending of its file.
ENDINGS = {"adversarial": ".adv.png", "clean": ".clean.png", "difference": ".diff.png"}
PATTERN_ENDING = ".pattern.png"


@dataclass(frozen=True)
class Request:
    """How an attack on files is asked for.

    Args:
        spec: what the attack is called in records.
        threat: the ball; it is narrowed to 8-bit values.
        label: the class to move away from; None means what the classifier sees in each image.
        resize: bring the images to the classifier's size first.
        minimal: search for the smallest radius that fools, up to that of the threat.
        save: which of ``ENDINGS`` are written.
        batch: how many images of one size are attacked together.
        seed: for the attack's random draws.
    """

    spec: str
    threat: Threat
    label: int | None = None
    resize: bool = False
    minimal: bool = False
    save: Collection[str] = ("adversarial",)
    batch: int = 16
    seed: int = 0
