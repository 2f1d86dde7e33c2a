"""Explain image files: maps of what a class rests on, clean and adversarial, and a contact sheet."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli import images, png
from advcli.attacks import Attack, is_bounded
from advcli.data import to_float
from advcli.errors import AdvcliError
from advcli.explainers import Explainer, Shown
from advcli.model import Classifier
from advcli.records import Explained, Failed, Progress
from advcli.report.maps import overlay, scale_of, sequential
from advcli.report.sheet import Panel, Row, Sheet
from advcli.tasks.adversary import Adversary
from advcli.tasks.lattice import settled
from advcli.threat import Norm, Threat

log = logging.getLogger(__name__)

SHEET = ".explain.png"


@dataclass(frozen=True)
class View:
    """One image to explain, clean or adversarial.

    Args:
        name: ``clean`` or ``adversarial``.
        suffix: what its outputs' names have before their endings.
        seen: (edge, edge, C) in [0, 1], as the model sees it.
        probabilities: (K,) of all classes.
        explained: the class that is explained.
    """

    name: str
    suffix: str
    seen: np.ndarray
    probabilities: np.ndarray
    explained: int

    @property
    def predicted(self) -> int:
        """The likeliest class."""
        return int(self.probabilities.argmax())

    @property
    def picture(self) -> np.ndarray:
        """What the model sees as 8-bit pixels."""
        return (self.seen * 255).round().clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Map:
    """One map of one view as a picture, and its highest value."""

    method: str
    shown: Shown | None
    pixels: np.ndarray
    maximum: float
    seconds: float

    def panel(self, clean: "Map | None") -> Panel:
        """Return the map with what a reader needs to know of it; the clean image's map is what it is measured by."""
        if self.shown is None:
            detail = f"{'darker' if self.method.endswith('negative') else 'brighter'} here, more likely"
        else:
            detail = f"{self.shown.layer} {self.shown.rows} x {self.shown.columns}"
        caption = f"max {self.maximum:.3g}"
        if clean is not None and clean.maximum > 0:
            caption += f" (x{self.maximum / clean.maximum:.2g} of clean)"
        return Panel(self.pixels, self.method, detail, caption)


def endings(methods: Sequence[str], attacked: bool) -> list[str]:
    """List the endings of all the files that an image's explanation consists of."""
    maps = [part for method in methods for part in _parts(method)]
    return [SHEET, *(f"{suffix}.{part}.png" for suffix in ("", ".adv")[: 1 + attacked] for part in maps)]


def applicable(explainers: Mapping[str, Explainer], classifier: Classifier) -> dict[str, Explainer]:
    """Keep the methods that can explain this classifier, and say which cannot."""
    kept = {}
    for method, explainer in explainers.items():
        try:
            explainer.shown(classifier)
        except AdvcliError as error:
            log.warning("left out %s: %s", method, error.message)
        else:
            kept[method] = explainer
    return kept


def explain(
    classifier: Classifier,
    outputs: Mapping[Path, Path],
    explainers: Mapping[str, Explainer],
    *,
    label: int | None = None,
    search: Attack | None = None,
    threat: Threat | None = None,
    seed: int = 0,
) -> Iterator[Explained | Failed | Progress]:
    """Explain image files and write each map, and one contact sheet an image, as PNG files.

    Args:
        classifier: what is explained.
        outputs: image file -> its outputs' path without the ending.
        explainers: method's name -> explainer.
        label: the class to explain; None means the likeliest one.
        search: an attack whose adversarial image is explained beside the clean one.
        threat: the ball of the attack.
        seed: for the attack's and the explainers' random draws.

    Yields:
        A record a map.
    """
    threat = (threat or Threat()).on_lattice()
    adversary = Adversary(classifier.frozen, search, threat, seed) if search else None
    ball = threat if search is None or is_bounded(search) else None
    shown = {method: explainer.shown(classifier) for method, explainer in explainers.items()}
    common = {"model": classifier.name, "data": "files", "seed": seed}
    for done, (file, stem) in enumerate(outputs.items()):
        yield Progress("explaining", done, len(outputs))
        try:
            original = images.read(file, classifier.channels)
        except (AdvcliError, OSError) as error:
            yield Failed(image=str(file), error=str(error), **common)
            continue
        views = [_view(classifier, "clean", "", original, label)]
        if adversary is not None:
            views.append(_view(classifier, "adversarial", ".adv", _adversarial(adversary, original, views[0]), label))
        sheet = stem.with_name(stem.name + SHEET)
        drawn: list[list[Map]] = []
        for view in views:
            drawn.append([])
            for method, explainer in explainers.items():
                for picture in _maps(classifier, view, method, explainer, shown[method], seed):
                    drawn[-1].append(picture)
                    output = stem.with_name(f"{stem.name}{view.suffix}.{picture.method}.png")
                    png.write(output, picture.pixels)
                    yield Explained(
                        image=str(file),
                        view=view.name,
                        method=picture.method,
                        layer=picture.shown.layer if picture.shown else None,
                        label=classifier.labels[view.explained],
                        index=view.explained,
                        confidence=float(view.probabilities[view.explained]),
                        maximum=picture.maximum,
                        output=str(output),
                        sheet=str(sheet),
                        top=classifier.top(view.probabilities),
                        seconds=picture.seconds,
                        **common,  # type: ignore[arg-type]
                    )
        with images.whole_file(sheet) as content:
            _sheet(f"{file.name} - {classifier.name}", classifier, views, drawn, original, ball).draw(content)
    yield Progress("explaining", len(outputs), len(outputs))


def _view(classifier: Classifier, name: str, suffix: str, pixels: np.ndarray, label: int | None) -> View:
    batch = to_float(pixels)[None]
    probabilities = classifier.predict(batch)[0]
    explained = int(probabilities.argmax()) if label is None else label
    return View(name, suffix, np.asarray(classifier.fit(batch))[0], probabilities, explained)


def _adversarial(adversary: Adversary, original: np.ndarray, clean: View) -> np.ndarray:
    labels = np.array([clean.predicted])
    found, _ = adversary(to_float(original)[None], labels)
    bounded = is_bounded(adversary.attack)
    return settled(adversary.classifier, original[None], found, adversary.threat, labels, bounded=bounded)[0]


def _parts(method: str) -> tuple[str, ...]:
    return ("saliency-positive", "saliency-negative") if method == "saliency" else (method,)


def _maps(
    classifier: Classifier, view: View, method: str, explainer: Explainer, shown: Shown | None, seed: int
) -> Iterator[Map]:
    start = time.perf_counter()
    relevance = explainer(classifier, view.seen[None], np.array([view.explained]), seed)[0]
    seconds = time.perf_counter() - start
    if not np.isfinite(relevance).all():
        raise AdvcliError(f"the {method} map of '{classifier.name}' is not all numbers (NaN)")
    scale = scale_of(relevance)
    if method == "saliency":
        # Both parts on one scale, so that the brighter of two pictures is the stronger one.
        for part, values in zip(_parts(method), (relevance, -relevance), strict=True):
            yield Map(part, shown, sequential(values, scale), float(max(values.max(), 0)), seconds)
    else:
        yield Map(method, shown, overlay(relevance, scale, view.picture), float(relevance.max()), seconds)


def _sheet(
    title: str,
    classifier: Classifier,
    views: Sequence[View],
    drawn: Sequence[Sequence[Map]],
    original: np.ndarray,
    ball: Threat | None,
) -> Sheet:
    height, width = original.shape[:2]
    details = [f"{width} x {height} pixels", _radius(ball) + ("" if _fooled(views) else ", not fooled")]
    predicted = [view.predicted for view in views]
    rows = []
    for number, (view, maps) in enumerate(zip(views, drawn, strict=True)):
        likely = classifier.top(view.probabilities)
        # A class that is the likeliest in one view is looked for in the other.
        missing = [index for index in predicted if index not in (item.index for item in likely)]
        classes = [*likely, *(classifier.prediction(view.probabilities, index) for index in missing)]
        panels = [Panel(view.picture, view.name, details[number])]
        panels += [picture.panel(drawn[0][place] if number else None) for place, picture in enumerate(maps)]
        rows.append(Row(panels, classes, view.explained))
    return Sheet(title, rows, predicted[0], predicted[-1] if _fooled(views) else None)


def _fooled(views: Sequence[View]) -> bool:
    return views[-1].predicted != views[0].predicted


def _radius(threat: Threat | None) -> str:
    if threat is None:
        return "outside of any ball"
    return f"linf {threat.eps * 255:.3g}/255" if threat.norm is Norm.LINF else f"{threat.norm} {threat.eps:.3g}"
