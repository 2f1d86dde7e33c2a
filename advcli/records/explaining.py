"""What ``advcli explain`` reports."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.records.base import Prediction, Record


@dataclass(frozen=True)
class Shift:
    """How alike two maps are.

    Args:
        spearman: correlation of the pixels' ranks, 1 where the order is the same.
        ssim: structural similarity, 1 where the maps are equal.
        overlap: intersection over union of the top tenths; 0.053 by chance.
        distance: between the centres of mass, as a share of the diagonal.
    """

    spearman: float
    ssim: float
    overlap: float
    distance: float


@dataclass(frozen=True, kw_only=True)
class Explained(Record):
    """One map of what one class of one image rests on; ``layer`` is the one shown, if not the pixels.

    ``role`` says why this class is explained; with ``against`` it is the lead over that class. A map
    without ``evidence`` is the same everywhere. ``maximum`` is the greatest magnitude of a map whose both
    signs are in one picture. ``shift`` compares an adversarial image's map with the clean image's map of
    the class it is of, and ``noise_floor`` does so for random signs as large as the
    perturbation. ``output`` and ``raw`` are null unless separate maps and raw values are written.
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
    """Why one adversarial image fools: how far its margin moved, and how few pixels put back undo it.

    ``margin_before`` and ``margin_after`` are logits of the wrong class less those of the other;
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
    """How far one method's maps moved over the images of one group: medians, and their quartiles.

    ``group`` is ``right`` (still right under attack), ``fooled`` (right until attacked) or ``wrong``
    (never right); where no truth is known the model's own prediction is taken for it. ``explained``
    says which class of the adversarial image the map is of, ``predicted`` or ``original``.
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
    """Whether one method's maps of a model are to be believed: means over some images.

    ``deletion`` and ``insertion`` stand beside those of a random map. ``randomized`` and
    ``other_class`` are rank correlations with the map of the model whose upper half has random
    weights, and with the map of the second class. The verdict is ``fail`` where one of them says that
    the map does not depend on what it should, ``weak`` where pixels are ranked no better than by
    chance, else ``pass``.
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
