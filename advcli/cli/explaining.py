"""What the options of ``advcli explain`` stand for, and which of them do not go together."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from advcli import images, registry
from advcli.attacks import Attack, Suite, Universal, refuse_unsupported
from advcli.errors import ExitStatus, UsageError
from advcli.search.threat_defaults import refuse_pattern, refuse_radius
from advcli.tasks.explaining.perturbed import check_kind
from advcli.tasks.explaining.remembered import Remembered
from advcli.tasks.explaining.request import SHEET, Request, endings
from advcli.tasks.models import ModelChoice
from advcli.threat import Norm, Threat

log = logging.getLogger(__name__)

# Where the model has a fine enough map at its end the first shows it, else the second an earlier one.
DEFAULT_METHODS = ("saliency", "gradcam", "layercam")
_MADE = ".adv.png"


def methods(specs: Sequence[str] | None, layer: str | None) -> dict[str, Any]:
    """Make the explainers: method's name -> explainer; those that show a layer are given it.

    Raises:
        UsageError: a method is unknown, or none of them shows a layer.
    """
    chosen = list(dict.fromkeys(specs or DEFAULT_METHODS))
    names = [registry.canonical(spec) for spec in chosen]
    layered = [
        name in registry.names("explainers") and "layer" in registry.options("explainers", name) for name in names
    ]
    if layer is not None and not any(layered):
        showing = [name for name in registry.names("explainers") if "layer" in registry.options("explainers", name)]
        raise UsageError(f"{', '.join(names)} shows no layer", f"these do: {', '.join(showing)}")
    twice = {name for name in names if names.count(name) > 1}
    made = {}
    for spec, name, shows in zip(chosen, names, layered, strict=True):
        full = spec if layer is None or not shows else f"{spec}{',' if ':' in spec else ':'}layer={layer}"
        made[spec if name in twice else name] = registry.build("explainers", full)
    return made


def compared(
    value: str, labels: Path | None, values: tuple[float, float] | None, edge: int | None, unsafe: bool
) -> ModelChoice:
    """Choose a model to compare with; what is said of the first one's file is said of it too, unless it is a run.

    Raises:
        UsageError: there is no such model.
    """
    if Path(value).is_dir():
        return ModelChoice(value, labels=labels, unsafe=unsafe)
    return ModelChoice(value, labels=labels, input_range=values, edge=edge, unsafe=unsafe)


def refuse_attack(
    search: Attack | Suite | Universal | None,
    spec: str | None,
    adversarial: Path | None,
    norm: Norm | None,
    eps: float | None,
    threat: Threat,
) -> None:
    """Refuse an attack that cannot be explained, or options that would have no effect.

    Raises:
        UsageError: there is one.
    """
    if search is None or spec is None:
        if norm or eps is not None:
            hint = "it is read from the file" if adversarial else "say which attack with --attack"
            raise UsageError("--norm and --eps have no effect without --attack", hint)
        return
    if adversarial is not None:
        raise UsageError("--attack makes adversarial images and --adversarial gives them", "leave one of them out")
    refuse_pattern(search, spec, "make the images with 'advcli attack' and explain those with --adversarial")
    refuse_radius(search, spec, norm, eps)
    refuse_unsupported(search, threat)


def plan(
    files: Sequence[Path],
    out: Path,
    request: Request,
    methods: Sequence[str],
    models: Sequence[str],
    report: Path | None,
    overwrite: bool,
    skip_existing: bool,
) -> dict[Path, Path]:
    """Choose where the outputs of each image go, before any work: image file -> output path without its ending.

    Raises:
        UsageError: there is no image, or an output exists and may not be replaced.
    """
    if not files:
        raise UsageError("missing argument 'IMAGE...'", "see advcli explain --help")
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing say the opposite", "leave one of them out")
    found = images.find(files)
    outputs = images.plan(found, out, endings(request, methods, models), overwrite or skip_existing)
    if report is not None:
        if report.is_dir() or report.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"'{report}' is no name for a page", "write --report index.html")
        images.free(report, overwrite)
    if skip_existing:
        left = {file: stem for file, stem in outputs.items() if not stem.with_name(stem.name + SHEET).exists()}
        if len(left) < len(outputs):
            log.info("%d of %d images are explained already", len(outputs) - len(left), len(outputs))
            if report is not None and left:
                now = "image" if len(left) == 1 else f"{len(left)} images"
                log.warning("the page shows only the %s explained now", now)
        return left
    return outputs


def pairs(outputs: Mapping[Path, Path], adversarial: Path | None) -> dict[Path, Path]:
    """Find each image's adversarial one: image file -> its file.

    Raises:
        UsageError: there is none for an image, or it is something else.
    """
    if adversarial is None:
        return {}
    if adversarial.is_dir():
        found = {file: adversarial / f"{stem.name}{_MADE}" for file, stem in outputs.items()}
    elif len(outputs) > 1:
        raise UsageError(
            f"'{adversarial}' is one file for {len(outputs)} images", "give the folder that holds them all"
        )
    else:
        found = dict.fromkeys(outputs, adversarial)
    for file in found.values():
        if not file.is_file():
            raise UsageError(f"no such file: '{file}'", "--adversarial takes what advcli attack wrote")
        check_kind(file)
    return found


def nothing_left() -> int:
    """Say that there is nothing to do; that is no failure."""
    log.info("nothing is left to explain")
    return ExitStatus.DONE


def remembered(choice: ModelChoice, seed: int) -> Remembered:
    """Find where the checks of a model are kept: in its run folder, if it is one."""
    path = choice.path
    run = path is not None and (path.parent / "run.json").is_file()
    return Remembered(path.parent if run and path else None, path, seed)
