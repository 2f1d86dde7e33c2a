"""Explanations as the rows of a contact sheet."""

from collections.abc import Mapping, Sequence

import numpy as np

from advcli.data import images
from advcli.data.decoded import to_eight_bits
from advcli.explainers import Explainer
from advcli.records import Prediction
from advcli.report.difference import amplification, enlarged
from advcli.report.maps import overlay_two_colours, scale_of, spread
from advcli.report.sheet import ORIGINAL, WRONG, Line, Panel, Row, Sheet, Word, share_text
from advcli.tasks.explain.explanation import Explanation, Target, View
from advcli.tasks.explain.map_pictures import map_pictures, shared_scales
from advcli.tasks.explain.sheet_numbers import is_faint, notes_of, numbers_of

# Its two signs lie side by side: spread further, the rarer one would vanish.
_FLIP_SPREAD, _FLIP_BRIGHTEST = 1 / 320, 95.0

_NAME_IN_TEXT = 40

NO_EVIDENCE = "no evidence: the map is the same at every pixel"


def contact_sheet(
    title: str, explanations: Sequence[Explanation], shared_scale: bool, notes: Sequence[str] = ()
) -> Sheet:
    """Put one or several models' explanations of one image on a contact sheet."""
    methods = {found.method: found.explainer for each in explanations for found in each.maps}
    scales = [shared_scales(each.maps) if shared_scale else {} for each in explanations]
    named = len(explanations) > 1
    pairs = zip(explanations, scales, strict=True)
    return Sheet(
        title,
        [row for each, shared in pairs for row in _rows(each, methods, named, shared)],
        [*notes_of(explanations), *notes],
        [_headline(each) for each in explanations],
        numbers_of(explanations, scales),
    )


def _headline(explanation: Explanation) -> Line:
    """Say what the model predicts for the image, and what an attack makes of it."""
    clean, last = explanation.views[0], explanation.views[-1]
    words = [Word(f"{explanation.classifier.name}:")]
    if explanation.true is not None:
        words += [Word("true class"), *_class(explanation, explanation.true), Word("\N{MIDDLE DOT}")]
    words += [Word("predicted"), *_class(explanation, clean.predicted, clean)]
    if explanation.pair is not None:
        attack = ", ".join(filter(None, [explanation.pair.attack, explanation.pair.radius]))
        still = [Word("still")] if last.predicted == clean.predicted else []
        words += [Word(f"\N{MIDDLE DOT} under attack ({attack})"), *still, *_class(explanation, last.predicted, last)]
    return words


def _class(explanation: Explanation, index: int, view: View | None = None) -> list[Word]:
    """Name a class after a square in its colour, with its probability."""
    colour = ORIGINAL if index == explanation.origin else WRONG if index == _wrong(explanation) else None
    share = [] if view is None else [Word(share_text(float(view.probabilities[index])))]
    return [Word(explanation.classifier.labels[index], colour, is_name=True), *share]


def _wrong(explanation: Explanation) -> int | None:
    """Return the class predicted last, if it is not the original one."""
    last = explanation.views[-1].predicted
    return None if last == explanation.origin else last


def _rows(
    explanation: Explanation, methods: Mapping[str, Explainer], named: bool, scales: Mapping[str, float]
) -> list[Row]:
    maps = {(found.target, found.method): found for found in explanation.maps}
    rows: list[Row] = []
    shown: set[str] = set()
    for target in dict.fromkeys(found.target for found in explanation.maps):
        view = explanation.view(target.view)
        panels = [_view_panel(explanation, view)]
        for method, explainer in methods.items():
            found = maps.get((target, method))
            if found is None:
                panels += [Panel(None, part, note="cannot explain this model") for part in explainer.parts(method)]
                continue
            for picture in map_pictures(found, scales.get(method)):
                pixels = picture.pixels(view)
                if pixels is None:
                    panels.append(Panel(None, picture.part, note=NO_EVIDENCE))
                    continue
                is_small = explainer.kind != "picture" and method not in scales and is_faint(explanation, found)
                caption = (Word("very small values, on their own scale"),) if is_small else picture.caption
                panels.append(Panel(pixels, picture.part, caption, film=picture.film(view)))
        if explanation.pair is not None:
            panels += _attack_panels(explanation, len(rows))
        repeated = view.name in shown
        rows.append(
            Row(
                panels,
                _explained_alone(explanation, view, target) if repeated else _likely(explanation, view, target.index),
                target.index,
                explanation.origin,
                _wrong(explanation),
                _heading(explanation, view, target, named),
                _text(explanation, target, len(rows)),
            )
        )
        shown.add(view.name)
    return rows


def _heading(explanation: Explanation, view: View, target: Target, named: bool) -> Line:
    labels = explanation.classifier.labels
    model = [Word(f"{explanation.classifier.name}:")] if named else []
    words = [*model, Word(f"{view.name} image" if named else f"{view.name.capitalize()} image")]
    words += [Word("explained as"), *_class(explanation, target.index)]
    if target.against is not None:
        words += [Word("rather than"), Word(labels[target.against], is_name=True)]
    elif target.index == explanation.true:
        words.append(Word("(the true class)"))
    elif target.index == view.predicted:
        words.append(Word("(predicted)"))
    elif target.index == explanation.origin:
        words.append(Word("(predicted when clean)"))
    return words


def _view_panel(explanation: Explanation, view: View) -> Panel:
    caption = f"{view.size[1]} x {view.size[0]} pixels" + ("" if view.whole.is_seen else ", bright part seen")
    if view.name != "clean" and explanation.pair is not None:
        fooled = view.predicted != explanation.origin
        caption = explanation.pair.radius + ("" if fooled else ", not fooled")
    return Panel(view.picture, view.name, (Word(caption),))


def _attack_panels(explanation: Explanation, row: int) -> list[Panel]:
    """Show the perturbation after the clean image, and the attribution of the margin after the adversarial one."""
    clean, adversarial = explanation.views[0], explanation.views[-1]
    if row == 0:
        times = amplification((adversarial.picture.astype(np.int16) - clean.picture) / 255)
        pixels = enlarged(clean.picture, adversarial.picture, times)
        return [Panel(pixels, "perturbation", (Word(f"{times:g} times as large, about grey"),))]
    margin = explanation.margin
    if margin is None or row > 2:
        return []
    labels = explanation.classifier.labels
    origin, wrong = labels[explanation.origin], labels[adversarial.predicted]
    if row == 1:
        relevance = spread(margin.relevance, _FLIP_SPREAD)
        values = clean.whole.stretch(relevance)
        drawn = overlay_two_colours(values, scale_of(relevance, _FLIP_BRIGHTEST), clean.whole.seen, WRONG, ORIGINAL)
        caption = (Word("to", WRONG), Word(wrong, is_name=True), Word("to", ORIGINAL), Word(origin, is_name=True))
        return [Panel(clean.whole.lay(drawn), "flip map", caption)]
    if margin.restored is None or margin.share is None:
        return [Panel(None, "flip map", note=f"restoring pixels does not restore {origin}")]
    whole = adversarial.whole
    pixels = whole.lay(images.resize(to_eight_bits(margin.restored), (whole.height, whole.width)))
    share = [Word(share_text(margin.confidence))] if margin.confidence else []
    caption = (Word("predicted"), Word(origin, ORIGINAL, is_name=True), *share)
    return [Panel(pixels, f"{share_text(margin.share)} of pixels restored", caption)]


def _text(explanation: Explanation, target: Target, row: int) -> list[str]:
    """Say in words what is in a row that cannot be seen."""
    margin = explanation.margin
    if margin is None or row not in (1, 2):
        return []
    labels = explanation.classifier.labels
    origin, wrong = (_short(labels[index]) for index in (explanation.origin, explanation.views[-1].predicted))
    if row == 1:
        return [f"Flip map: pixels in vermilion moved the prediction towards {wrong}, pixels in blue towards {origin}."]
    text = []
    if target.index == explanation.origin and target.against is None:
        text.append(f"The maps show what still speaks for {origin} in the same adversarial image.")
    if margin.share is not None:
        text.append(
            f"Last picture: {share_text(margin.share)} of the pixels have their clean values again, those with the "
            f"strongest vermilion in the flip map. That is enough for the prediction {origin}."
        )
    return text


def _short(name: str) -> str:
    return name if len(name) <= _NAME_IN_TEXT else f"{name[: _NAME_IN_TEXT - 3].rstrip()}..."


def _explained_alone(explanation: Explanation, view: View, target: Target) -> list[Prediction]:
    return [explanation.classifier.prediction(view.probabilities, target.index)]


def _likely(explanation: Explanation, view: View, explained: int) -> list[Prediction]:
    likely = list(explanation.classifier.top(view.probabilities))
    # The likeliest class of each view, the original and the explained one stand in every list.
    wanted = [*(other.predicted for other in explanation.views), explanation.origin, explained]
    missing = [index for index in dict.fromkeys(wanted) if index not in (item.index for item in likely)]
    return [*likely, *(explanation.classifier.prediction(view.probabilities, index) for index in missing)]
