"""Randomized smoothing: certified accuracy of the majority vote of a model under Gaussian noise.

Cohen, Rosenfeld and Kolter 2019, https://arxiv.org/abs/1902.02918
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from advcli import registry
from advcli.backend import Tensor, TracedFunction, tf
from advcli.data.decoded import Images
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.records import Certified, Progress
from advcli.tasks.benchmark.intervals import clopper_pearson_low, counted
from advcli.threat.rng import ImageRng, image_seeds

ABSTAINED = -1

# No two uses of an image's random numbers may share the same noise.
_STREAM = "randomized smoothing"


@dataclass(frozen=True)
class Smoothing:
    """The options of randomized smoothing.

    Args:
        sigma: standard deviation of the noise, in units of the pixel range [0, 1].
        n: how many noisy copies of an image bound the probability of its class.
        n0: how many other copies select that class.
        alpha: the probability that the certificate of an image is wrong.
    """

    sigma: float
    n: int = 1000
    n0: int = 100
    alpha: float = 0.001

    def __post_init__(self) -> None:
        if self.sigma <= 0:
            raise UsageError(f"sigma is not positive: {self.sigma:g}", "it is in units of [0, 1]: try sigma=0.25")
        for option in ("n", "n0"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")
        if not 0 < self.alpha < 1:
            raise UsageError(f"alpha is not a probability between 0 and 1: {self.alpha:g}", "the usual one is 0.001")
        if self.alpha ** (1 / self.n) <= 0.5:
            least = math.floor(math.log2(1 / self.alpha)) + 1
            raise UsageError(
                f"n={self.n} cannot certify anything at alpha {self.alpha:g}",
                f"even if all copies agree: it takes n={least} or more",
            )

    @property
    def reach(self) -> float:
        """The largest possible radius: that of an image whose copies all agree."""
        return self.radius(self.n)

    @property
    def radii(self) -> tuple[float, ...]:
        """The radii to report: multiples of sigma / 2 from zero to the largest possible radius."""
        return tuple(self.sigma * step / 2 for step in range(math.floor(2 * self.reach / self.sigma) + 1))

    def radius(self, votes: int) -> float:
        """Return sigma * Phi^-1(p), the certified l2 radius, or -1 where p <= 1/2.

        p is the Clopper-Pearson lower bound of the class' probability from its votes among n.
        """
        low = clopper_pearson_low(votes, self.n, self.alpha)
        return self.sigma * NormalDist().inv_cdf(low) if low > 0.5 else -1.0


@dataclass(frozen=True)
class Certificate:
    """The certificate of one image.

    Args:
        index: the index of the image in the data.
        predicted: the predicted class, or ``ABSTAINED``.
        radius: the l2 distance, in units of [0, 1], within which the predicted class is constant; 0 if it abstained.
        seconds: the time taken.
    """

    index: int
    predicted: int
    radius: float
    seconds: float = 0.0


def read_smoothing(text: str) -> Smoothing:
    """Read ``--certify``: ``sigma=0.25,n=1000``.

    Raises:
        UsageError: an option is missing, unknown, or has no possible value.
    """
    return registry.filled(Smoothing, text, "--certify", "--certify ")


def certify(
    classifier: Classifier,
    images: Images,
    smoothing: Smoothing,
    *,
    rows: Sequence[int] | None = None,
    batch: int = 64,
    seed: int = 0,
) -> Iterator[Certificate | Progress]:
    """Certify images one by one.

    The noise is added to the pixels in [0, 1], at the classifier's own size, and the sum is not clipped: the
    proof holds for Gaussian noise, which clipping would change.

    Args:
        classifier: the model; it should be trained with noise of the same sigma.
        images: at the classifier's own size.
        smoothing: the options.
        rows: which of the images; all if not given.
        batch: how many noisy copies are classified together; the votes do not depend on it.
        seed: together with an image's own pixels it determines its noise.
    """
    votes = _Votes(classifier.inference_copy, smoothing.sigma, batch)
    rows = range(len(images)) if rows is None else rows
    for done, row in enumerate(rows):
        yield Progress(f"{classifier.name}: certifying", done, len(rows))
        start = time.perf_counter()
        pixels, _ = images.at(slice(row, row + 1))
        seeds = image_seeds(pixels, seed)
        chosen = int(votes(pixels[0], seeds, 0, smoothing.n0).argmax())
        # The copies that select the class must not bound its probability: the bound would be biased upwards.
        radius = smoothing.radius(int(votes(pixels[0], seeds, smoothing.n0, smoothing.n)[chosen]))
        predicted = chosen if radius >= 0 else ABSTAINED
        yield Certificate(int(row), predicted, max(radius, 0.0), time.perf_counter() - start)


class _Votes:
    """Counts the predicted classes of noisy copies of an image; traced once.

    Args:
        classifier: the model.
        sigma: standard deviation of the noise.
        batch: how many copies are classified together.
    """

    def __init__(self, classifier: Classifier, sigma: float, batch: int) -> None:
        self._classifier = classifier
        self._sigma = sigma
        self._batch = batch
        size = (*classifier.image_size, classifier.channels)
        scalar = tf.TensorSpec((), tf.int32)
        signature = [tf.TensorSpec(size, tf.float32), tf.TensorSpec((1, 2), tf.int32), scalar, scalar]
        self._traced: TracedFunction = tf.function(self._count, input_signature=signature, autograph=False)

    def __call__(self, pixels: np.ndarray, seeds: np.ndarray, first: int, copies: int) -> np.ndarray:
        """Count the votes of a range of copies: (H, W, C), (1, 2) -> (K,)."""
        image, seeds, end = tf.constant(pixels), tf.constant(seeds), first + copies
        parts = ((start, min(start + self._batch, end)) for start in range(first, end, self._batch))
        return sum(
            (self._traced(image, seeds, tf.constant(start), tf.constant(stop)).numpy() for start, stop in parts),
            np.zeros(len(self._classifier.labels), np.int64),
        )

    def _count(self, image: Tensor, seeds: Tensor, start: Tensor, stop: Tensor) -> Tensor:
        # A copy's noise depends on its number only, so the votes are the same in batches of any size.
        noise = ImageRng(seeds).named(_STREAM).numbered(tf.range(start, stop)).normal(tf.shape(image))
        scores = self._classifier.scores(image + self._sigma * noise)
        return tf.math.bincount(
            tf.argmax(scores, axis=1, output_type=tf.int32), minlength=tf.shape(scores)[1], dtype=tf.int64
        )


def certified(
    certificates: Sequence[Certificate],
    classes: np.ndarray,
    smoothing: Smoothing,
    *,
    model: str,
    data: str,
    seed: int,
) -> Iterator[Certified]:
    """Count the images that are certified correct at each radius.

    Args:
        certificates: the certificates of the counted images.
        classes: (N,) the true class of each image, as an index of the model's outputs.
        smoothing: the options of the certificates.
        model: the name of the model.
        data: the name of the data.
        seed: of the noise.
    """
    predicted = np.array([certificate.predicted for certificate in certificates], int)
    reached = np.array([certificate.radius for certificate in certificates], float)
    agrees = predicted == classes[[certificate.index for certificate in certificates]]
    for radius in smoothing.radii:
        yield Certified(
            model=model,
            data=data,
            seed=seed,
            sigma=smoothing.sigma,
            samples=smoothing.n,
            alpha=smoothing.alpha,
            radius=radius,
            **counted(agrees & (reached >= radius)),
            abstained=int((predicted == ABSTAINED).sum()),
            seconds=sum(certificate.seconds for certificate in certificates),
        )
