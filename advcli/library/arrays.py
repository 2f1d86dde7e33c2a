"""Attacks on and explanations of images in memory, without files."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advcli.attacks import Universal
from advcli.data import images as image_files
from advcli.data.decoded import to_float
from advcli.datasets._arrays import class_numbers
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.model.failures import reporting_failures
from advcli.model.model_choice import load_all
from advcli.options import changed_options, options_of
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.ensemble import ensemble_of
from advcli.search.image_batches import read_mask
from advcli.tasks.attack.request import Request as AttackRequest
from advcli.tasks.attack.validate import choose
from advcli.tasks.explain.request import Request as ExplainRequest
from advcli.tasks.request import ModelOptions

# The class of each image: whole numbers, which may be floats; or names too.
Indices = np.ndarray | Sequence[float] | Sequence[np.integer]
Labels = Indices | Sequence[str]

# What stands for the images and the model, and the options that an array has in common with files.
_OF_MODELS = {"files", "model", *options_of(ModelOptions)}
_OF_ATTACKS = {"attack", "norm", "eps", "target", "start", "mask", "queries", "seed"}
_OF_EXPLANATIONS = {"methods", "layer", "seed"}


@dataclass(frozen=True)
class Adversarial:
    """The adversarial images of an array.

    Args:
        images: (N, H, W, C) float32 in [0, 1].
        predicted: (N,) the class that the model itself predicts for each.
        fooled: (N,) whether the attack succeeded; false for images that were wrong without it.
        queries: (N,) the number of queries of the model for each image.
    """

    images: np.ndarray
    predicted: np.ndarray
    fooled: np.ndarray
    queries: np.ndarray

    def __repr__(self) -> str:
        """Say how many images were fooled, not all of their pixels."""
        return f"Adversarial({int(self.fooled.sum())} of {len(self.fooled)} images fooled)"


def attack_array(request: AttackRequest, images: np.ndarray, labels: Labels | None) -> Adversarial:
    """Attack an array: (N, H, W, C) or (N, H, W) images, (N,) true classes; None means the predicted ones.

    Raises:
        UsageError: the images are no images for the model, a label is no class, the mask is a folder or empty, or an
            option is for files only.
    """
    _refuse_ignored(request, _OF_ATTACKS)
    pixels = _in_unit_range(images)
    classifiers = load_all(request.choose_models(), lambda: pixels.shape[1:3])
    classifier = classifiers[0]
    if not len(pixels) or pixels.shape[-1] != classifier.channels:
        shown = "x".join(map(str, images.shape)) or "no"
        wanted = f"(N, H, W, {classifier.channels})"
        raise UsageError(
            f"an array of shape {shown} holds no images for '{classifier.name}', which takes {wanted}",
            "one image is image[None]",
        )
    crafted_on = classifier if len(classifiers) == 1 else ensemble_of(classifiers)
    # Only now is it known whether a black box returns scores, or classes alone.
    chosen = choose(request, classifier.access)
    search, threat = chosen.search, chosen.threat
    if isinstance(search, Universal):
        raise UsageError(f"'{chosen.spec}' crafts one perturbation for many images, a file", "attack image files")
    if chosen.target is not None:
        threat = replace(threat, target=classifier.index(chosen.target))
    if search.bounded:
        threat.refuse_impossible(pixels.shape[1:])
    start = None if request.start is None else image_files.read(request.start, classifier.channels)
    compiled = CompiledAttack(crafted_on.inference_copy, search, threat, request.seed, start)
    with reporting_failures([classifier.model]):
        before = classifier.predicted(pixels) if labels is None else classifier.classes(pixels)
        true = before if labels is None else indices_of_labels(labels, classifier, len(pixels))
        found = compiled.search(pixels, true, _masks(request.mask, pixels))
        predicted = found.predicted if crafted_on is classifier else classifier.classes(found.points)
    # What the model gets wrong without an attack is fooled by none.
    wrong, now = (np.asarray(threat.is_adversarial_class(each, true)) for each in (before, predicted))
    return Adversarial(found.points, predicted, now & ~wrong, found.queries)


def _refuse_ignored(request: AttackRequest | ExplainRequest, used: Collection[str]) -> None:
    """Refuse options that make no difference to an array.

    Raises:
        UsageError: one is given.
    """
    for name in sorted(changed_options(request) - _OF_MODELS - set(used)):
        raise UsageError(f"{name} is no option of a call with an array", "give image files, or leave it out")


def indices_of_labels(labels: Labels, classifier: Classifier, count: int) -> np.ndarray:
    """Return the true classes of an array's images as indices: (N,) or (N, 1), or one-hot (N, K) -> (N,) int.

    Raises:
        UsageError: they are of another number or shape, or a class does not exist.
    """
    given = np.asarray(labels)
    if given.ndim == 2 and len(given) == count:
        given = given[:, 0] if given.shape[1] == 1 else class_numbers(given, "labels")
    if given.shape != (count,):
        shown = "x".join(map(str, given.shape)) or "one value"
        raise UsageError(f"labels of shape {shown} for {count} images", f"give {count}, the class of each image")
    if given.dtype.kind in "US":
        return np.array([classifier.index(str(name)) for name in given])
    known = len(classifier.labels)
    whole = given.dtype.kind in "biu" or (given.dtype.kind == "f" and bool((given == np.round(given)).all()))
    if not whole or given.min() < 0 or given.max() >= known:
        raise UsageError(
            f"labels from {given.min()} to {given.max()} of type {given.dtype} for {known} classes",
            f"give whole numbers from 0 to {known - 1}, or names",
        )
    return given.astype(np.int64)


def _masks(file: Path | None, pixels: np.ndarray) -> np.ndarray | None:
    """Read the mask of all images of an array.

    Raises:
        UsageError: it is a folder, or leaves no pixel to change.
    """
    if file is None:
        return None
    if file.is_dir():
        raise UsageError(f"'{file}' is a folder, whose masks go by file names", "give one mask for all images")
    mask = read_mask(file, pixels.shape[1:3])
    if not mask.any():
        raise UsageError(f"the mask leaves no pixel to change: '{file}'")
    return np.repeat(mask[None], len(pixels), axis=0)


def explain_array(request: ExplainRequest, images: np.ndarray) -> dict[str, np.ndarray]:
    """Explain the predicted class of each image of an array: (N, H, W, C) or (N, H, W) -> maps of each method.

    Raises:
        UsageError: the images are no images, a method is not suitable, or an option is for files only.
    """
    _refuse_ignored(request, _OF_EXPLANATIONS)
    from advcli.explainers import enlarge_maps
    from advcli.tasks.explain.default_methods import suitable
    from advcli.tasks.explain.validate import build_explainers

    choice = request.choose(request.model)
    black_box = None if choice.access == "gradient" else choice.name
    explainers = build_explainers(request.methods, request.layer, black_box)
    pixels = _in_unit_range(images)
    classifier = choice.load(lambda: pixels.shape[1:3])
    chosen = explainers if request.methods else suitable(explainers, classifier)
    pixels = np.asarray(classifier.fit(pixels))
    found = {}
    with reporting_failures([classifier.model]):
        classes = classifier.predict(pixels).argmax(axis=1)
        for method, explainer in chosen.items():
            maps = explainer(classifier, pixels, classes, request.seed, None)
            found[method] = maps if explainer.kind == "picture" else enlarge_maps(maps, classifier.image_size)
    return found


def _in_unit_range(images: np.ndarray) -> np.ndarray:
    """Return images as float32 in [0, 1]: (N, H, W, C) or (N, H, W) -> (N, H, W, C).

    Raises:
        UsageError: they are of another shape, type or range.
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise UsageError(f"images of shape {images.shape}", "give (N, H, W, C)")
    if images.dtype == np.uint8:
        return to_float(images)
    if images.dtype.kind not in "fiub":
        raise UsageError(f"images of type {images.dtype}", "give uint8, or floats in [0, 1]")
    found = np.asarray(images, np.float32)
    if not (np.isfinite(found).all() and found.min(initial=0) >= 0 and found.max(initial=0) <= 1):
        raise UsageError("images have values outside of [0, 1]", "divide by 255, or give uint8")
    return found
