"""What ``advcli explain`` reports."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.records.base import Prediction, Record

# The groups of images in records -> the words that people read.
OUTCOME_WORDS = {"right": "correct", "fooled": "fooled", "wrong": "incorrect"}


@dataclass(frozen=True)
class Shift:
    """The similarity of two maps.

    Args:
        spearman: rank correlation of the pixels, 1 if the order is the same.
        ssim: structural similarity, 1 if the maps are equal.
        overlap: intersection over union of the top tenths; 0.053 by chance.
        distance: between the centres of mass, as a share of the diagonal.
    """

    spearman: float
    ssim: float
    overlap: float
    distance: float


@dataclass(frozen=True, kw_only=True)
class Explained(Record):
    """The map of one class of one image; ``layer`` is null for a map of the pixels.

    ``role`` is why this class is explained; with ``against`` the map explains the lead over that class. A map
    without ``evidence`` is constant. ``maximum`` is the largest value, or the largest magnitude of a map that
    shows both signs in one picture. ``shift`` compares an adversarial image's map with the clean image's map of
    the true class, and ``noise_floor`` does the same for random signs of the perturbation's
    size. ``output`` and ``raw`` are null unless separate maps and raw values are written.
    """

    type: ClassVar[str] = "explained"

    image: str
    view: str
    method: str
    layer: str | None
    label: str
    index: int
    confidence: float
    maximum: float
    output: str | None
    sheet: str
    top: tuple[Prediction, ...]
    seconds: float
    role: str = "predicted"
    true: str | None = None
    against: str | None = None
    evidence: bool = True
    map_size: tuple[int, int] | None = None
    layer_reason: str | None = None
    head: str = ""
    completeness: float | None = None
    shift: Shift | None = None
    noise_floor: Shift | None = None
    raw: str | None = None


@dataclass(frozen=True, kw_only=True)
class Flipped(Record):
    """The cause of one misclassification: the change of the margin, and the fewest restored pixels that undo it.

    ``margin_before`` and ``margin_after`` are the logit of the wrong class minus the logit of the original class;
    ``completeness`` is the share of their difference that the map's sum misses. ``restored_share`` is
    the smallest share found, null if no share restores the prediction.
    """

    type: ClassVar[str] = "flipped"

    image: str
    attack: str | None
    norm: str | None
    eps: float | None
    linf: float
    l2: float
    before: Prediction
    after: Prediction
    margin_before: float
    margin_after: float
    completeness: float
    restored_share: float | None
    restored: Prediction | None
    monotone: bool
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Shifted(Record):
    """The similarity of one method's adversarial and clean maps over a group of images: medians and quartiles.

    ``group`` is ``right`` (correct under attack), ``fooled`` (correct only when clean) or ``wrong``
    (incorrect when clean); without a true class the model's clean prediction replaces it. ``explained``
    is the class of the adversarial image that is explained, ``predicted`` or ``original``.
    """

    type: ClassVar[str] = "shifted"

    method: str
    group: str
    explained: str
    images: int
    flat: int
    spearman: float
    spearman_quartiles: tuple[float, float]
    ssim: float
    overlap: float
    distance: float
    noise_spearman: float | None
    noise_ssim: float | None
    noise_overlap: float | None
    noise_distance: float | None
    restored_share: float | None
    truth: str


@dataclass(frozen=True, kw_only=True)
class Trusted(Record):
    """The sanity check of one method's maps of a model: means over some images.

    ``random_deletion`` and ``random_insertion`` are the same for a random map. ``randomized`` and
    ``other_class`` are rank correlations with the map of the model whose upper half has random
    weights, and with the map of the second class. The verdict is ``fail`` if one of them shows that
    the map does not depend on the weights or the class, ``weak`` if it ranks pixels no better than a
    random map, otherwise ``pass``.
    """

    type: ClassVar[str] = "trusted"

    method: str
    images: int
    deletion: float
    insertion: float
    random_deletion: float
    random_insertion: float
    randomized: float | None
    other_class: float | None
    completeness: float | None
    verdict: str
    reasons: tuple[str, ...]
    cached: bool
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Layer(Record):
    """One layer whose output can be shown as a map."""

    type: ClassVar[str] = "layer"

    layer: str
    kind: str
    rows: int
    columns: int
    channels: int
    chosen: bool
    reason: str
