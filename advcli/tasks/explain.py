"""Explain image files: maps of what a class rests on, clean and adversarial, and a contact sheet."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli import images
from advcli.attacks import Attack
from advcli.data import to_float
from advcli.errors import AdvcliError
from advcli.explainers import Explainer
from advcli.model import Classifier
from advcli.records import Explained, Failed, Progress
from advcli.report.maps import overlay, scale_of, sequential
from advcli.report.sheet import Panel, Row, draw_sheet
from advcli.tasks.adversary import Adversary
from advcli.threat import Threat

SHEET = ".explain.png"


@dataclass(frozen=True)
class View:
    """One image to explain, clean or adversarial: its pixels, its probabilities, the class explained."""

    name: str
    suffix: str
    pixels: np.ndarray
    probabilities: np.ndarray
    explained: int


def endings(methods: Sequence[str], attacked: bool) -> list[str]:
    """List the endings of all the files that an image's explanation consists of."""
    maps = [part for method in methods for part in _parts(method)]
    return [SHEET, *(f"{suffix}.{part}.png" for suffix in ("", ".adv")[: 1 + attacked] for part in maps)]


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
    adversary = Adversary(classifier, search, threat, seed) if search else None
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
            pixels = _adversarial(adversary, original, views[0].probabilities)
            views.append(_view(classifier, "adversarial", ".adv", pixels, label))
        rows = []
        for view in views:
            panels = [Panel(view.pixels, view.name)]
            for method, explainer in explainers.items():
                start = time.perf_counter()
                relevance = explainer(classifier, to_float(view.pixels)[None], np.array([view.explained]), seed)[0]
                if not np.isfinite(relevance).all():
                    raise AdvcliError(f"the {method} map of '{file}' is not all numbers (NaN)")
                seconds = time.perf_counter() - start
                for part, panel, maximum in _pictures(method, relevance, view.pixels):
                    output = stem.with_name(f"{stem.name}{view.suffix}.{part}.png")
                    images.write_png(output, panel.pixels)
                    panels.append(panel)
                    yield Explained(
                        image=str(file),
                        view=view.name,
                        method=part,
                        label=classifier.labels[view.explained],
                        index=view.explained,
                        confidence=float(view.probabilities[view.explained]),
                        maximum=maximum,
                        output=str(output),
                        sheet=str(stem.with_name(stem.name + SHEET)),
                        top=classifier.top(view.probabilities),
                        seconds=seconds,
                        **common,  # type: ignore[arg-type]
                    )
            rows.append(Row(view.name, classifier.top(view.probabilities), view.explained, panels))
        with images.whole_file(stem.with_name(stem.name + SHEET)) as sheet:
            draw_sheet(f"{file.name} - {classifier.name}", rows, sheet)
    yield Progress("explaining", len(outputs), len(outputs))


def _view(classifier: Classifier, name: str, suffix: str, original: np.ndarray, label: int | None) -> View:
    pixels = images.resize(original, classifier.edge)
    probabilities = classifier.predict(to_float(original)[None])[0]
    return View(name, suffix, pixels, probabilities, int(probabilities.argmax()) if label is None else label)


def _adversarial(adversary: Adversary, original: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    found, _ = adversary(to_float(original)[None], np.array([probabilities.argmax()]))
    return images.on_lattice(found[0], original, adversary.threat.norm, adversary.threat.eps)


def _parts(method: str) -> tuple[str, ...]:
    return ("saliency-positive", "saliency-negative") if method == "saliency" else (method,)


def _pictures(method: str, relevance: np.ndarray, pixels: np.ndarray) -> Iterator[tuple[str, Panel, float]]:
    scale = scale_of(relevance)
    if method == "saliency":
        # Both parts on one scale, so that the brighter of two pictures is the stronger one.
        for part, values in zip(_parts(method), (relevance, -relevance), strict=True):
            maximum = float(max(values.max(), 0))
            yield part, Panel(sequential(values, scale), f"{part}\nmax {maximum:.3g}"), maximum
    else:
        maximum = float(relevance.max())
        yield method, Panel(overlay(relevance, scale, pixels), f"{method}\nmax {maximum:.3g}"), maximum
