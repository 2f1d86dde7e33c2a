"""What ``advcli explain`` reports."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.records.base import Prediction, Record


@dataclass(frozen=True, kw_only=True)
class Explained(Record):
    """One map of what one class of one image rests on; ``layer`` is the one shown, if not the pixels."""

    type: ClassVar[str] = "explained"

    image: str
    view: str
    method: str
    layer: str | None
    label: str
    index: int
    confidence: float
    maximum: float
    output: str
    sheet: str
    top: tuple[Prediction, ...]
    seconds: float
