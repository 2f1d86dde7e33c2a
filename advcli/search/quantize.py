"""Quantize adversarial images to 8 bits so that they stay adversarial."""

import numpy as np

from advcli.data.decoded import to_eight_bits, to_float
from advcli.model.classifier import Classifier
from advcli.threat.rounding import round_to_length
from advcli.threat.threat import Threat

# Searches for the smallest perturbation end just across the boundary, and rounding may bring them back.
# The smallest are less than half a grey level long everywhere: they have to grow many times to be seen at all.
_STRETCHES = (1.05, 1.1, 1.2, 1.4, 1.7, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)

# How often the classification of an image is checked at most.
MOST_CHECKS = 2 + len(_STRETCHES)


def quantize_adversarial(
    classifier: Classifier,
    originals: np.ndarray,
    adversarial: np.ndarray,
    threat: Threat,
    labels: np.ndarray,
    *,
    bounded: bool = True,
) -> np.ndarray:
    """Round to 8 bits inside the ball; if the result is not adversarial, enlarge the perturbation in its direction.

    Args:
        classifier: the classifier that was attacked.
        originals: (N, H, W, C) uint8, the centres of the balls.
        adversarial: (N, H, W, C) float32 in [0, 1].
        threat: the ball.
        labels: (N,) the classes to move away from.
        bounded: whether the attack is bounded by the ball; if not, the images are only rounded.

    Returns:
        (N, H, W, C) uint8.
    """
    if not bounded:
        return to_eight_bits(adversarial)

    def rounded(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
        pairs = zip(points, centres, strict=True)
        return np.stack([quantized(point, centre, threat.norm, threat.eps) for point, centre in pairs])

    pixels = rounded(adversarial, originals)
    lost = np.flatnonzero(
        are_adversarial(classifier, adversarial, threat, labels)
        & ~are_adversarial(classifier, to_float(pixels), threat, labels)
    )
    for stretch in _STRETCHES:
        if len(lost) == 0:
            break
        centres = to_float(originals[lost])
        further = np.clip(centres + stretch * (adversarial[lost] - centres), 0, 1)
        candidates = rounded(further, originals[lost])
        found = are_adversarial(classifier, to_float(candidates), threat, labels[lost])
        pixels[lost[found]] = candidates[found]
        lost = lost[~found]
    return pixels


def are_adversarial(classifier: Classifier, points: np.ndarray, threat: Threat, labels: np.ndarray) -> np.ndarray:
    """Return which images are adversarial: (N, H, W, C) in [0, 1], (N,) labels -> (N,) bool."""
    return threat.is_adversarial_class(classifier.classes(points), labels)


def fooled(probabilities: np.ndarray, threat: Threat, label: int) -> bool:
    """Return whether an image is adversarial, given its probabilities: (K,) -> bool."""
    reached = int(probabilities.argmax())
    return reached != label if threat.target is None else reached == threat.target


def quantized(adversarial: np.ndarray, original: np.ndarray, norm: str, eps: float) -> np.ndarray:
    """Round an adversarial image to 8 bits inside the ball.

    Args:
        adversarial: (H, W, C) float32 in [0, 1].
        original: (H, W, C) uint8, the centre of the ball.
        norm: linf, l2, l1 or l0.
        eps: the radius, in units of [0, 1], in l0 in pixels.

    Returns:
        (H, W, C) uint8.
    """
    centre = original.astype(np.int16)
    delta = adversarial.astype(np.float64) * 255 - centre
    if norm == "linf":
        reach = int(eps * 255 + 1e-6)
        rounded = np.rint(delta).clip(-reach, reach)
    elif norm == "l1":
        rounded = _rounded_to_sum(delta, int(eps * 255 + 1e-6))
    elif norm == "l0":
        rounded = _rounded_in_pixels(delta, int(eps))
    else:
        length = min(eps * 255, float(np.linalg.norm(delta)))
        rounded = round_to_length(delta, length + 1e-9, -centre, 255 - centre)
    return (centre + rounded.astype(np.int16)).clip(0, 255).astype(np.uint8)


def _rounded_in_pixels(delta: np.ndarray, most: int) -> np.ndarray:
    """Round a perturbation, and keep that of the pixels which it changes most: (H, W, C) -> (H, W, C)."""
    rounded = np.rint(delta)
    size = np.square(rounded).sum(axis=-1).ravel()
    dropped = np.argsort(-size, kind="stable")[most:]
    kept = np.ones(size.shape, bool)
    kept[dropped] = False
    return rounded * kept.reshape(*delta.shape[:2], 1)


def _rounded_to_sum(delta: np.ndarray, most: int) -> np.ndarray:
    """Round a perturbation, scaled down to the ball, so that its l1 norm stays equal or becomes slightly smaller."""
    # Pixels left alone differ by rounding errors, and there are too many of them to add those up.
    near = np.rint(delta)
    size = np.abs(np.where(np.abs(delta - near) < 5e-5, near, delta)).ravel()
    if size.sum() > most:
        size *= most / size.sum()
    # Of all ways to reach the sum in whole numbers this one changes the pixels least.
    whole = np.floor(size)
    left = int(min(most, np.rint(size.sum())) - whole.sum())
    whole[np.argsort(whole - size, kind="stable")[: max(left, 0)]] += 1
    return np.sign(delta) * whole.reshape(delta.shape)
