"""Tests for components of your own: call them from a test of your package.

from advcli.testing import attack_battery

def test_my_attack() -> None:
    attack_battery(MyAttack())
"""

from collections.abc import Iterator

import numpy as np

from advcli import registry
from advcli.attacks import Attack
from advcli.backend import keras, tf
from advcli.corruptions import Corruption
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.refusals import refuse_unsupported
from advcli.threat.threat import Norm, Threat

_SIDE, _CLASSES, _IMAGES = 8, 4, 5
_RADII = {Norm.LINF: 0.05, Norm.L2: 0.5, Norm.L1: 2.0, Norm.L0: 4.0}
_TOLERANCE = 1e-6


def attack_battery(attack: Attack) -> None:
    """Hold an attack to what every attack must do, on two small networks, in each norm, with and without a target.

    Its images are float32 in [0, 1] and inside the ball. The loss rises on at least one image, unless it claims not
    to search the ball. The same seed gives the same images, whatever else is in the batch.

    Args:
        attack: an attack with few enough steps for a test.

    Raises:
        AssertionError: it does not; the message says in what.
    """
    for classifier in _networks():
        pixels = _images()
        labels = classifier.predict(pixels).argmax(axis=1)
        for norm, eps in _RADII.items():
            for target in (None, 2):
                threat = Threat(norm, eps, target)
                try:
                    refuse_unsupported(attack, threat)
                except UsageError:
                    continue
                rows = labels != target
                _check_attack(attack, classifier, threat, pixels[rows], labels[rows])


def _check_attack(
    attack: Attack, classifier: Classifier, threat: Threat, pixels: np.ndarray, labels: np.ndarray
) -> None:
    where = f"on {classifier.name} under {threat.norm} {threat.eps:g}"
    where += "" if threat.target is None else f" towards class {threat.target}"
    compiled = CompiledAttack(classifier, attack, threat, seed=3)
    found, queries = compiled(pixels, labels)
    _require(found.shape == pixels.shape, f"{where} the shape is {found.shape}, not {pixels.shape}")
    _require(found.min() >= 0 and found.max() <= 1, f"{where} pixels leave [0, 1]")
    if attack.bounded:
        size = float(threat.size(tf.constant(found - pixels)).numpy().max())
        _require(size <= threat.eps + _TOLERANCE, f"{where} an image leaves the ball: {size:g}")
    _require(queries.min() >= 1, f"{where} the model was not queried for an image")
    gained = _losses(classifier, threat, found, labels) - _losses(classifier, threat, pixels, labels)
    _require(gained.max() > 0, f"{where} the loss did not rise on any image: {gained}")
    again, _ = compiled(pixels, labels)
    _require(np.array_equal(found, again), f"{where} the same seed gives other images")
    alone, _ = compiled(pixels[:1], labels[:1])
    _require(np.allclose(alone, found[:1], atol=1e-4), f"{where} an image depends on the others of its batch")


def corruption_battery(corruption: Corruption) -> None:
    """Hold a corruption to what every corruption must do, at each severity, on grey images and on coloured ones.

    Its images are finite float32 of the same shape, in [0, 1]; the given ones are not changed in place. The same
    generators give the same images, whatever else is in the batch.

    Raises:
        AssertionError: it does not; the message says in what.
    """
    for channels in (1, 3):
        pixels = _images(4 * _SIDE, channels)
        for severity in (1, 2, 3, 4, 5):
            where = f"at severity {severity} with {channels} channel(s)"
            before = pixels.copy()
            found = corruption(pixels, severity, _generators())
            _require(np.array_equal(before, pixels), f"{where} the given images are changed in place")
            _require(found.shape == pixels.shape, f"{where} the shape is {found.shape}, not {pixels.shape}")
            _require(found.dtype == np.float32, f"{where} the type is {found.dtype}, not float32")
            _require(bool(np.isfinite(found).all()), f"{where} a pixel is not finite")
            _require(found.min() >= 0 and found.max() <= 1, f"{where} pixels leave [0, 1]")
            _require(not np.array_equal(found, pixels), f"{where} nothing changes")
            again = corruption(pixels[:2], severity, _generators()[:2])
            _require(np.allclose(again, found[:2], atol=1e-6), f"{where} the same generators give other images")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)


def _networks() -> Iterator[Classifier]:
    labels = tuple(f"class {number}" for number in range(_CLASSES))
    for backbone in ("linear", "small:width=8"):
        keras.utils.set_random_seed(1)
        model = registry.build("backbones", backbone)(_CLASSES, _SIDE, 3, None)
        generator = np.random.default_rng(2)
        # Weights as they are drawn for training hardly tell one image from another.
        for weight in model.layers[-1].weights:
            weight.assign(generator.normal(size=weight.shape))
        yield Classifier(registry.canonical(backbone), model, labels, (_SIDE, _SIDE), 3)


def _images(side: int = _SIDE, channels: int = 3) -> np.ndarray:
    generator = np.random.default_rng(0)
    return generator.uniform(0.3, 0.7, (_IMAGES, side, side, channels)).astype(np.float32)


def _generators() -> list[np.random.Generator]:
    return [np.random.default_rng((4, number)) for number in range(_IMAGES)]


def _losses(classifier: Classifier, threat: Threat, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return threat.loss(classifier.logits(tf.constant(pixels)), tf.constant(labels, tf.int32)).numpy()
