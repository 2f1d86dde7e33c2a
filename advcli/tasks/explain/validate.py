"""The rules that a request to explain must meet, and what its options stand for."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from advcli import registry
from advcli.attacks import Attack, Suite, Universal
from advcli.errors import UsageError
from advcli.explainers import Explainer
from advcli.files import paths
from advcli.files.atomic import remove_leftovers
from advcli.files.bounded import refuse_special
from advcli.files.wrong_kind import refuse_missing, refuse_other_kind
from advcli.model.classifier import Classifier
from advcli.model.model_choice import ModelChoice
from advcli.search.refusals import refuse_radius, refuse_universal, refuse_unsupported
from advcli.tasks.explain.adversarial_pairs import check_kind
from advcli.tasks.explain.default_methods import DEFAULT_METHODS, DEFAULT_OF_BLACK_BOXES
from advcli.tasks.explain.request import RAW, SHEET, TRUE, Request, endings
from advcli.tasks.explain.views import is_word, true_class
from advcli.tasks.request import ModelOptions
from advcli.threat.threat import Norm, Threat

log = logging.getLogger(__name__)

_MADE = ".adv.png"


def build_explainers(
    specs: Sequence[str] | None, layer: str | None, black_box: str | None = None
) -> dict[str, Explainer]:
    """Build the explainers: method's name -> explainer; those that show a layer get it as an option.

    Args:
        specs: the methods and their options; if there is none, the default ones.
        layer: the layer to show.
        black_box: the name of a model without gradients and layers, if there is one.

    Raises:
        UsageError: a method is unknown, none of them shows a layer, or one needs more than the scores of a black box.
    """
    chosen = list(dict.fromkeys(specs or (DEFAULT_METHODS if black_box is None else DEFAULT_OF_BLACK_BOXES)))
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
    for name, explainer in made.items():
        if black_box is not None and explainer.needs_network:
            left = [each for each in registry.names("explainers") if not _of(each).needs_network]
            message = f"'{name}' needs gradients or layers, and '{black_box}' returns only scores"
            raise UsageError(message, f"these need none: {', '.join(left)}")
    return made


def _of(name: str) -> type[Explainer]:
    return registry.component("explainers", name)


def refuse_black_box(request: Request, black_box: str | None) -> None:
    """Refuse options that need the weights or the layers of a model.

    Raises:
        UsageError: a model has none, and there is such an option.
    """
    for option, given in (("--check", request.check), ("--list-layers", request.list_layers)):
        if black_box is not None and given:
            raise UsageError(f"{option} needs weights and layers, and '{black_box}' has none", "leave it out")


def comparison_model(request: ModelOptions, value: str) -> ModelChoice:
    """Choose a model to compare with; options about the first model's file hold for it too, unless it is a run's.

    Raises:
        UsageError: there is no such model.
    """
    if (Path(value) / "model.keras").is_file():
        request = ModelOptions(labels=request.labels, unsafe_load=request.unsafe_load, fit=request.fit)
    return replace(request, weights="imagenet").choose(value)


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
            hint = "it is read from the file" if adversarial else "select an attack with --attack"
            raise UsageError("--norm and --eps have no effect without --attack", hint)
        return
    if adversarial is not None:
        raise UsageError("--attack makes adversarial images and --adversarial reads them", "leave one of them out")
    refuse_universal(search, spec, "make the images with 'advcli attack' and explain those with --adversarial")
    refuse_radius(search, spec, norm, eps)
    refuse_unsupported(search, threat)


def output_paths(request: Request, explainers: Mapping[str, Explainer], models: Sequence[str]) -> dict[Path, Path]:
    """Choose where the outputs of each image go, before any work: image file -> output path without its ending.

    Raises:
        UsageError: there is no image, or an output exists and may not be replaced.
    """
    report = request.report
    if not request.files:
        raise UsageError("missing argument 'IMAGE...'", "see advcli explain --help")
    paths.refuse_two_ways(request.overwrite, request.skip_existing)
    found = paths.find_images(request.files)
    written = endings(request, explainers, models)
    outputs = paths.plan_outputs(found, request.out, written, request.replaces_files)
    if report is not None:
        if report.is_dir() or report.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"'{report}' is not a file name for a page", "write --report index.html")
        paths.refuse_existing_file(report, request.overwrite)
    remove_leftovers([stem.with_name(stem.name + ending) for stem in outputs.values() for ending in written])
    if report is not None:
        remove_leftovers([report])
    if request.skip_existing:
        left = paths.without_existing(outputs, [SHEET, RAW] if request.raw else [SHEET])
        if len(left) < len(outputs):
            log.info("%d of %d images are explained already", len(outputs) - len(left), len(outputs))
            if report is not None and left:
                now = "image" if len(left) == 1 else f"{len(left)} images"
                log.warning("the page shows only the %s explained now", now)
        if not left:
            log.info("nothing is left to explain")
        return left
    return outputs


def adversarial_files(outputs: Mapping[Path, Path], adversarial: Path | None) -> dict[Path, Path]:
    """Find the adversarial image of each image: image file -> its file.

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
        hint = "--adversarial takes what advcli attack wrote"
        refuse_missing(refuse_special(file), "image", "an adversarial image", hint)
        refuse_other_kind(file, ("image",), "an adversarial image", hint)
        check_kind(file)
    return found


def check_classes(classifier: Classifier, request: Request, files: Iterable[Path]) -> None:
    """Refuse a class that a model does not have, and the true class where it is known of no image.

    Raises:
        UsageError: there is no such class.
    """
    words = [word for wanted in request.wanted for word in (wanted.word, wanted.against) if word is not None]
    for word in words:
        if not is_word(word):
            classifier.index(word)
    if request.label is not None:
        classifier.index(request.label)
    elif TRUE in words and all(true_class(classifier, file, None) is None for file in files):
        raise UsageError(
            "the true class of no image is known", "give --label, or images in folders that are named after classes"
        )
