"""The request of ``advcli explain``, and the names of the files that it writes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from advcli.errors import UsageError
from advcli.options import OUTPUT, THREAT, WHAT, option
from advcli.parsing import read_choices, read_list
from advcli.tasks.request import (
    ModelOptions,
    ThreatOptions,
    WorkOptions,
    attack_option,
    batch_option,
    model_option,
    out_option,
    overwrite_option,
)
from advcli.threat.threat import Threat

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


def _read_contrast(text: str) -> tuple[str, str]:
    """Read ``--contrast``: two classes.

    Raises:
        UsageError: it is not two different ones.
    """
    parts = read_list(text)
    if len(parts) != 2 or parts[0] == parts[1]:
        raise UsageError(f"--contrast is not two classes: '{text}'", "write two names or indices, such as 3,7")
    return parts[0], parts[1]


def _is_shared(scale: str) -> bool:
    """Read ``--scale``.

    Raises:
        UsageError: it is neither own nor shared.
    """
    return read_choices(scale, ("own", "shared"), "--scale") == ("shared",)


@dataclass(frozen=True, kw_only=True)
class Request(ModelOptions, ThreatOptions, WorkOptions):
    """How images are explained: the options of ``advcli explain``.

    Args:
        files: image files, or folders that hold some.
        model: a run folder, a model file, an endpoint, or a backbone with ImageNet weights.
        compare: another model that explains the same images; may be given several times.
        methods: a method and its options; may be given several times.
        classes: the class to explain: predicted, true, second, or a name or an index; may be given several times.
        top: explain each of the N likeliest classes.
        contrast: explain why class A rather than class B.
        label: the true class of the images.
        layer: the layer that class activation maps show.
        list_layers: list the layers that have a map, and stop.
        attack: explain the adversarial image of this attack as well as the clean one.
        adversarial: the adversarial image that advcli attack made of IMAGE, or the folder where those of all images
            are.
        threat: the ball that is searched, once the models are known.
        check: run sanity checks of the methods on up to 16 images; the results are cached in the run folder.
        out: where files go.
        shared_scale: scale of a map: its own, or one for all maps of its method.
        separate: also write a PNG file for each map.
        raw: also write the values of the maps, as .npz files.
        report: write one HTML page with all results.
        skip_existing: leave out images that have a contact sheet, and with ``raw`` their .npz file.
        overwrite: replace existing outputs.
    """

    files: tuple[Path, ...] = option((), metavar="IMAGE...", argument=True)
    model: str = model_option()
    compare: tuple[str, ...] = option((), panel=WHAT, metavar="RUN|FILE", completes="models")
    methods: tuple[str, ...] = option(
        (),
        "--method",
        panel=WHAT,
        metavar="SPEC",
        family="explainers",
        shown="saliency, and gradcam or layercam where the model has a map; of a black box occlusion and rise",
    )
    classes: tuple[str, ...] = option(
        (),
        "--class",
        panel=WHAT,
        metavar="CLASS",
        completes="classes",
        shown="predicted; of an adversarial image the original one too",
    )
    top: int | None = option(None, panel=WHAT, metavar="N", min=1)
    contrast: tuple[str, str] | None = option(
        None, panel=WHAT, metavar="A,B", completes="classes", parse=_read_contrast
    )
    label: str | None = option(
        None, panel=WHAT, metavar="CLASS", completes="classes", shown="the name of an image's folder, if it is a class"
    )
    layer: str | None = option(None, panel=WHAT, metavar="NAME")
    list_layers: bool = option(False, panel=WHAT)
    attack: str | None = attack_option(None)
    adversarial: Path | None = option(None, panel=THREAT, metavar="FILE|DIR")
    threat: Threat = field(default_factory=Threat)
    check: bool = option(False)
    out: Path = out_option(Path("maps"), metavar="DIR")
    shared_scale: bool = option(False, "--scale", panel=OUTPUT, metavar="own|shared", parse=_is_shared, shown="own")
    separate: bool = option(False, panel=OUTPUT)
    raw: bool = option(False, panel=OUTPUT)
    report: Path | None = option(None, panel=OUTPUT, metavar="FILE.html")
    skip_existing: bool = option(False, panel=OUTPUT)
    overwrite: bool = overwrite_option()
    batch: int = batch_option(8)

    @property
    def replaces_files(self) -> bool:
        """Whether outputs that exist may be written again."""
        return self.overwrite or self.skip_existing

    @property
    def given(self) -> bool:
        """Whether the adversarial images are read from files."""
        return self.adversarial is not None

    @property
    def attacked(self) -> bool:
        """Whether there is an adversarial image for each clean one."""
        return self.given or self.attack is not None

    @property
    def wanted(self) -> list[Wanted]:
        """The rows of maps, from top to bottom."""
        words: list[tuple[str, str | None]] = [(word, None) for word in self.classes]
        words += [(f"top {place + 1}", None) for place in range(self.top or 0)]
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
