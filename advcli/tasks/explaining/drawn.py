"""Single maps as pictures."""

from dataclasses import dataclass

import numpy as np

from advcli import registry
from advcli.data import to_eight_bits
from advcli.report.maps import diverging, overlay, scale_of, sequential, translucent
from advcli.tasks.explaining.explanation import Explanation, Map
from advcli.tasks.explaining.request import PARTS, SLOPES
from advcli.tasks.explaining.views import View


@dataclass(frozen=True)
class Drawn:
    """One map, or one sign of it, as a picture.

    Args:
        part: its name.
        map: what it is of.
        values: (edge, edge), or a picture's (edge, edge, C).
        maximum: the greatest value, or the greatest magnitude where both signs are in the picture.
        scale: what is shown as the brightest.
        shared: whether other maps have the same scale.
        clean: the same as ``maximum`` of the clean image's map of this class; None if that is not there.
    """

    part: str
    map: Map
    values: np.ndarray
    maximum: float
    scale: float
    shared: bool = False
    clean: float | None = None

    @property
    def two_sided(self) -> bool:
        """Whether both signs are in the one picture."""
        return self.map.signed and self.part == self.map.method

    def pixels(self, view: View) -> np.ndarray | None:
        """Draw it on the view it explains: -> (edge, edge, C) uint8; None if there is nothing to show."""
        if not self.map.evidence:
            return None
        if self.map.kind == "picture":
            return to_eight_bits(self.values)
        if self.map.kind == "map":
            return overlay(self.values, self.scale, view.picture, self.map.signed)
        return self.film()

    def film(self) -> np.ndarray | None:
        """Draw it alone, to be laid over its view: -> (edge, edge, 3 or 4) uint8; None if there is nothing to lay."""
        if not self.map.evidence or self.map.kind == "picture":
            return None
        if self.map.kind == "map":
            return translucent(self.values, self.scale, self.map.signed)
        if self.two_sided:
            return diverging(self.values, self.scale)
        return sequential(self.values, self.scale)

    @property
    def detail(self) -> str:
        """What a reader needs to know to read the picture."""
        if self.map.shown is not None:
            return f"{self.map.shown.layer} {self.map.shown.rows} x {self.map.shown.columns}"
        if self.map.kind == "picture":
            return "what the network most likes to see"
        if self.part.endswith("-positive"):
            return "brighter here, more likely"
        if self.part.endswith("-negative"):
            return "darker here, more likely"
        if registry.canonical(self.map.method) in SLOPES:
            return "likelier: orange brighter, blue darker"
        return "orange for the class, blue against" if self.map.signed else "what matters here"


def drawn(explanation: Explanation, number: int, scale: float | None = None) -> list[Drawn]:
    """Make the pictures of one map: saliency makes two, on one scale.

    Args:
        explanation: which it belongs to.
        number: its place among the explanation's maps.
        scale: what is shown as the brightest; None means what suits it.
    """
    found = explanation.maps[number]
    values = found.relevance
    shared = scale is not None
    scale = scale_of(values) if scale is None else scale

    def made(part: str, sign: int) -> Drawn:
        both = found.signed and part == found.method
        clean = None if found.clean is None else _greatest(sign * found.clean, both)
        return Drawn(part, found, sign * values, _greatest(sign * values, both), scale, shared, clean)

    if found.method not in PARTS:
        return [made(found.method, 1)]
    # Both parts on one scale, so that the brighter of two pictures is the stronger one.
    return [made(part, sign) for part, sign in zip(PARTS[found.method], (1, -1), strict=True)]


def _greatest(values: np.ndarray, both_signs: bool) -> float:
    return float(np.abs(values).max() if both_signs else max(values.max(), 0))


def shared_scales(explanation: Explanation) -> dict[str, float]:
    """Choose one scale a method for all maps of an image: what is the brightest in the strongest of them."""
    scales: dict[str, float] = {}
    for found in explanation.maps:
        scales[found.method] = max(scales.get(found.method, 0.0), scale_of(found.relevance))
    return scales
