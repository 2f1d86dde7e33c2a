"""Explanations as the rows of a contact sheet."""

from collections.abc import Mapping, Sequence

import numpy as np

from advcli.data import images
from advcli.data.dataset import to_eight_bits
from advcli.explainers import Explainer
from advcli.records import Prediction
from advcli.report.difference import amplification, enlarged
from advcli.report.maps import BETWEEN_CLASSES, diverging, scale_of
from advcli.report.sheet import Panel, Row, Sheet, share_text
from advcli.tasks.explain.captions import map_caption, missed, similarity_lines
from advcli.tasks.explain.explanation import Explanation, Target, View
from advcli.tasks.explain.map_pictures import map_pictures, shared_scales

NO_EVIDENCE = "no evidence:\nthe map is the same\nat every pixel"


def contact_sheet(
    title: str, explanations: Sequence[Explanation], shared_scale: bool, notes: Sequence[str] = ()
) -> Sheet:
    """Put one or several models' explanations of one image on a contact sheet."""
    methods = {found.method: found.explainer for each in explanations for found in each.maps}
    rows = [row for each in explanations for row in _rows(each, methods, len(explanations) > 1, shared_scale)]
    return Sheet(title, rows, notes)


def _rows(explanation: Explanation, methods: Mapping[str, Explainer], named: bool, shared_scale: bool) -> list[Row]:
    scales = shared_scales(explanation.maps) if shared_scale else {}
    maps = {(found.target, found.method): found for found in explanation.maps}
    rows: list[Row] = []
    shown: set[str] = set()
    for target in dict.fromkeys(found.target for found in explanation.maps):
        view = explanation.view(target.view)
        panels = [_view_panel(explanation, view, target, named)]
        for method, explainer in methods.items():
            found = maps.get((target, method))
            if found is None:
                panels += [Panel(None, part, note="cannot explain\nthis model") for part in explainer.parts(method)]
                continue
            for picture in map_pictures(found, scales.get(method)):
                pixels = picture.pixels(view)
                caption = map_caption(explanation, picture) if pixels is not None else ""
                panels.append(Panel(pixels, picture.part, picture.detail, caption, NO_EVIDENCE, picture.film(view)))
        if explanation.pair is not None:
            panels += _attack_panels(explanation, len(rows))
        repeated = view.name in shown
        rows.append(
            Row(
                panels,
                _likely(explanation, view, target.index),
                target.index,
                explanation.origin,
                explanation.views[-1].predicted if explanation.views[-1].predicted != explanation.origin else None,
                similarity_lines(explanation, target) if repeated else (),
                _blue(explanation),
            )
        )
        shown.add(view.name)
    return rows


def _view_panel(explanation: Explanation, view: View, target: Target, named: bool) -> Panel:
    labels = explanation.classifier.labels
    title = f"{explanation.classifier.name}: {view.name}" if named else view.name
    detail = f"{view.size[1]} x {view.size[0]} pixels" + ("" if view.whole.is_seen else ", centre seen")
    if view.name != "clean" and explanation.pair is not None:
        fooled = view.predicted != explanation.origin
        detail = explanation.pair.radius + ("" if fooled else ", not fooled")
    caption = f"explained as {labels[target.index]}"
    if target.against is not None:
        caption += f"\nrather than {labels[target.against]}"
    elif explanation.true == target.index:
        caption += "\n(the true class)"
    return Panel(view.picture, title, detail, caption)


def _blue(explanation: Explanation) -> str:
    """Name the class in blue."""
    if explanation.true is not None:
        return "blue: true"
    return "blue: predicted" if explanation.pair is None else "blue: predicted when clean"


def _attack_panels(explanation: Explanation, row: int) -> list[Panel]:
    """Show the perturbation after the clean image, and the attribution of the margin after the adversarial one."""
    clean, adversarial = explanation.views[0], explanation.views[-1]
    if row == 0:
        times = amplification((adversarial.picture.astype(np.int16) - clean.picture) / 255)
        pixels = enlarged(clean.picture, adversarial.picture, times)
        return [Panel(pixels, "perturbation", "about middle grey", f"times {times:g}")]
    margin = explanation.margin
    if margin is None or row > 2:
        return []
    labels = explanation.classifier.labels
    origin, wrong = labels[explanation.origin], labels[adversarial.predicted]
    if row == 1:
        relevance = clean.whole.stretch(margin.relevance)
        pixels = clean.whole.lay(diverging(relevance, scale_of(margin.relevance), BETWEEN_CLASSES))
        caption = f"blue: towards {origin}\nsum {margin.relevance.sum():.3g}: the margin went from"
        caption += f"\n{margin.before:.3g} to {margin.after:.3g}, {missed(margin.completeness)}"
        return [Panel(pixels, "flip map", f"red: towards {wrong}", caption)]
    if margin.restored is None or margin.share is None:
        return [Panel(None, "flip map", "", "", "restoring pixels\ndoes not restore\n" + origin)]
    whole = adversarial.whole
    pixels = whole.lay(images.resize(to_eight_bits(margin.restored), (whole.height, whole.width)))
    caption = f"restores {origin}" + (f"\n({share_text(margin.confidence)})" if margin.confidence else "")
    return [Panel(pixels, f"{share_text(margin.share)} of the pixels restored", "the reddest in the flip map", caption)]


def _likely(explanation: Explanation, view: View, explained: int) -> list[Prediction]:
    likely = list(explanation.classifier.top(view.probabilities))
    # The likeliest class of each view, the original and the explained one stand in every list.
    wanted = [*(other.predicted for other in explanation.views), explanation.origin, explained]
    missing = [index for index in dict.fromkeys(wanted) if index not in (item.index for item in likely)]
    return [*likely, *(explanation.classifier.prediction(view.probabilities, index) for index in missing)]
