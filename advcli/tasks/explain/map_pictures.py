"""Maps as pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advcli.data.decoded import to_eight_bits
from advcli.explainers import Explainer
from advcli.report.maps import (
    ends,
    overlay,
    overlay_specks,
    scale_of,
    spread,
    translucent,
    translucent_specks,
)
from advcli.report.sheet import Line, Word
from advcli.tasks.explain.explanation import Map, View


@dataclass(frozen=True, eq=False)
class MapPicture:
    """One map, or one sign of it, as a picture.

    Args:
        part: its name.
        sign: 1, or -1 where the negative values are shown.
        map: the map.
        scale: the value that is shown brightest, of those that are drawn.
        shared: whether other maps have the same scale.
    """

    part: str
    sign: int
    map: Map
    scale: float
    shared: bool = False

    @property
    def values(self) -> np.ndarray:
        """The values of the map: (H, W); a picture's (H, W, C)."""
        return self.sign * self.map.relevance

    @property
    def shown(self) -> np.ndarray:
        """The values that are drawn: (H, W); single pixels are spread so that they can be seen."""
        return _shown(self.map, self.sign)

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
        lay = overlay if self.map.explainer.kind == "map" else overlay_specks
        values = view.whole.stretch(self.shown)
        return view.whole.lay(lay(values, self.scale, view.whole.seen, self._signed))

    def film(self, view: View) -> np.ndarray | None:
        """Draw it alone, to lay it over its view: -> (H, W, 4) uint8; None where there is nothing to lay."""
        if not self.map.evidence or self.map.explainer.kind == "picture":
            return None
        colour = translucent if self.map.explainer.kind == "map" else translucent_specks
        return view.whole.clear_around(colour(view.whole.stretch(self.shown), self.scale, self._signed))

    @property
    def caption(self) -> Line:
        """What the values and colours mean, in one line."""
        explainer = self.map.explainer
        if explainer.kind == "picture":
            return (Word("the image with the highest logit"),)
        if self.map.shown is not None:
            cells = f"{self.map.shown.rows} x {self.map.shown.columns} cells"
            return Word(f"{self.map.shown.layer},", is_name=True), Word(cells)
        if self.two_sided:
            positive, negative = ends()
            texts = ("if brighter", "if darker") if explainer.is_derivative else ("for the class", "against it")
            first = (Word("likelier"),) if explainer.is_derivative else ()
            return (*first, Word(texts[0], positive), Word(texts[1], negative))
        if explainer.is_derivative:
            return (Word(f"likelier if {'brighter' if self.sign > 0 else 'darker'} here"),)
        return (Word("against the class" if self.sign < 0 else "relevant for the class"),)

    @property
    def _signed(self) -> bool:
        return self.two_sided if self.map.explainer.kind == "pixels" else self.map.explainer.signed

    def _greatest(self, values: np.ndarray) -> float:
        return float(np.abs(values).max() if self.two_sided else max(values.max(), 0))


def map_pictures(found: Map, scale: float | None = None) -> list[MapPicture]:
    """Make the pictures of one map, one a sign where its explainer says so, on one scale.

    Args:
        found: the map.
        scale: the value that is shown brightest; None means the map's own.
    """
    chosen = _scale(found) if scale is None else scale
    return [
        MapPicture(part, sign, found, chosen, scale is not None)
        for part, sign in zip(found.explainer.parts(found.method), _signs(found.explainer), strict=True)
    ]


def shared_scales(maps: Sequence[Map]) -> dict[str, float]:
    """Choose one scale a method for all maps of an image: the brightest value of the strongest of them."""
    scales: dict[str, float] = {}
    for found in maps:
        scales[found.method] = max(scales.get(found.method, 0.0), _scale(found))
    return scales


def _signs(explainer: Explainer) -> tuple[int, ...]:
    return (1, -1) if explainer.split_signs else (1,)


def _shown(found: Map, sign: int) -> np.ndarray:
    values = sign * found.relevance
    if found.explainer.kind != "pixels":
        return values
    return spread(values if found.explainer.signed and not found.explainer.split_signs else np.maximum(values, 0))


def _scale(found: Map) -> float:
    """Return the value that is shown brightest, the same for both signs."""
    if found.explainer.kind == "picture":
        return 1.0
    return max(scale_of(_shown(found, sign)) for sign in _signs(found.explainer))
