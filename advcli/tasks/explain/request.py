"""The request of ``advcli explain``, and the names of the files that it writes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from advcli.threat import Threat

if TYPE_CHECKING:
    from advcli.explainers import Explainer

SHEET, RAW = ".explain.png", ".explain.npz"
PREDICTED, TRUE, SECOND = "predicted", "true", "second"


@dataclass(frozen=True)
class Wanted:
    """One row of maps as it is requested, before the model is known.

    Args:
        view: ``clean`` or ``adversarial``.
        word: ``predicted``, ``true``, ``second``, ``original``, ``top N`` or a class's name or index.
        suffix: what the names of its files have after the image's own.
        against: the name or index of another class; the lead over it is explained.
    """

    view: str
    word: str
    suffix: str
    against: str | None = None


@dataclass(frozen=True)
class Request:
    """How images are explained.

    Args:
        classes: the classes to explain, each ``predicted``, ``true``, ``second`` or a class's name or index.
        top: explain this many of the likeliest classes.
        contrast: explain how far the logit of one class is ahead of another's.
        label: the true class of all images; None means the name of an image's folder, if it is a class.
        attack: the spec of the attack; None if there is none, or if its images are in files.
        threat: its ball.
        given: whether the adversarial images are read from files.
        shared_scale: show all maps of a method on one scale.
        separate: write a PNG a map too.
        raw: write the maps' values too.
        batch: how many images are explained together.
        seed: of the attack's, the noise's and the explainers' random numbers.
    """

    classes: tuple[str, ...] = ()
    top: int = 0
    contrast: tuple[str, str] | None = None
    label: str | None = None
    attack: str | None = None
    threat: Threat = field(default_factory=Threat)
    given: bool = False
    shared_scale: bool = False
    separate: bool = False
    raw: bool = False
    batch: int = 8
    seed: int = 0

    @property
    def attacked(self) -> bool:
        """Whether there is an adversarial image beside each clean one."""
        return self.given or self.attack is not None

    @property
    def wanted(self) -> list[Wanted]:
        """The rows of maps, from top to bottom."""
        words: list[tuple[str, str | None]] = [(word, None) for word in self.classes]
        words += [(f"top {place + 1}", None) for place in range(self.top)]
        if self.contrast:
            words.append(self.contrast)
        if not words:
            rows = [Wanted("clean", PREDICTED, "")]
            if self.attacked:
                rows += [Wanted("adversarial", PREDICTED, ".adv"), Wanted("adversarial", "original", ".adv.original")]
            return rows
        views = [("clean", ""), ("adversarial", ".adv")][: 1 + self.attacked]
        return [
            Wanted(view, word, start + ("" if place == 0 else _suffix(word, against)), against)
            for place, (word, against) in enumerate(dict.fromkeys(words))
            for view, start in views
        ]


def endings(request: Request, explainers: "Mapping[str, Explainer]", models: Sequence[str] = ("",)) -> list[str]:
    """List the endings of all files that the explanation of one image may consist of."""
    found = [SHEET]
    if request.raw:
        found.append(RAW)
    if request.separate:
        found += [
            map_ending(model, wanted.suffix, part)
            for model in model_suffixes(models)
            for wanted in request.wanted
            for method, explainer in explainers.items()
            for part in explainer.parts(method)
        ]
    return found


def map_ending(model: str, suffix: str, part: str) -> str:
    """Return the ending of one map's file."""
    return f"{model}{suffix}.{part}.png"


def model_suffixes(models: Sequence[str]) -> list[str]:
    """Return what tells the models apart in file names: nothing for the first, their names for the others."""
    return ["", *(_suffix(name, None) for name in models[1:])]


def _suffix(word: str, against: str | None) -> str:
    text = word if against is None else f"{word}-{against}"
    return "." + re.sub(r"[^\w-]+", "_", text).strip("_")
