"""All that one model says of one image: its views, their maps, how these moved and why."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from advcli import images
from advcli.attacks import Attack
from advcli.errors import AdvcliError
from advcli.explainers import Explainer, Shown, is_evidence
from advcli.explainers.integrated_gradients import IntegratedGradients
from advcli.model import Classifier
from advcli.records import Shift
from advcli.tasks.explaining.flip import Flip, Flipping
from advcli.tasks.explaining.perturbed import Attacking, Pair, read_pair
from advcli.tasks.explaining.request import Request
from advcli.tasks.explaining.shift import shift
from advcli.tasks.explaining.views import Question, View, look, questions, true_class
from advcli.tasks.pictures import Picture

LEAST_SIDE = 8


@dataclass(frozen=True)
class Map:
    """The map of one question by one method.

    Args:
        question: what it explains.
        method: the method's name.
        kind: ``pixels``, ``map`` or ``picture``.
        signed: whether negative values speak against the class.
        shown: the layer it is computed on; None if on the pixels.
        relevance: (edge, edge), raw; a picture is (edge, edge, C) in [0, 1].
        moved: how far it is from the clean image's map; None where that says nothing.
        floor: how far noise of the same size moves that map.
        completeness: how much of the score's change its sum misses, where it should be that.
        seconds: what it took.
    """

    question: Question
    method: str
    kind: str
    signed: bool
    shown: Shown | None
    relevance: np.ndarray
    moved: Shift | None
    floor: Shift | None
    completeness: float | None
    seconds: float

    @property
    def evidence(self) -> bool:
        """Whether the map tells pixels apart at all."""
        return bool(is_evidence(self.relevance[None])[0])


@dataclass(frozen=True)
class Explanation:
    """What one model says of one image.

    Args:
        classifier: the model.
        views: the image as it is, and the adversarial one if there is one.
        true: the true class, where it is known.
        pair: the pixels of both.
        maps: a map a question and method.
        flip: why the adversarial image fools, if it does.
        flip_seconds: what finding that out took.
    """

    classifier: Classifier
    views: tuple[View, ...]
    true: int | None
    maps: tuple[Map, ...]
    pair: Pair | None = None
    flip: Flip | None = None
    flip_seconds: float = 0.0

    @property
    def origin(self) -> int:
        """The class the image is of: the true one, or what the model takes the clean image for."""
        return self.views[0].predicted if self.true is None else self.true

    @property
    def group(self) -> str:
        """``right`` if the prediction holds, ``fooled`` if it does until the attack, ``wrong`` if it never does."""
        if self.views[0].predicted != self.origin:
            return "wrong"
        return "right" if self.views[-1].predicted == self.origin else "fooled"

    def view(self, name: str) -> View:
        """Return the view of a name."""
        return next(view for view in self.views if view.name == name)


@dataclass(frozen=True)
class Subject:
    """A model that is explained, made ready for many images.

    Args:
        classifier: the model.
        explainers: method's name -> explainer.
        request: what is asked.
        search: the attack, if there is one.
        adversarial: image file -> the file of its adversarial image, if they are given.
    """

    classifier: Classifier
    explainers: Mapping[str, Explainer]
    request: Request
    search: Attack | None = None
    adversarial: Mapping[Path, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.classifier.edge < LEAST_SIDE:
            raise AdvcliError(
                f"'{self.classifier.name}' takes images of {self.classifier.edge} pixels a side: too small to explain",
                f"a map needs {LEAST_SIDE} at least",
            )
        assert self.shown is not None

    @cached_property
    def shown(self) -> Mapping[str, Shown | None]:
        """Method's name -> the layer it shows."""
        return {method: explainer.shown(self.classifier) for method, explainer in self.explainers.items()}

    def __call__(self, pictures: Sequence[Picture]) -> list[Explanation | str]:
        """Explain some images together; one that cannot be explained comes as the reason."""
        outcomes: dict[Path, Explanation | str] = {}
        cases = []
        for case in self._cases(pictures, outcomes):
            try:
                asked = questions(self.classifier, self.request, case.clean, case.adversarial, case.true)
            except AdvcliError as error:
                outcomes[case.file] = error.message
            else:
                cases.append((case, asked))
        keys = [
            [_Key(place, question.wanted.view, question.index, question.against) for question in asked]
            for place, (_, asked) in enumerate(cases)
        ]
        for place, (case, _) in enumerate(cases):
            if case.noisy is not None:
                # What the maps of the adversarial image are compared with.
                keys[place] += [_Key(place, name, case.origin, None) for name in ("clean", "noisy")]
        every = list(dict.fromkeys(key for some in keys for key in some))
        found = {method: self._relevance(method, every, [case for case, _ in cases]) for method in self.explainers}
        for place, (case, asked) in enumerate(cases):
            try:
                outcomes[case.file] = self._explanation(place, case, asked, found)
            except AdvcliError as error:
                outcomes[case.file] = error.message
        return [outcomes[picture.file] for picture in pictures]

    def _cases(self, pictures: Sequence[Picture], outcomes: dict[Path, Explanation | str]) -> "list[_Case]":
        pixels = [images.to_channels(picture.pixels, self.classifier.channels) for picture in pictures]
        clean = look(self.classifier, "clean", pixels)
        trues = [true_class(self.classifier, picture.file, self.request.label) for picture in pictures]
        origins = [view.predicted if true is None else true for view, true in zip(clean, trues, strict=True)]
        pairs: list[Pair | None] = [None] * len(pictures)
        if self._attacking is not None:
            pairs = list(self._attacking(pixels, origins))
        elif self.request.given:
            for place, picture in enumerate(pictures):
                try:
                    pairs[place] = read_pair(pixels[place], self.adversarial[picture.file])
                except AdvcliError as error:
                    outcomes[picture.file] = error.message
        cases = []
        for place, picture in enumerate(pictures):
            pair = pairs[place]
            if picture.file in outcomes:
                continue
            views = [clean[place], None, None]
            if pair is not None:
                views = [
                    look(self.classifier, name, [shown])[0]
                    for name, shown in (
                        ("clean", pair.clean),
                        ("adversarial", pair.adversarial),
                        ("noisy", pair.noisy(self.request.seed)),
                    )
                ]
            assert views[0] is not None
            cases.append(_Case(picture.file, views[0], views[1], views[2], trues[place], pair))
        return cases

    def _relevance(self, method: str, keys: "Sequence[_Key]", cases: "Sequence[_Case]") -> "dict[_Key, _Answer]":
        """Compute the maps of all questions by one method, some at a time."""
        found = {}
        explainer = self.explainers[method]
        for led in (False, True):
            some = [key for key in keys if (key.against is not None) is led]
            for start in range(0, len(some), self.request.batch):
                part = some[start : start + self.request.batch]
                seen = np.stack([cases[key.place].views[key.view].seen for key in part])
                classes = np.array([key.index for key in part])
                against = np.array([key.against for key in part]) if led else None
                began = time.perf_counter()
                relevance = explainer(self.classifier, seen, classes, self.request.seed, against)
                seconds = (time.perf_counter() - began) / len(part)
                missing: Sequence[float | None] = [None] * len(part)
                if isinstance(explainer, IntegratedGradients):
                    missing = explainer.completeness(self.classifier, seen, classes, relevance, against).tolist()
                rows = zip(part, relevance, missing, strict=True)
                found |= {key: _Answer(row, lacking, seconds) for key, row, lacking in rows}
        return found

    def _explanation(
        self, place: int, case: "_Case", asked: Sequence[Question], found: "Mapping[str, Mapping[_Key, _Answer]]"
    ) -> Explanation:
        maps = []
        for question in asked:
            for method, answers in found.items():
                explainer = self.explainers[method]
                answer = answers[_Key(place, question.wanted.view, question.index, question.against)]
                self._check(method, answer.relevance)
                moved = floor = None
                comparable = question.wanted.view == "adversarial" and question.against is None
                if case.noisy is not None and comparable and explainer.kind != "picture":
                    before, noisy = (
                        answers[_Key(place, name, case.origin, None)].relevance for name in ("clean", "noisy")
                    )
                    moved = shift(before, answer.relevance, self.request.seed)
                    floor = shift(before, noisy, self.request.seed)
                maps.append(
                    Map(
                        question,
                        method,
                        explainer.kind,
                        explainer.signed,
                        self.shown[method],
                        answer.relevance,
                        moved,
                        floor,
                        answer.completeness,
                        answer.seconds,
                    )
                )
        views = tuple(view for view in (case.clean, case.adversarial) if view is not None)
        explanation = Explanation(self.classifier, views, case.true, tuple(maps), case.pair)
        if explanation.group != "fooled":
            return explanation
        began = time.perf_counter()
        flip = self._flipping(views[0].seen, views[1].seen, case.origin, views[1].predicted)
        seconds = time.perf_counter() - began
        return Explanation(self.classifier, views, case.true, tuple(maps), case.pair, flip, seconds)

    def _check(self, method: str, relevance: np.ndarray) -> None:
        if not np.isfinite(relevance).all():
            raise AdvcliError(f"the {method} map of '{self.classifier.name}' is not all numbers (NaN)")

    @cached_property
    def _attacking(self) -> Attacking | None:
        if self.search is None or self.request.attack is None:
            return None
        return Attacking(self.classifier, self.search, self.request.attack, self.request.threat, self.request.seed)

    @cached_property
    def _flipping(self) -> Flipping:
        return Flipping(self.classifier.frozen, self.request.batch)


@dataclass(frozen=True)
class _Case:
    """One image on its way: its views, its true class if that is known, its adversarial image if there is one."""

    file: Path
    clean: View
    adversarial: View | None
    noisy: View | None
    true: int | None
    pair: Pair | None

    @property
    def origin(self) -> int:
        return self.clean.predicted if self.true is None else self.true

    @property
    def views(self) -> dict[str, Any]:
        return {"clean": self.clean, "adversarial": self.adversarial, "noisy": self.noisy}


@dataclass(frozen=True)
class _Key:
    """Which map: of which image of a group, which view, which class, and against which."""

    place: int
    view: str
    index: int
    against: int | None


@dataclass(frozen=True)
class _Answer:
    relevance: np.ndarray
    completeness: float | None
    seconds: float
