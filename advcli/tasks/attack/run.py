"""Attack image files; every record is measured on the 8-bit pixels that are written."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from advcli import registry
from advcli.attacks import Attack, Suite, Universal
from advcli.data import images
from advcli.data.decoded import to_float
from advcli.data.uniform_size import uniform_size_of_files
from advcli.errors import UsageError
from advcli.files import paths
from advcli.files.atomic import remove_leftovers
from advcli.model.black_box import end_batch
from advcli.model.classifier import Classifier
from advcli.model.failures import reporting_failures
from advcli.model.model_choice import load_all
from advcli.records import Attacked, Crafted, Failed, Progress, Queried
from advcli.records.base import Fields
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.ensemble import Ensemble, ensemble_of
from advcli.search.image_batches import by_size, groups
from advcli.search.minimum_norm import MinimumRadius
from advcli.search.quantize import MOST_CHECKS, quantize_adversarial
from advcli.search.surrogate import Surrogate, surrogate_for
from advcli.search.universal import AppliedPattern
from advcli.tasks.attack.group_attack import Find, Found, GroupAttack
from advcli.tasks.attack.request import ENDINGS, PATTERN_ENDING, Request, Resolved
from advcli.tasks.attack.universal_files import crafted, read_pattern
from advcli.tasks.attack.validate import Chosen, choose
from advcli.tasks.query_budget import announce_queries, queried
from advcli.threat.spelling import spell_spec
from advcli.threat.threat import Threat

log = logging.getLogger(__name__)


def run(request: Request) -> Iterator[Attacked | Crafted | Failed | Progress | Queried]:
    """Attack image files.

    Raises:
        UsageError: the request is invalid, or an output exists; before the model is loaded.
    """
    chosen = choose(request)
    endings = [ENDINGS[kind] for kind in request.save]
    files = paths.find_images(request.files)
    if request.mask is not None:
        find_masks(files, request.mask)
    outputs = paths.plan_outputs(files, request.out, endings, request.replaces_files)
    pattern = request.apply
    if isinstance(chosen.search, Universal) and pattern is None:
        pattern = paths.refuse_existing_file(
            request.out / (registry.canonical(chosen.spec) + PATTERN_ENDING), request.overwrite
        )
        remove_leftovers([pattern])
    remove_leftovers([stem.with_name(stem.name + ending) for stem in outputs.values() for ending in endings])
    return _run(request, chosen, outputs, pattern)


def find_masks(files: Sequence[Path], mask: Path) -> dict[Path, Path]:
    """Find the mask of each image: the file given, or the one in the folder given that has the image's name.

    Raises:
        UsageError: there is none.
    """
    if mask.is_dir():
        return paths.pair_by_name(files, mask)
    (file,) = paths.find_images([mask])
    return dict.fromkeys(files, file)


def _run(
    request: Request, chosen: Chosen, outputs: Mapping[Path, Path], pattern: Path | None
) -> Iterator[Attacked | Crafted | Failed | Progress | Queried]:
    if request.skip_existing:
        left = paths.without_existing(outputs, [ENDINGS[kind] for kind in request.save])
        if len(left) < len(outputs):
            log.info("%d of %d images are attacked already", len(outputs) - len(left), len(outputs))
        outputs = left
        if not outputs:
            log.info("nothing is left to attack")
            return
    yield Progress("loading the model", 0, 0)
    sizes = partial(uniform_size_of_files, tuple(outputs))
    classifiers = load_all(request.choose_models(), sizes)
    classifier = classifiers[0]
    ensemble = ensemble_of(classifiers) if len(classifiers) > 1 else None
    choice = request.choose_surrogate()
    surrogate = None if choice is None else surrogate_for(classifier, choice.load(sizes))
    # Only now is it known whether a black box returns scores, or classes alone.
    chosen = choose(request, classifier.access)
    resolved = find_classes(request, chosen, classifier)
    apply = request.apply is not None
    if request.attack is None and not apply and not classifier.has_gradient and surrogate is None:
        log.info("'%s' has no gradients: it is attacked with %s", classifier.name, chosen.spec)
    announce_queries(classifier, _most_queries(resolved, chosen, len(outputs)))
    with reporting_failures([classifier.model]):
        yield from attack_files(
            classifier,
            outputs,
            chosen.search,
            resolved,
            pattern=pattern,
            apply=apply,
            surrogate=surrogate,
            ensemble=ensemble,
        )
    yield from queried([classifier], "files", request.seed)


def _most_queries(request: Resolved, chosen: Chosen, images: int) -> dict[str, int | None]:
    """Return how many queries the call takes at most, by what they are for."""
    checks = 2 * images
    if request.surrogate is not None or request.apply is not None:
        return {"before and after": checks}
    if request.minimal:
        return {"before and after": checks, "the search for the smallest radius": None}
    most = chosen.search.most_queries
    # The image to start from is classified at the size of each image.
    checks += images * (request.start is not None)
    checks += images * (1 + MOST_CHECKS * chosen.search.bounded)
    return {"checks": checks, spell_spec(chosen.spec): None if most is None else most * images}


def find_classes(request: Request, chosen: Chosen, classifier: Classifier) -> Resolved:
    """Find the indices of the classes that a request names.

    Raises:
        UsageError: there is no such class, or one is both the class to reach and the one to move away from.
    """
    threat = chosen.threat
    if chosen.target is not None:
        threat = replace(threat, target=classifier.index(chosen.target))
        if request.label is not None and classifier.index(request.label) == threat.target:
            raise UsageError(f"'{chosen.target}' is both the class to reach and the one to move away from")
    away = None if request.label is None else classifier.index(request.label)
    given: Fields = {each.name: getattr(request, each.name) for each in fields(request)}
    return Resolved(**given, spec=chosen.spec, threat=threat, away=away)


def attack_files(
    classifier: Classifier,
    outputs: Mapping[Path, Path],
    search: Attack | Suite | Universal,
    request: Resolved,
    *,
    pattern: Path | None = None,
    apply: bool = False,
    surrogate: Surrogate | None = None,
    ensemble: Ensemble | None = None,
) -> Iterator[Attacked | Crafted | Failed | Progress | Queried]:
    """Attack image files at their own resolution and write each result as an 8-bit PNG.

    Args:
        classifier: the attacked model.
        outputs: image file -> its output's path without the ending.
        search: the attack.
        request: the options of the attack.
        pattern: for a universal attack: the file of the perturbation.
        apply: read the perturbation from its file instead of crafting it.
        surrogate: the model that the attack sees, if it is another one.
        ensemble: the models that the attack sees, if they are several; the attacked one is the first of them.

    Yields:
        One record for each image; images of one size are attacked together.
    """
    classifier = classifier.inference_copy
    crafted_on = classifier if surrogate is None else surrogate.classifier.inference_copy
    if ensemble is not None:
        crafted_on = ensemble.inference_copy
    common = {"model": classifier.name, "data": "files", "seed": request.seed}
    threat = request.threat.quantized()
    if search.bounded and threat.eps < request.threat.eps and threat.eps == 0:
        log.warning(
            "eps %.4g is less than one step of 8 bits (1/255): no pixel of a file can change", request.threat.eps
        )
    threat.warn_of_long_step(search, request.spec)
    seen = threat if surrogate is None else surrogate.threat(threat)
    if isinstance(search, Universal):
        if pattern is None:
            raise ValueError("a universal attack needs the file of its perturbation")
        if not apply:
            away = request.away if surrogate is None or request.away is None else int(surrogate.indices[request.away])
            made = {**common, "model": crafted_on.name}
            yield from crafted(crafted_on, search, seen, list(outputs), replace(request, away=away), pattern, made)
        compiled_attack: Any = AppliedPattern(
            search, seen, read_pattern(crafted_on, search, seen, pattern), request.seed
        )
    else:
        start = None if request.start is None else images.read(request.start, crafted_on.channels)
        compiled_attack = CompiledAttack(crafted_on, search, seen, request.seed, start)
    if request.minimal:
        find: Find = partial(_search_smallest, MinimumRadius(compiled_attack))
    else:
        find = partial(_search, crafted_on, compiled_attack, request.threat if search.bounded else None, seen)
    if surrogate is not None:
        find = partial(_search_elsewhere, find, surrogate)
    masks = None if request.mask is None else find_masks(list(outputs), request.mask)
    attacked = GroupAttack(classifier, find, outputs, request, pattern, common, ensemble)
    done = 0
    for group in groups(by_size(outputs), classifier, request.resize, request.batch, masks):
        yield Progress("attacking", done, len(outputs))
        if isinstance(group, tuple):
            yield Failed(image=str(group[0]), error=group[1], **common)
            done += 1
            continue
        try:
            if search.bounded and not request.minimal:
                threat.refuse_impossible(group[0].pixels.shape)
        except UsageError as error:
            for picture in group:
                yield Failed(image=str(picture.file), error=f"{error.message} ({error.hint})", **common)
            done += len(group)
            continue
        for record in attacked.apart(group):
            yield record
            done += 1
        end_batch(classifier.model)
    yield Progress("attacking", done, len(outputs))


def _search(
    classifier: Classifier,
    compiled_attack: CompiledAttack | AppliedPattern,
    asked: Threat | None,
    threat: Threat,
    originals: np.ndarray,
    labels: np.ndarray,
    masks: np.ndarray | None,
) -> Found:
    if isinstance(compiled_attack, CompiledAttack):
        adversarial, queries = compiled_attack(to_float(originals), labels, masks)
    else:
        adversarial, queries = compiled_attack(to_float(originals), labels)
    pixels = quantize_adversarial(classifier, originals, adversarial, threat, labels, bounded=asked is not None)
    return Found(pixels, queries, [asked and asked.eps] * len(originals))


def _search_elsewhere(
    find: Find, surrogate: Surrogate, originals: np.ndarray, labels: np.ndarray, masks: np.ndarray | None
) -> Found:
    found = find(originals, surrogate.indices[labels], masks)
    return replace(found, queries=np.zeros(len(originals), int))


def _search_smallest(
    smallest: MinimumRadius, originals: np.ndarray, labels: np.ndarray, masks: np.ndarray | None
) -> Found:
    pixels, queries, radii = smallest(originals, labels, masks)
    return Found(pixels, queries, [float(radius) for radius in radii])
