"""Explanations as pictures: single maps, and the rows of a contact sheet."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from advcli import registry
from advcli.records import Prediction, Shift
from advcli.report.difference import amplification, enlarged
from advcli.report.maps import BETWEEN_CLASSES, diverging, overlay, scale_of, sequential, translucent
from advcli.report.sheet import Panel, Row, Sheet, percent
from advcli.tasks.explaining.explanation import Explanation, Map
from advcli.tasks.explaining.request import PARTS, SLOPES
from advcli.tasks.explaining.views import View

NO_EVIDENCE = "no evidence:\nthe map is the same\nat every pixel"


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


def sheet(title: str, explanations: Sequence[Explanation], shared_scale: bool, notes: Sequence[str] = ()) -> Sheet:
    """Put one or several models' explanations of one image on a contact sheet."""
    methods = list(dict.fromkeys(found.method for each in explanations for found in each.maps))
    rows = [row for each in explanations for row in _rows(each, methods, len(explanations) > 1, shared_scale)]
    return Sheet(title, rows, notes)


def _rows(explanation: Explanation, methods: Sequence[str], named: bool, shared_scale: bool) -> list[Row]:
    scales = shared_scales(explanation) if shared_scale else {}
    first: dict[str, float] = {}
    rows: list[Row] = []
    shown: set[str] = set()
    for question in dict.fromkeys(found.question for found in explanation.maps):
        view = explanation.view(question.wanted.view)
        panels = [_picture(explanation, view, question.index, question.against, named)]
        for method in methods:
            place = next(
                (i for i, m in enumerate(explanation.maps) if m.question == question and m.method == method), None
            )
            if place is None:
                panels += [
                    Panel(None, part, note="cannot explain\nthis model") for part in PARTS.get(method, (method,))
                ]
                continue
            for picture in drawn(explanation, place, scales.get(method)):
                panels.append(_panel(picture, view, first.get(picture.part)))
                first.setdefault(picture.part, picture.maximum)
        if explanation.pair is not None:
            panels += _flip_panels(explanation, len(rows))
        repeated = view.name in shown
        rows.append(
            Row(
                panels,
                _likely(explanation, view, question.index),
                question.index,
                explanation.origin,
                explanation.views[-1].predicted if explanation.views[-1].predicted != explanation.origin else None,
                shift_lines(explanation, question) if repeated else (),
            )
        )
        shown.add(view.name)
    return rows


def _picture(explanation: Explanation, view: View, index: int, against: int | None, named: bool) -> Panel:
    labels = explanation.classifier.labels
    title = f"{explanation.classifier.name}: {view.name}" if named else view.name
    detail = f"{view.size[1]} x {view.size[0]} pixels"
    if view.name != "clean" and explanation.pair is not None:
        held = view.predicted == explanation.origin
        detail = explanation.pair.radius + (", not fooled" if held else "")
    caption = f"explained as {labels[index]}"
    if against is not None:
        caption += f"\nrather than {labels[against]}"
    elif explanation.true == index:
        caption += "\n(the true class)"
    return Panel(view.picture, title, detail, caption)


def _panel(picture: Drawn, view: View, clean: float | None) -> Panel:
    pixels = picture.pixels(view)
    if picture.map.kind == "picture":
        return Panel(pixels, picture.part, picture.detail)
    caption = f"max {picture.maximum:.3g}"
    if clean is not None and clean > 0 and view.name != "clean":
        caption += f" (x{picture.maximum / clean:.2g} of clean)"
    if picture.map.moved is not None and picture.map.floor is not None:
        caption += f"\nrank correlation {picture.map.moved.spearman:.2f}, noise {picture.map.floor.spearman:.2f}"
    return Panel(
        pixels, picture.part, picture.detail, caption if pixels is not None else "", NO_EVIDENCE, picture.film()
    )


def _flip_panels(explanation: Explanation, row: int) -> list[Panel]:
    """Show the perturbation beside the clean image, and why it fools beside the adversarial one."""
    clean, adversarial = explanation.views[0], explanation.views[-1]
    if row == 0:
        times = amplification(adversarial.seen - clean.seen)
        pixels = enlarged(clean.picture, adversarial.picture, times)
        return [Panel(pixels, "perturbation", "about middle grey", f"times {times:g}")]
    flip = explanation.flip
    if flip is None or row > 2:
        return []
    labels = explanation.classifier.labels
    origin, wrong = labels[explanation.origin], labels[adversarial.predicted]
    if row == 1:
        pixels = diverging(flip.relevance, scale_of(flip.relevance), BETWEEN_CLASSES)
        caption = f"sum {flip.relevance.sum():.3g}: the margin went from\n{flip.before:.3g} to {flip.after:.3g}"
        return [Panel(pixels, "flip map", f"red: made it {wrong}", caption)]
    if flip.restored is None or flip.share is None:
        return [Panel(None, "flip map", "", "", "no share of its pixels\nput back restores\n" + origin)]
    pixels = np.rint(flip.restored * 255).clip(0, 255).astype(np.uint8)
    caption = f"restores {origin}" + (f"\n({percent(flip.confidence)})" if flip.confidence else "")
    return [Panel(pixels, f"{percent(flip.share)} of the pixels back", "those most red in the flip map", caption)]


def _likely(explanation: Explanation, view: View, explained: int) -> list[Prediction]:
    likely = list(explanation.classifier.top(view.probabilities))
    # A class that is the likeliest in one view, the true one and the explained one are looked for in the other.
    wanted = [*(other.predicted for other in explanation.views), explanation.origin, explained]
    missing = [index for index in dict.fromkeys(wanted) if index not in (item.index for item in likely)]
    return [*likely, *(explanation.classifier.prediction(view.probabilities, index) for index in missing)]


def shift_lines(explanation: Explanation, question: object) -> list[str]:
    """Write how far the maps of one question moved, and in brackets how far noise of that size moves them."""
    lines = []
    for found in explanation.maps:
        if found.question == question and found.moved is not None and found.floor is not None:
            lines.append(f"{found.method}: moved (noise)")
            lines += [f"  {line}" for line in compared(found.moved, found.floor)]
    return lines


def compared(moved: Shift, floor: Shift) -> list[str]:
    """Write the four numbers of a shift with those of noise beside them."""
    return [
        f"rank correlation {moved.spearman:.2f} ({floor.spearman:.2f})",
        f"SSIM {moved.ssim:.2f} ({floor.ssim:.2f})",
        f"top 10% in common {moved.overlap:.2f} ({floor.overlap:.2f})",
        f"centre moved {moved.distance:.1%} ({floor.distance:.1%})",
    ]
