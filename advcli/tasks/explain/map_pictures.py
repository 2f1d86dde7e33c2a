"""Maps as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advcli.data.dataset import to_eight_bits
from advcli.report.maps import diverging, overlay, scale_of, sequential, translucent
from advcli.tasks.explain.explanation import Map, View


@dataclass(frozen=True, eq=False)
class MapPicture:
    """One map, or one sign of it, as a picture.

    Args:
        part: its name.
        sign: 1, or -1 where the negative values are shown.
        map: the map.
        scale: the value that is shown brightest.
        shared: whether other maps have the same scale.
    """

    part: str
    sign: int
    map: Map
    scale: float
    shared: bool = False

    @property
    def values(self) -> np.ndarray:
        """The values shown: (H, W); a picture's (H, W, C)."""
        return self.sign * self.map.relevance

    @property
    def two_sided(self) -> bool:
        """Whether both signs are in the one picture."""
        return self.map.explainer.signed and not self.map.explainer.split_signs

    @property
    def maximum(self) -> float:
        """The greatest value, or the greatest magnitude where both signs are in the picture."""
        return self._greatest(self.values)

    @property
    def clean_maximum(self) -> float | None:
        """The same of the clean image's map of this class; None where that was not computed."""
        return None if self.map.clean is None else self._greatest(self.sign * self.map.clean)

    def pixels(self, view: View) -> np.ndarray | None:
        """Draw it on the view it explains: -> (H, W, C) uint8; None if the map is the same everywhere."""
        if not self.map.evidence:
            return None
        if self.map.explainer.kind == "picture":
            return to_eight_bits(self.values)
        values = view.whole.stretch(self.values)
        if self.map.explainer.kind == "map":
            return view.whole.lay(overlay(values, self.scale, view.whole.seen, self.map.explainer.signed))
        return view.whole.lay(self._coloured(values))

    def film(self, view: View) -> np.ndarray | None:
        """Draw it alone, to lay it over its view: -> (H, W, 3 or 4) uint8; None where there is nothing to lay."""
        if not self.map.evidence or self.map.explainer.kind == "picture":
            return None
        return view.whole.clear_around(self._coloured(view.whole.stretch(self.values)))

    @property
    def detail(self) -> str:
        """What the values and colours mean."""
        explainer = self.map.explainer
        if self.map.shown is not None:
            return f"{self.map.shown.layer} {self.map.shown.rows} x {self.map.shown.columns}"
        if explainer.kind == "picture":
            return "the image with the highest logit"
        if explainer.is_derivative and not self.two_sided:
            return "brighter here, more likely" if self.sign > 0 else "darker here, more likely"
        if explainer.is_derivative:
            return "likelier: orange brighter, blue darker"
        if self.two_sided:
            return "orange for, blue against the class"
        return "against the class" if self.sign < 0 else "relevant here"

    def _coloured(self, values: np.ndarray) -> np.ndarray:
        if self.map.explainer.kind == "map":
            return translucent(values, self.scale, self.map.explainer.signed)
        return diverging(values, self.scale) if self.two_sided else sequential(values, self.scale)

    def _greatest(self, values: np.ndarray) -> float:
        return float(np.abs(values).max() if self.two_sided else max(values.max(), 0))


def map_pictures(found: Map, scale: float | None = None) -> list[MapPicture]:
    """Make the pictures of one map, one a sign where its explainer says so, on one scale.

    Args:
        found: the map.
        scale: the value that is shown brightest; None means the map's own.
    """
    chosen = scale_of(found.relevance) if scale is None else scale
    signs = (1, -1) if found.explainer.split_signs else (1,)
    return [
        MapPicture(part, sign, found, chosen, scale is not None)
        for part, sign in zip(found.explainer.parts(found.method), signs, strict=True)
    ]


def shared_scales(maps: Sequence[Map]) -> dict[str, float]:
    """Choose one scale a method for all maps of an image: the brightest value of the strongest of them."""
    scales: dict[str, float] = {}
    for found in maps:
        scales[found.method] = max(scales.get(found.method, 0.0), scale_of(found.relevance))
    return scales
