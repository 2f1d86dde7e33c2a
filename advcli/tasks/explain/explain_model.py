"""Explain images by one model."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from advcli.attacks import Attack
from advcli.data import images
from advcli.errors import AdvcliError
from advcli.explainers import Explainer
from advcli.model.classifier import Classifier
from advcli.records import Shift
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.image_batches import Picture
from advcli.search.refusals import refuse_blind
from advcli.tasks.explain.adversarial_pairs import Pair, attack_images, read_pair
from advcli.tasks.explain.compute_maps import compute_maps
from advcli.tasks.explain.explanation import LEAST_SIDE, Explanation, Map, Target
from advcli.tasks.explain.map_similarity import ComparedMap, compare_maps
from advcli.tasks.explain.margin_attribution import attribute_margin
from advcli.tasks.explain.request import Request
from advcli.tasks.explain.views import targets_of, true_class, view_images

_Maps = Mapping[str, Mapping[tuple[Explanation, Target], Map]]


@dataclass(frozen=True)
class ExplainedModel:
    """A model and how its images are explained.

    Args:
        classifier: the model.
        explainers: method's name -> explainer.
        request: how images are explained.
        search: the attack, if there is one.
        adversarial: image file -> the file of its adversarial image, if they are given.

    Raises:
        AdvcliError: the model's images are too small, or a method cannot explain it.
    """

    classifier: Classifier
    explainers: Mapping[str, Explainer]
    request: Request
    search: Attack | None = None
    adversarial: Mapping[Path, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shorter = min(self.classifier.image_size)
        if shorter < LEAST_SIDE:
            raise AdvcliError(
                f"'{self.classifier.name}' takes images of {shorter} pixels a side: too small to explain",
                f"a map needs {LEAST_SIDE} at least",
            )
        if self.search is not None and self.request.attack is not None and self.search.bounded:
            self.request.threat.refuse_impossible((*self.classifier.image_size, self.classifier.channels))
            self.request.threat.warn_of_long_step(self.search, self.request.attack)
        if self.search is not None and self.request.attack is not None:
            refuse_blind(self.search, self.request.attack, self.classifier.access, self.classifier.name)
        for explainer in self.explainers.values():
            explainer.shown(self.classifier)

    @cached_property
    def compiled_attack(self) -> CompiledAttack | None:
        """The attack on the model, traced once; None if there is none."""
        if self.search is None or self.request.attack is None:
            return None
        return CompiledAttack(
            self.classifier.inference_copy, self.search, self.request.threat.quantized(), self.request.seed
        )


def explain_images(model: ExplainedModel, pictures: Sequence[Picture]) -> list[Explanation | str]:
    """Explain some images together; for one that cannot be explained return the reason."""
    opened = list(_open(model, pictures))
    cases = [each for each in opened if not isinstance(each, str)]
    maps = {
        method: compute_maps(
            model.classifier, method, one, _needed(cases, one), model.request.batch, model.request.seed
        )
        for method, one in model.explainers.items()
    }
    return [each if isinstance(each, str) else _explained(model, each, maps) for each in opened]


def _open(model: ExplainedModel, pictures: Sequence[Picture]) -> Iterator[Explanation | str]:
    """Find the views and the targets of images; maps come later."""
    classifier, request = model.classifier, model.request
    pixels = [images.to_channels(picture.pixels, classifier.channels) for picture in pictures]
    clean = view_images(classifier, ["clean"] * len(pixels), pixels)
    trues = [true_class(classifier, picture.file, request.label) for picture in pictures]
    origins = [view.predicted if true is None else true for view, true in zip(clean, trues, strict=True)]
    pairs: Sequence[Pair | None] = [None] * len(pictures)
    if model.compiled_attack is not None:
        pairs = attack_images(model.compiled_attack, request.attack, pixels, origins)
    opened: list[Explanation | str] = []
    for picture, values, view, true, made in zip(pictures, pixels, clean, trues, pairs, strict=True):
        try:
            pair = read_pair(model.classifier, values, model.adversarial[picture.file]) if request.given else made
        except AdvcliError as error:
            opened.append(error.message)
        else:
            opened.append(Explanation(picture.file, classifier, (view,), true, pair))
    for each in _with_views(model, opened, pixels):
        try:
            yield each if isinstance(each, str) else replace(each, targets=_targets(model, each))
        except AdvcliError as error:
            yield error.message


def _targets(model: ExplainedModel, case: Explanation) -> tuple[Target, ...]:
    adversarial = None if case.pair is None else case.views[1]
    return targets_of(model.classifier, model.request, case.views[0], adversarial, case.true)


def _with_views(
    model: ExplainedModel, cases: Sequence[Explanation | str], originals: Sequence[np.ndarray]
) -> list[Explanation | str]:
    """Add the adversarial and the noisy view to the images that have a pair, those of all images together.

    If that fails, one image after the other, so that the others have theirs.
    """
    try:
        return _viewed(model, cases, originals)
    except AdvcliError as error:
        if len(cases) == 1:
            return [error.message]
    each = zip(cases, originals, strict=True)
    return [viewed for case, original in each for viewed in _with_views(model, [case], [original])]


def _viewed(
    model: ExplainedModel, cases: Sequence[Explanation | str], originals: Sequence[np.ndarray]
) -> list[Explanation | str]:
    viewed: list[Explanation | str] = list(cases)
    places: list[int] = []
    names: list[str] = []
    pictures: list[np.ndarray] = []
    for place, case in enumerate(cases):
        if isinstance(case, str) or case.pair is None:
            continue
        pair = case.pair
        needed = {"adversarial": pair.adversarial, "noisy": pair.noisy(model.request.seed)}
        # A pair from a file may have been made of the image at another size.
        needed |= {} if np.array_equal(pair.clean, originals[place]) else {"clean": pair.clean}
        for name, pixels in needed.items():
            places.append(place)
            names.append(name)
            pictures.append(pixels)
    views = view_images(model.classifier, names, pictures, [originals[place] for place in places])
    for place, view in zip(places, views, strict=True):
        case = viewed[place]
        if isinstance(case, str):
            continue
        if view.name == "noisy":
            viewed[place] = replace(case, noisy=view)
        elif view.name == "clean":
            viewed[place] = replace(case, views=(view, *case.views[1:]))
        else:
            viewed[place] = replace(case, views=(case.views[0], view))
    return viewed


def _needed(cases: Sequence[Explanation], explainer: Explainer) -> list[tuple[Explanation, Target]]:
    """List the maps that are needed: those requested, and those that they are compared with."""
    found = []
    for case in cases:
        found += [(case, target) for target in case.targets]
        if case.pair is not None and explainer.kind != "picture":
            found += [(case, Target(name, case.origin)) for name in ("clean", "noisy")]
    return found


def _explained(model: ExplainedModel, case: Explanation, maps: _Maps) -> Explanation | str:
    """Put the maps of an image together, and say why it fools the model if it does."""
    baselines = {method: _Baseline(case, of, model.request.seed) for method, of in maps.items()}
    try:
        found = [
            _compared(model, baselines[method], maps[method], target)
            for target in case.targets
            for method in model.explainers
        ]
    except AdvcliError as error:
        return error.message
    explanation = replace(case, maps=tuple(found))
    # The change is attributed along a path of gradients.
    if explanation.group != "fooled" or not model.classifier.has_gradient:
        return explanation
    began = time.perf_counter()
    clean, adversarial = case.views
    margin = attribute_margin(
        model.classifier.inference_copy,
        clean.pixels,
        adversarial.pixels,
        case.origin,
        adversarial.predicted,
        model.request.batch,
    )
    return replace(explanation, margin=margin, margin_seconds=time.perf_counter() - began)


@dataclass(frozen=True, eq=False)
class _Baseline:
    """One method's maps of the clean image without and with noise, which the others are compared with."""

    case: Explanation
    maps: Mapping[tuple[Explanation, Target], Map]
    seed: int

    @cached_property
    def clean(self) -> ComparedMap:
        return ComparedMap(self._relevance("clean"), self.seed)

    @cached_property
    def floor(self) -> Shift | None:
        return self.shift_of(self._relevance("noisy"))

    def shift_of(self, relevance: np.ndarray) -> Shift | None:
        return compare_maps(self.clean, ComparedMap(relevance, self.seed, is_second=True))

    def _relevance(self, view: str) -> np.ndarray:
        return self.maps[self.case, Target(view, self.case.origin)].relevance


def _compared(
    model: ExplainedModel, baseline: _Baseline, maps: Mapping[tuple[Explanation, Target], Map], target: Target
) -> Map:
    """Compare a map with those of the clean image."""
    found = replace(maps[baseline.case, target], target=target)
    if not np.isfinite(found.relevance).all():
        raise AdvcliError(f"the {found.method} map of '{model.classifier.name}' contains NaN or infinity")
    same = maps.get((baseline.case, Target("clean", target.index, target.against)))
    found = replace(found, clean=None if same is None else same.relevance)
    if target.view != "adversarial" or target.against is not None or found.explainer.kind == "picture":
        return found
    return replace(found, moved=baseline.shift_of(found.relevance), floor=baseline.floor)
