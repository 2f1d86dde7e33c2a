"""What ``advcli attack`` reports."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.records.base import Prediction, Record

LENGTHS = "pixel values in [0, 1]"
# Where a radius counts pixels.
COUNTED = f"eps and l0 in pixels, others in {LENGTHS}"


@dataclass(frozen=True, kw_only=True)
class MemberVerdict:
    """What one model of several sees in an image that was crafted on all of them."""

    model: str
    before: Prediction
    after: Prediction
    fooled: bool


@dataclass(frozen=True, kw_only=True)
class Attacked(Record):
    """One image attacked; predictions and sizes are measured on the 8-bit pixels of ``output``.

    ``norm`` and ``eps`` are null for an attack that has no radius; with ``minimal`` the radius is the
    smallest that fooled. ``lengths`` is the unit of ``eps``, of the sizes and of lengths in ``attack``. ``l0`` counts
    the pixels that differ in any channel.
    ``mask`` is the file, or the folder, that says which pixels may change, and ``mask_share`` their share of the image.
    ``queries`` counts the images that the model classified for this attack; 0 if it was crafted on a ``surrogate``.
    ``ensemble`` has a verdict for each model if the image was crafted on several; the other fields are about the first.
    ``start`` is the image of the target class that the attack started from, if there is one.
    """

    type: ClassVar[str] = "attacked"

    image: str
    output: str | None
    attack: str
    norm: str | None
    eps: float | None
    minimal: bool
    target: str | None
    target_index: int | None
    label: str
    before: Prediction
    after: Prediction
    before_top: tuple[Prediction, ...]
    after_top: tuple[Prediction, ...]
    fooled: bool
    linf: float
    l2: float
    l1: float
    pattern: str | None
    clean_output: str | None
    difference_output: str | None
    difference_times: float | None
    queries: int
    seconds: float
    lengths: str = LENGTHS
    surrogate: str | None = None
    ensemble: tuple[MemberVerdict, ...] = ()
    start: str | None = None
    l0: int | None = None
    mask: str | None = None
    mask_share: float | None = None


@dataclass(frozen=True, kw_only=True)
class Crafted(Record):
    """One universal perturbation crafted over many images, and its file."""

    type: ClassVar[str] = "crafted"

    output: str
    attack: str
    norm: str | None
    eps: float | None
    target: str | None
    images: int
    seconds: float
    lengths: str = LENGTHS
