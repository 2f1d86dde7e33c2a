"""What is written and said of one image that was explained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advcli import images, png
from advcli.records import Explained, Flipped
from advcli.report.sheet import Sheet
from advcli.tasks.explaining.drawing import sheet
from advcli.tasks.explaining.drawn import drawn, shared_scales
from advcli.tasks.explaining.explanation import Explanation
from advcli.tasks.explaining.request import RAW, SHEET, Request, map_ending


@dataclass(frozen=True)
class Files:
    """Where the files of one image go: its path without an ending, and how the models are told apart in names."""

    stem: Path
    request: Request
    suffixes: Sequence[str]

    def path(self, ending: str) -> Path:
        """Return the path of one of the files."""
        return self.stem.with_name(self.stem.name + ending)

    def write(
        self, file: Path, explanations: Sequence[Explanation], notes: Sequence[str], common: Mapping[str, Any]
    ) -> tuple[Sheet, list[Explained | Flipped]]:
        """Write the files of an image, the contact sheet last; return the sheet and the records.

        Raises:
            AdvcliError: a file cannot be written.
        """
        records: list[Explained | Flipped] = []
        values: dict[str, Any] = {}
        for explanation, suffix in zip(explanations, self.suffixes, strict=True):
            said = {**common, "model": explanation.classifier.name}
            records += self._maps(file, explanation, suffix, said)
            if explanation.flip is not None:
                records.append(_flipped(file, explanation, said))
            if self.request.raw:
                values |= _values(explanation, suffix.removeprefix(".") + "." if suffix else "")
        if self.request.raw:
            with images.whole_file(self.path(RAW)) as content:
                np.savez_compressed(content, **values)
        names = " and ".join(dict.fromkeys(explanation.classifier.name for explanation in explanations))
        made = sheet(f"{file.name} - {names}", explanations, self.request.shared_scale, notes)
        with images.whole_file(self.path(SHEET)) as content:
            made.draw(content)
        return made, records

    def _maps(
        self, file: Path, explanation: Explanation, suffix: str, common: Mapping[str, Any]
    ) -> Iterator[Explained]:
        classifier = explanation.classifier
        scales = shared_scales(explanation) if self.request.shared_scale else {}
        for number, found in enumerate(explanation.maps):
            question, view = found.question, explanation.view(found.question.wanted.view)
            for picture in drawn(explanation, number, scales.get(found.method)):
                pixels = picture.pixels(view)
                output = None
                if self.request.separate and pixels is not None:
                    output = self.path(map_ending(suffix, question.wanted.suffix, picture.part))
                    png.write(output, pixels)
                yield Explained(
                    image=str(file),
                    view=view.name,
                    method=picture.part,
                    layer=found.shown.layer if found.shown else None,
                    label=classifier.labels[question.index],
                    index=question.index,
                    confidence=float(view.probabilities[question.index]),
                    maximum=picture.maximum,
                    output=None if output is None else str(output),
                    sheet=str(self.path(SHEET)),
                    top=classifier.top(view.probabilities),
                    seconds=found.seconds,
                    role=question.role,
                    true=None if explanation.true is None else classifier.labels[explanation.true],
                    against=None if question.against is None else classifier.labels[question.against],
                    evidence=found.evidence,
                    map_size=(found.shown.rows, found.shown.columns) if found.shown else None,
                    layer_reason=found.shown.reason if found.shown else None,
                    head=classifier.head.name,
                    completeness=found.completeness,
                    shift=found.moved,
                    noise_floor=found.floor,
                    raw=str(self.path(RAW)) if self.request.raw else None,
                    **common,
                )


def _flipped(file: Path, explanation: Explanation, common: Mapping[str, Any]) -> Flipped:
    flip, pair, classifier = explanation.flip, explanation.pair, explanation.classifier
    assert flip is not None
    assert pair is not None
    clean, adversarial = explanation.views
    restored = None
    if flip.restored is not None:
        restored = classifier.prediction(classifier.predict(flip.restored[None])[0], explanation.origin)
    return Flipped(
        image=str(file),
        attack=pair.attack,
        norm=pair.norm,
        eps=pair.eps,
        linf=pair.linf,
        l2=pair.l2,
        before=classifier.top(clean.probabilities, 1)[0],
        after=classifier.top(adversarial.probabilities, 1)[0],
        margin_before=flip.before,
        margin_after=flip.after,
        completeness=flip.completeness,
        restored_share=flip.share,
        restored=restored,
        monotone=flip.monotone,
        seconds=explanation.flip_seconds,
        **common,
    )


def _values(explanation: Explanation, prefix: str) -> dict[str, np.ndarray]:
    """Collect what a program needs to draw the maps anew: what the model saw, and every map as it was computed."""
    values = {f"{prefix}{view.name}": view.seen for view in explanation.views}
    for found in explanation.maps:
        question = found.question
        rival = "" if question.against is None else f"-{question.against}"
        values[f"{prefix}{question.wanted.view}.{question.index}{rival}.{found.method}"] = found.relevance
    if explanation.flip is not None:
        values[f"{prefix}flip"] = explanation.flip.relevance
    return values
