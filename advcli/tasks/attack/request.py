"""How image files are attacked: the options of ``advcli attack``."""

from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from advcli.options import OUTPUT, THREAT, WHAT, option, refuse_out_of_bounds
from advcli.parsing import read_choices
from advcli.tasks.request import (
    ModelOptions,
    SurrogateOptions,
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
    from advcli.model.model_choice import ModelChoice

# Kind of output -> the ending of its file.
ENDINGS = {"adversarial": ".adv.png", "clean": ".clean.png", "difference": ".diff.png"}
PATTERN_ENDING = ".pattern.png"


def _read_models(texts: Sequence[str]) -> str | tuple[str, ...]:
    return texts[0] if len(texts) == 1 else tuple(texts)


def _read_kinds(text: str) -> tuple[str, ...]:
    return read_choices(text, ENDINGS, "--save")


@dataclass(frozen=True, kw_only=True)
class Request(ModelOptions, SurrogateOptions, ThreatOptions, WorkOptions):
    """How image files are attacked.

    Args:
        files: image files, or folders that hold some.
        model: a run folder, a model file, an endpoint, or a backbone with ImageNet weights. Several times: crafted on
            the mean of their logits, with a verdict for each; the first names the output.
        attack: an attack and its options, such as pgd:steps=40.
        minimal: search for the smallest radius that fools each image, in steps of 1/255, up to --eps if it is given.
        target: the class to reach.
        start: an image of the target class, from which a decision attack starts.
        label: the true class, to move away from.
        queries: queries of the model for each image by an attack without gradients (with --minimal: at each
            radius); the first and the last check take up to 3 more.
        apply: apply the universal perturbation that an earlier call crafted, with its attack, radius and target.
        mask: change only pixels that are white in this image, brought to the size of each; or in the one of this folder
            that has the image's name.
        resize: bring images to the model's size first.
        out: where PNG files go.
        save: files to write for each image: adversarial, clean, difference (amplified about grey).
        overwrite: replace existing outputs.
        skip_existing: leave out images whose outputs are there.
    """

    files: tuple[Path, ...] = option(MISSING, metavar="IMAGE...", argument=True)
    model: str | tuple[str, ...] = model_option(parse=_read_models, several=True)
    attack: str | None = attack_option(None, "pgd; without gradients square")
    minimal: bool = option(False, panel=THREAT)
    target: str | None = option(None, panel=THREAT, metavar="CLASS", completes="classes")
    start: Path | None = option(None, panel=THREAT, metavar="FILE")
    label: str | None = option(None, panel=THREAT, metavar="CLASS", shown="the predicted class")
    queries: int | None = option(None, panel=THREAT, metavar="N", min=1)
    apply: Path | None = option(None, panel=THREAT, metavar="FILE")
    mask: Path | None = option(None, panel=THREAT, metavar="FILE|DIR")
    resize: bool = option(False, panel=WHAT)
    out: Path = out_option(Path(), metavar="DIR")
    save: tuple[str, ...] = option(
        ("adversarial",), panel=OUTPUT, metavar="A,B,...", parse=_read_kinds, shown="adversarial"
    )
    overwrite: bool = overwrite_option()
    skip_existing: bool = option(False, panel=OUTPUT)
    batch: int = batch_option(16)

    def __post_init__(self) -> None:
        super().__post_init__()
        from advcli.tasks.attack.validate import check

        check(self)

    @property
    def replaces_files(self) -> bool:
        """Whether outputs that exist may be written again."""
        return self.overwrite or self.skip_existing

    @property
    def models(self) -> tuple[str, ...]:
        """The models that the images are crafted on."""
        return (self.model,) if isinstance(self.model, str) else self.model

    def choose_models(self) -> "list[ModelChoice]":
        """Find the models.

        Raises:
            UsageError: there is no such model.
        """
        return [self.choose(model) for model in self.models]


@dataclass(frozen=True, kw_only=True)
class Resolved(Request):
    """A request with every default filled in.

    Args:
        spec: the attack's name in records.
        threat: the ball; the attack rounds its radius down to 8-bit values.
        away: the class to move away from; None means the predicted class of each image.
    """

    files: tuple[Path, ...] = ()
    spec: str = field()
    threat: Threat = field()
    away: int | None = None

    def __post_init__(self) -> None:
        refuse_out_of_bounds(self)
