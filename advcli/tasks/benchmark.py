"""Measure how many images classifiers still get right under each attack, and under the worst of them."""

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
from scipy.stats import binomtest

from advcli import registry
from advcli.attacks import Attack, Suite, Universal, is_bounded
from advcli.augmentations import Augmentation
from advcli.backend import Tensor, tf
from advcli.data import Dataset, Images, class_named
from advcli.draws import Draws
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.model import Classifier
from advcli.records import Progress, Score
from advcli.tasks.adversary import Adversary, image_seeds
from advcli.tasks.crafting import Applied, craft
from advcli.threat import Threat


def benchmark(
    classifier: Classifier,
    dataset: Dataset,
    images: Images,
    attacks: Mapping[str, Attack | Suite | Universal],
    threat: Threat,
    *,
    noises: Mapping[str, Augmentation] = MappingProxyType({}),
    batch: int = 64,
    seed: int = 0,
) -> Iterator[Score | Progress]:
    """Score one classifier on images at its own size: clean, with noise, under each attack, and in the worst case.

    Of noise, which nobody searches for, all images are counted. Only images that are right without any
    perturbation are attacked: the others count as wrong.

    Args:
        classifier: what is measured.
        dataset: what the images are of.
        images: the images, decoded at the classifier's size.
        attacks: spec -> attack.
        threat: the ball of every attack.
        noises: spec -> augmentation, each of which changes all images at random.
        batch: how many images are worked on together.
        seed: for the attacks' random draws.
    """
    classifier = classifier.frozen
    labels = class_indices(classifier, dataset)[images.labels]
    start = time.perf_counter()
    clean = np.zeros(len(images), dtype=bool)
    for done in range(0, len(images), batch):
        yield Progress(f"{classifier.name}: clean", done, len(images))
        part = slice(done, done + batch)
        clean[part] = classifier.predict(images.at(part)[0]).argmax(axis=1) == labels[part]

    def score(perturbation: str, correct: np.ndarray, protocol: str, seconds: float, norm: str | None = None) -> Score:
        interval = binomtest(int(correct.sum()), len(correct)).proportion_ci(method="wilson")
        return Score(
            model=classifier.name,
            data=dataset.name,
            seed=seed,
            perturbation=perturbation,
            protocol=protocol,
            norm=norm,
            eps=threat.eps if norm else None,
            severity=None,
            images=len(correct),
            correct=int(correct.sum()),
            accuracy=float(correct.mean()),
            low=float(interval.low),
            high=float(interval.high),
            accuracy_of_clean_correct=float(correct.sum() / clean.sum()) if clean.any() else 0.0,
            seconds=seconds,
        )

    yield score("clean", clean, "no perturbation", time.perf_counter() - start)
    for spec, noise in noises.items():
        start = time.perf_counter()
        correct = np.zeros(len(images), dtype=bool)
        changed = tf.function(partial(_noisy, noise), reduce_retracing=True)
        for done in range(0, len(images), batch):
            yield Progress(f"{classifier.name}: {spec}", done, len(images))
            pixels = images.at(slice(done, done + batch))[0]
            noisy = changed(tf.constant(pixels), tf.constant(image_seeds(pixels, seed))).numpy()
            correct[done : done + batch] = classifier.predict(noisy).argmax(axis=1) == labels[done : done + batch]
        protocol = protocol_of(spec, noise, len(classifier.labels))
        yield score(spec, correct, protocol, time.perf_counter() - start)
    worst = clean.copy()
    total = 0.0
    attackable = np.flatnonzero(clean)
    for spec, attack in attacks.items():
        start = time.perf_counter()
        if isinstance(attack, Universal):
            # Over the very images that it is measured on: the adversary knows them.
            parts = _parts(attackable, batch)
            batches = partial(_batches, images, labels, parts)
            pixels = yield from craft(classifier, attack, threat, batches, seed)
            adversary: Adversary | Applied = Applied(attack, threat, pixels, seed)
        else:
            attack = verdict_only(attack)
            adversary = Adversary(classifier, attack, threat, seed)
        robust = clean.copy()
        for done, part in enumerate(_parts(attackable, batch)):
            yield Progress(f"{classifier.name}: {spec}", done * batch, len(attackable))
            adversarial, _ = adversary(images.at(part)[0], labels[part])
            robust[part] = classifier.predict(adversarial).argmax(axis=1) == labels[part]
        worst &= robust
        seconds = time.perf_counter() - start
        total += seconds
        norm = str(threat.norm) if is_bounded(attack) else None
        yield score(spec, robust, protocol_of(spec, attack, len(classifier.labels)), seconds, norm)
    if attacks:
        norm = str(threat.norm) if all(is_bounded(attack) for attack in attacks.values()) else None
        yield score("worst", worst, "right under every one of: " + ", ".join(attacks), total, norm)


def noise_on_all(spec: str) -> Augmentation:
    """Build the noise of a spec so that every image gets it: training leaves some of them clean.

    Raises:
        UsageError: it is no noise.
    """
    noise = registry.build("augmentations", spec)
    if noise.stage != "noise":
        raise UsageError(f"'{registry.canonical(spec)}' is no noise", f"these are: {', '.join(_noises())}")
    return dataclasses.replace(noise, probability=1.0)  # type: ignore[type-var]


def _noises() -> list[str]:
    """Name the augmentations that are noise."""
    return [
        name for name in registry.names("augmentations") if registry.component("augmentations", name).stage == "noise"
    ]


def _noisy(noise: Augmentation, images: Tensor, seeds: Tensor) -> Tensor:
    return tf.clip_by_value(noise(images, Draws(seeds)), 0.0, 1.0)


def verdict_only(attack: Attack | Suite) -> Attack | Suite:
    """Return the attack that leaves an image at the first point that breaks it, if there is such an option.

    Whether an image is still right is all that counts here, so every point on the way is looked at.
    """
    if any(field.name == "stop" for field in dataclasses.fields(attack)):  # type: ignore[arg-type]
        return dataclasses.replace(attack, stop=True)  # type: ignore[type-var]
    return attack


def _parts(rows: np.ndarray, batch: int) -> list[np.ndarray]:
    return [rows[start : start + batch] for start in range(0, len(rows), batch)]


def _batches(
    images: Images, labels: np.ndarray, parts: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for part in parts:
        yield images.at(part)[0], labels[part]


def protocol_of(spec: str, attack: Attack | Suite | Universal | Augmentation, classes: int) -> str:
    """Spell out a perturbation with all its options, a suite with all its members."""
    if isinstance(attack, Suite):
        members = (protocol_of(member, registry.build("attacks", member), classes) for member in attack.members)
        return f"{attack.title(classes)}: {'; '.join(members)}"
    options = ",".join(f"{key}={value}" for key, value in dataclasses.asdict(attack).items())  # type: ignore[call-overload]
    name = spec.partition(":")[0]
    return f"{name}:{options}" if options else name


def class_indices(classifier: Classifier, dataset: Dataset) -> np.ndarray:
    """Find each class of a data set in a classifier: -> (classes of the data,) indices.

    Raises:
        AdvcliError: they do not have these classes in common.
    """
    if all(label == f"class {i}" for i, label in enumerate(classifier.labels)):
        if len(dataset.labels) == len(classifier.labels):
            return np.arange(len(classifier.labels))
        raise AdvcliError(
            f"'{classifier.name}' has {len(classifier.labels)} classes without names, "
            f"'{dataset.name}' has {len(dataset.labels)}",
            "give the model's class names with --labels",
        )
    indices = []
    for label in dataset.labels:
        index = class_named(classifier.labels, label)
        if index is None:
            raise AdvcliError(
                f"'{classifier.name}' has no class '{label}' of '{dataset.name}'", nearest(label, classifier.labels)
            )
        indices.append(index)
    if len(set(indices)) < len(indices):
        raise AdvcliError(f"two classes of '{dataset.name}' are one class of '{classifier.name}'")
    return np.array(indices)
