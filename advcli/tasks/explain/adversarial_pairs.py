"""Adversarial images beside their clean ones, and noise of the same size to compare with."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.data import images
from advcli.data.decoded import to_float
from advcli.errors import AdvcliError, UsageError
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.records.read_back import read_back
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.quantize import quantize_adversarial
from advcli.threat.rng import image_generator
from advcli.threat.spelling import spell_threat
from advcli.threat.threat import Norm

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """An image and its adversarial one: (H, W, C) uint8 both, and how the second was made where that is known."""

    clean: np.ndarray
    adversarial: np.ndarray
    attack: str | None = None
    norm: str | None = None
    eps: float | None = None

    @property
    def linf(self) -> float:
        """The largest change of a value, in units of [0, 1]."""
        return float(np.abs(self._change).max())

    @property
    def l2(self) -> float:
        """The length of the change, in units of [0, 1]."""
        return float(np.linalg.norm(self._change))

    @property
    def radius(self) -> str:
        """The ball, or the distance of the two images where there is none, in few words."""
        if self.norm and self.eps is not None:
            return spell_threat(self.norm, self.eps)
        return f"{spell_threat('linf', self.linf)}, {spell_threat('l2', self.l2)}"

    def noisy(self, seed: int) -> np.ndarray:
        """Add random signs of the same size as the perturbation to the clean image: -> (H, W, C) uint8."""
        rng = image_generator(self.clean, seed)
        inside = self.norm == Norm.LINF
        size = 255 * (self.linf if inside else self.l2 / np.sqrt(self.clean.size))
        # Between two whole grey levels some values take the one and some the other, so that the length is right.
        whole = np.floor(size + 1e-6)
        chance = max(0.0, (size**2 - whole**2) / (2 * whole + 1))
        steps = whole + (rng.random(self.clean.shape) < chance)
        noise = steps * rng.choice((-1, 1), self.clean.shape)
        return (self.clean + noise).clip(0, 255).astype(np.uint8)

    @property
    def _change(self) -> np.ndarray:
        return (self.adversarial.astype(np.int16) - self.clean) / 255


def attack_images(
    compiled_attack: CompiledAttack, spec: str | None, pictures: Sequence[np.ndarray], labels: Sequence[int]
) -> list[Pair]:
    """Attack images, those of one size together.

    Args:
        compiled_attack: the attack on the model.
        spec: the attack's name and options, for the records.
        pictures: (H, W, C) uint8 each.
        labels: the classes to move away from.
    """
    bounded, threat = compiled_attack.attack.bounded, compiled_attack.threat
    norm, eps = (str(threat.norm), float(threat.eps)) if bounded else (None, None)
    found: dict[int, Pair] = {}
    for shape in dict.fromkeys(pixels.shape for pixels in pictures):
        places = [place for place, pixels in enumerate(pictures) if pixels.shape == shape]
        originals = np.stack([pictures[place] for place in places])
        away = np.array([labels[place] for place in places])
        points, _ = compiled_attack(to_float(originals), away)
        pixels = quantize_adversarial(compiled_attack.classifier, originals, points, threat, away, bounded=bounded)
        for place, original, adversarial in zip(places, originals, pixels, strict=True):
            found[place] = Pair(original, adversarial, spec, norm, eps)
    return [found[place] for place in range(len(pictures))]


def read_pair(classifier: Classifier, clean: np.ndarray, file: Path) -> Pair:
    """Read the adversarial image that ``advcli attack`` made of an image: (H, W, C) uint8, a PNG file.

    Raises:
        AdvcliError: the file is none, or of another size.
    """
    adversarial = images.read(file, clean.shape[-1])
    if adversarial.shape != clean.shape:
        if adversarial.shape[:2] != classifier.image_size:
            sizes = [f"{pixels.shape[1]} x {pixels.shape[0]}" for pixels in (adversarial, clean)]
            raise AdvcliError(f"'{file}' has {sizes[0]} pixels, but its clean image has {sizes[1]}")
        clean = images.resize(clean, classifier.image_size, classifier.fitting)
    content = png.record_in(file)
    if not content:
        log.warning("'%s' contains no record of its attack", file)
        return Pair(clean, adversarial)
    made = read_back(_Made, content, f"the record in '{file}'")
    pair = Pair(clean, adversarial, made.attack, made.norm, made.eps)
    if abs(pair.linf - made.linf) > 0.5 / 255:
        away, told = (f"{255 * linf:.0f}/255" for linf in (pair.linf, made.linf))
        raise AdvcliError(f"'{file}' was not made from this image: the distance is {away}, not {told}")
    return pair


@dataclass(frozen=True)
class _Made:
    """What is read of the record that an adversarial image carries."""

    attack: str
    norm: Norm | None
    eps: float | None
    linf: float


def check_kind(file: Path) -> None:
    """Refuse a PNG file whose own text says that it is no adversarial image.

    Raises:
        UsageError: it says so.
    """
    kind = png.kind_in(file)
    if kind not in (None, "adversarial"):
        raise UsageError(
            f"'{file}' is a {kind}, not an adversarial image", "give the .adv.png that advcli attack wrote"
        )
