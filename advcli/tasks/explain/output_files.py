"""Write the files of one explained image, and make its records."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from advcli.files import atomic, png
from advcli.records import Explained, Flipped, Prediction
from advcli.records.base import Fields
from advcli.report.sheet import Sheet
from advcli.report.sheet_drawing import Drawing
from advcli.tasks.explain.adversarial_pairs import Pair
from advcli.tasks.explain.contact_sheet import contact_sheet
from advcli.tasks.explain.explanation import Explanation
from advcli.tasks.explain.map_pictures import map_pictures, shared_scales
from advcli.tasks.explain.margin_attribution import MarginAttribution
from advcli.tasks.explain.request import RAW, SHEET, Request, map_ending


def write_files(
    stem: Path,
    request: Request,
    explanations: Mapping[str, Explanation],
    notes: Sequence[str],
    common: Fields,
) -> tuple[Sheet, list[Explained | Flipped]]:
    """Write the files of one image, the contact sheet last; return the sheet and the records.

    Args:
        stem: the path of the files without their endings.
        request: which files are wanted.
        explanations: what tells a model's files apart in their names -> what that model says of the image.
        notes: lines for the foot of the sheet.
        common: the fields that all records have.

    Raises:
        AdvcliError: a file cannot be written.
    """
    records: list[Explained | Flipped] = []
    values: dict[str, np.ndarray] = {}
    for suffix, explanation in explanations.items():
        fields = {**common, "model": explanation.classifier.name}
        records += _write_maps(stem, request, suffix, explanation, fields)
        if explanation.margin is not None and explanation.pair is not None:
            records.append(_flipped(explanation, explanation.margin, explanation.pair, fields))
        if request.raw:
            values |= _raw_values(explanation, suffix.removeprefix(".") + "." if suffix else "")
    if request.raw:
        with atomic.whole_file(_path(stem, RAW), request.replaces_files) as content:
            np.savez_compressed(content, **values)  # pyright: ignore[reportArgumentType]  no map has the name of an option
    shown = list(explanations.values())
    sheet = contact_sheet(shown[0].file.name, shown, request.shared_scale, notes)
    with atomic.whole_file(_path(stem, SHEET), request.replaces_files) as content:
        Drawing(sheet).save(content)
    return sheet, records


def _path(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _write_maps(
    stem: Path, request: Request, suffix: str, explanation: Explanation, common: Fields
) -> Iterator[Explained]:
    classifier = explanation.classifier
    scales = shared_scales(explanation.maps) if request.shared_scale else {}
    for found in explanation.maps:
        target, view, shown = found.target, explanation.view(found.target.view), found.shown
        for picture in map_pictures(found, scales.get(found.method)):
            pixels = picture.pixels(view)
            output = None
            if request.separate and pixels is not None:
                output = _path(stem, map_ending(suffix, target.suffix, picture.part))
                png.write(output, pixels, overwrite=request.replaces_files)
            yield Explained(
                image=str(explanation.file),
                view=view.name,
                method=picture.part,
                layer=shown.layer if shown else None,
                label=classifier.labels[target.index],
                index=target.index,
                confidence=float(view.probabilities[target.index]),
                maximum=picture.maximum,
                output=None if output is None else str(output),
                sheet=str(_path(stem, SHEET)),
                top=classifier.top(view.probabilities),
                seconds=found.seconds,
                role=target.role,
                true=None if explanation.true is None else classifier.labels[explanation.true],
                against=None if target.against is None else classifier.labels[target.against],
                evidence=found.evidence,
                map_size=(shown.rows, shown.columns) if shown else None,
                layer_reason=shown.reason if shown else None,
                head=classifier.head.name,
                completeness=found.completeness,
                shift=found.moved,
                noise_floor=found.floor,
                raw=str(_path(stem, RAW)) if request.raw else None,
                **common,
            )


def _flipped(explanation: Explanation, margin: MarginAttribution, pair: Pair, common: Fields) -> Flipped:
    classifier = explanation.classifier
    clean, adversarial = explanation.views
    restored = None
    if margin.confidence is not None:
        restored = Prediction(classifier.labels[explanation.origin], explanation.origin, margin.confidence)
    return Flipped(
        image=str(explanation.file),
        attack=pair.attack,
        norm=pair.norm,
        eps=pair.eps,
        linf=pair.linf,
        l2=pair.l2,
        before=classifier.top(clean.probabilities, 1)[0],
        after=classifier.top(adversarial.probabilities, 1)[0],
        margin_before=margin.before,
        margin_after=margin.after,
        completeness=margin.completeness,
        restored_share=margin.share,
        restored=restored,
        monotone=margin.monotone,
        seconds=explanation.margin_seconds,
        **common,
    )


def _raw_values(explanation: Explanation, prefix: str) -> dict[str, np.ndarray]:
    """Collect what a program needs to draw the maps anew: the pixels of the views, and every map as it was computed."""
    values = {f"{prefix}{view.name}": view.pixels for view in explanation.views}
    for found in explanation.maps:
        target = found.target
        other = "" if target.against is None else f"-{target.against}"
        values[f"{prefix}{target.view}.{target.index}{other}.{found.method}"] = found.values
    if explanation.margin is not None:
        values[f"{prefix}flip"] = explanation.margin.relevance
    return values
