"""A model that is explained, made ready for many images."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from advcli.attacks import Attack, is_bounded
from advcli.errors import AdvcliError
from advcli.explainers import Explainer, Shown
from advcli.model import Classifier
from advcli.records import Shift
from advcli.tasks.explaining.asking import Answer, Key, ask
from advcli.tasks.explaining.cases import Case, Casting
from advcli.tasks.explaining.explanation import LEAST_SIDE, Explanation, Map
from advcli.tasks.explaining.flip import Flipping
from advcli.tasks.explaining.perturbed import Attacking
from advcli.tasks.explaining.request import Request
from advcli.tasks.explaining.shift import shift
from advcli.tasks.explaining.views import Question, questions
from advcli.tasks.pictures import Picture

_Answers = Mapping[str, Mapping[Key, Answer]]


@dataclass(frozen=True)
class Subject:
    """A model and all that is asked of it; whatever has to be traced is traced once.

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
        if self.search is not None and self.request.attack is not None and is_bounded(self.search):
            edge = self.classifier.edge
            self.request.threat.refuse_impossible((edge, edge, self.classifier.channels))
            self.request.threat.warn_of_long_step(self.search, self.request.attack)
        assert self.shown is not None

    @cached_property
    def shown(self) -> Mapping[str, Shown | None]:
        """Method's name -> the layer it shows."""
        return {method: explainer.shown(self.classifier) for method, explainer in self.explainers.items()}

    def __call__(self, pictures: Sequence[Picture]) -> list[Explanation | str]:
        """Explain some images together; one that cannot be explained comes as the reason."""
        found = [self._asked(case) for case in self._casting(pictures)]
        cases = [each for each in found if not isinstance(each, str)]
        answers = {
            method: ask(self.classifier, one, _keys(cases, one), self.request.batch, self.request.seed)
            for method, one in self.explainers.items()
        }
        return [each if isinstance(each, str) else self._explanation(*each, answers) for each in found]

    def _asked(self, case: Case | str) -> tuple[Case, list[Question]] | str:
        if isinstance(case, str):
            return case
        try:
            views = case.views
            return case, questions(self.classifier, self.request, views["clean"], views.get("adversarial"), case.true)
        except AdvcliError as error:
            return error.message

    def _explanation(self, case: Case, asked: Sequence[Question], answers: _Answers) -> Explanation | str:
        views = tuple(view for name, view in case.views.items() if name != "noisy")
        try:
            maps = [self._map(case, question, method, answers) for question in asked for method in self.explainers]
        except AdvcliError as error:
            return error.message
        explanation = Explanation(self.classifier, views, case.true, tuple(maps), case.pair)
        if explanation.group != "fooled":
            return explanation
        began = time.perf_counter()
        clean, adversarial = views
        flip = self._flipping(clean.seen, adversarial.seen, case.origin, adversarial.predicted)
        return replace(explanation, flip=flip, flip_seconds=time.perf_counter() - began)

    def _map(self, case: Case, question: Question, method: str, answers: _Answers) -> Map:
        explainer, view = self.explainers[method], question.wanted.view
        answer = answers[method][Key(case, view, question.index, question.against)]
        if not np.isfinite(answer.relevance).all():
            raise AdvcliError(f"the {method} map of '{self.classifier.name}' is not all numbers (NaN)")
        same = answers[method].get(Key(case, "clean", question.index, question.against))
        moved: Shift | None = None
        floor: Shift | None = None
        if view == "adversarial" and question.against is None and explainer.kind != "picture":
            before, noisy = (answers[method][Key(case, name, case.origin)].relevance for name in ("clean", "noisy"))
            moved = shift(before, answer.relevance, self.request.seed)
            floor = shift(before, noisy, self.request.seed)
        return Map(
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
            None if same is None else same.relevance,
        )

    @cached_property
    def _casting(self) -> Casting:
        attacking = None
        if self.search is not None and self.request.attack is not None:
            attacking = Attacking(
                self.classifier, self.search, self.request.attack, self.request.threat, self.request.seed
            )
        return Casting(self.classifier, self.request, attacking, self.adversarial)

    @cached_property
    def _flipping(self) -> Flipping:
        return Flipping(self.classifier.frozen, self.request.batch)


def _keys(cases: Sequence[tuple[Case, list[Question]]], explainer: Explainer) -> list[Key]:
    """List the maps that are needed: those asked for, and those that they are compared with."""
    keys = []
    for case, asked in cases:
        keys += [Key(case, question.wanted.view, question.index, question.against) for question in asked]
        if case.pair is not None and explainer.kind != "picture":
            keys += [Key(case, name, case.origin) for name in ("clean", "noisy")]
    return list(dict.fromkeys(keys))
