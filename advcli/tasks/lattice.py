"""Bring an adversarial image to the 8 bits of a file without losing what was found."""

import numpy as np

from advcli import images
from advcli.data import to_float
from advcli.model import Classifier
from advcli.threat import Threat

# Searches for the smallest perturbation end just across the boundary, and rounding may bring them back.
_STRETCHES = (1.05, 1.1, 1.2, 1.4, 1.7, 2.0, 3.0, 4.0)


def settled(
    classifier: Classifier, original: np.ndarray, adversarial: np.ndarray, threat: Threat, label: int
) -> np.ndarray:
    """Round to 8 bits inside the ball; where that undoes the attack, go a little further along the same way.

    Args:
        classifier: what was attacked.
        original: (H, W, C) uint8, the centre of the ball.
        adversarial: (H, W, C) float32 in [0, 1].
        threat: the ball.
        label: the class the attack moved away from.

    Returns:
        (H, W, C) uint8.
    """
    pixels = images.on_lattice(adversarial, original, threat.norm, threat.eps)
    if not _fools(classifier, adversarial, threat, label) or _fools(classifier, to_float(pixels), threat, label):
        return pixels
    centre = to_float(original)
    for stretch in _STRETCHES:
        further = np.clip(centre + stretch * (adversarial - centre), 0, 1)
        candidate = images.on_lattice(further, original, threat.norm, threat.eps)
        if _fools(classifier, to_float(candidate), threat, label):
            return candidate
    return pixels


def fooled(probabilities: np.ndarray, threat: Threat, label: int) -> bool:
    """Tell whether a classifier's answer is what the adversary wants: (K,) -> bool."""
    reached = int(probabilities.argmax())
    return reached != label if threat.target is None else reached == threat.target


def _fools(classifier: Classifier, pixels: np.ndarray, threat: Threat, label: int) -> bool:
    return fooled(classifier.predict(pixels[None])[0], threat, label)
