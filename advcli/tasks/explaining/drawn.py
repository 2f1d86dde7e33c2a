"""Single maps as pictures."""

from dataclasses import dataclass

import numpy as np

from advcli import registry
from advcli.report.maps import diverging, overlay, scale_of, sequential, translucent
from advcli.tasks.explaining.explanation import Explanation, Map
from advcli.tasks.explaining.request import PARTS, SLOPES
from advcli.tasks.explaining.views import View


@dataclass(frozen=True)
class Drawn:
    """One map, or one sign of it, as a picture: its name, its values, its greatest one, and what is its brightest."""

    part: str
    map: Map
    values: np.ndarray
    maximum: float
    scale: float

    def pixels(self, view: View) -> np.ndarray | None:
        """Draw it on the view it explains: -> (edge, edge, C) uint8; None if there is nothing to show."""
        if not self.map.evidence:
            return None
        if self.map.kind == "picture":
            return np.rint(self.values * 255).clip(0, 255).astype(np.uint8)
        if self.map.kind == "map":
            return overlay(self.values, self.scale, view.picture, self.map.signed)
        return self.film()

    def film(self) -> np.ndarray | None:
        """Draw it alone, to be laid over its view: -> (edge, edge, 3 or 4) uint8; None if there is nothing to lay."""
        if not self.map.evidence or self.map.kind == "picture":
            return None
        if self.map.kind == "map":
            return translucent(self.values, self.scale, self.map.signed)
        if self.map.signed and self.part == self.map.method:
            return diverging(self.values, self.scale)
        return sequential(self.values, self.scale)

    @property
    def detail(self) -> str:
        """What a reader needs to know to read the picture."""
        if self.map.shown is not None:
            return f"{self.map.shown.layer} {self.map.shown.rows} x {self.map.shown.columns}"
        if self.map.kind == "picture":
            return "what the class looks like"
        if self.part.endswith("-positive"):
            return "brighter here, more likely"
        if self.part.endswith("-negative"):
            return "darker here, more likely"
        if registry.canonical(self.map.method) in SLOPES:
            return "orange: brighter, more likely"
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
    scale = scale_of(values) if scale is None else scale
    if found.method not in PARTS:
        return [Drawn(found.method, found, values, float(values.max()), scale)]
    # Both parts on one scale, so that the brighter of two pictures is the stronger one.
    return [
        Drawn(part, found, sign, float(max(sign.max(), 0)), scale)
        for part, sign in zip(PARTS[found.method], (values, -values), strict=True)
    ]


def shared_scales(explanation: Explanation) -> dict[str, float]:
    """Choose one scale a method for all maps of an image: what is the brightest in the strongest of them."""
    scales: dict[str, float] = {}
    for found in explanation.maps:
        scales[found.method] = max(scales.get(found.method, 0.0), scale_of(found.relevance))
    return scales
