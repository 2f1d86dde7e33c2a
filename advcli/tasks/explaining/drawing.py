"""Explanations as the rows of a contact sheet."""

from collections.abc import Sequence

from advcli.data import to_eight_bits
from advcli.records import Prediction
from advcli.report.difference import amplification, enlarged
from advcli.report.maps import BETWEEN_CLASSES, diverging, scale_of
from advcli.report.sheet import Panel, Row, Sheet, percent
from advcli.tasks.explaining.captions import map_caption, missed, shift_lines
from advcli.tasks.explaining.drawn import drawn, shared_scales
from advcli.tasks.explaining.explanation import Explanation
from advcli.tasks.explaining.request import PARTS
from advcli.tasks.explaining.views import View

NO_EVIDENCE = "no evidence:\nthe map is the same\nat every pixel"


def sheet(title: str, explanations: Sequence[Explanation], shared_scale: bool, notes: Sequence[str] = ()) -> Sheet:
    """Put one or several models' explanations of one image on a contact sheet."""
    methods = list(dict.fromkeys(found.method for each in explanations for found in each.maps))
    rows = [row for each in explanations for row in _rows(each, methods, len(explanations) > 1, shared_scale)]
    return Sheet(title, rows, notes)


def _rows(explanation: Explanation, methods: Sequence[str], named: bool, shared_scale: bool) -> list[Row]:
    scales = shared_scales(explanation) if shared_scale else {}
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
                pixels = picture.pixels(view)
                said = map_caption(explanation, picture) if pixels is not None else ""
                panels.append(Panel(pixels, picture.part, picture.detail, said, NO_EVIDENCE, picture.film()))
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
                _blue(explanation),
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


def _blue(explanation: Explanation) -> str:
    """Say what the class in blue is."""
    if explanation.true is not None:
        return "blue: true"
    return "blue: predicted" if explanation.pair is None else "blue: predicted when clean"


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
        caption = f"blue: kept it {origin}\nsum {flip.relevance.sum():.3g}: the margin went from"
        caption += f"\n{flip.before:.3g} to {flip.after:.3g}, {missed(flip.completeness)}"
        return [Panel(pixels, "flip map", f"red: made it {wrong}", caption)]
    if flip.restored is None or flip.share is None:
        return [Panel(None, "flip map", "", "", "no share of its pixels\nput back restores\n" + origin)]
    pixels = to_eight_bits(flip.restored)
    caption = f"restores {origin}" + (f"\n({percent(flip.confidence)})" if flip.confidence else "")
    return [Panel(pixels, f"{percent(flip.share)} of the pixels back", "those most red in the flip map", caption)]


def _likely(explanation: Explanation, view: View, explained: int) -> list[Prediction]:
    likely = list(explanation.classifier.top(view.probabilities))
    # A class that is the likeliest in one view, the true one and the explained one are looked for in the other.
    wanted = [*(other.predicted for other in explanation.views), explanation.origin, explained]
    missing = [index for index in dict.fromkeys(wanted) if index not in (item.index for item in likely)]
    return [*likely, *(explanation.classifier.prediction(view.probabilities, index) for index in missing)]
