"""PRIME: chains of random displacements, filters and tone curves, mixed with each other and with the image.

Modas, Rade, Ortiz-Jimenez, Moosavi-Dezfooli and Frossard 2022, https://arxiv.org/abs/2112.13547
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation
from advcli.augmentations._prime import deformed, filtered, recoloured
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng, dirichlet


@dataclass(frozen=True)
class Prime(Augmentation):
    """``(1 - m) x + m * sum of w_i chain_i(x)``, m uniform in [0, 1] and w even over the simplex.

    A chain is a sequence of primitives, each chosen at random: a displacement of the pixels, a random filter, and a
    random function of the values. The defaults are the paper's for ImageNet, except for the limit of the displacement,
    which is that for small images. Every image has parameters of its own, where the authors' code samples some for
    a batch, and the filter adds to the identity, where the authors' code shifts the image by a pixel.

    Args:
        width: number of chains.
        depth: number of primitives in a chain; 0 means random, from one to three.
        cut: greatest frequency of a displacement, in half periods an image.
        kernel: size of the filter in pixels, an odd number.
        sigma: greatest standard deviation of the weights of the filter.
        frequencies: greatest of the lowest frequencies of a tone curve, in half periods from black to white.
        bandwidth: number of frequencies in a tone curve.
        temperature: greatest variance of the coefficients of a tone curve.
    """

    stage: ClassVar[str] = "colour"
    covers: ClassVar[tuple[str, ...]] = ("elastic-transform",)

    width: int = 3
    depth: int = 0
    cut: int = 100
    kernel: int = 3
    sigma: float = 4.0
    frequencies: int = 500
    bandwidth: int = 20
    temperature: float = 0.05

    def __post_init__(self) -> None:
        for name, least in (("width", 1), ("depth", 0), ("cut", 3), ("frequencies", 1), ("bandwidth", 1)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} is less than {least}: {getattr(self, name)}")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise UsageError(f"kernel is not an odd number of pixels: {self.kernel}")
        for name in ("sigma", "temperature"):
            if getattr(self, name) < 0:
                raise UsageError(f"{name} is negative: {getattr(self, name):g}")

    def __call__(self, images: Tensor, rng: ImageRng) -> Tensor:
        """Mix chains of primitives: (N, H, W, C) -> (N, H, W, C)."""
        count, links = tf.shape(images)[0], self.depth or 3
        choices = tf.reshape(rng.named("primitives").scalars(self.width * (links + 1)), [-1, links + 1])
        lengths = tf.fill([count * self.width], links) if self.depth else 1 + tf.cast(choices[:, 0] * links, tf.int32)
        streams = ImageRng(tf.repeat(rng.seeds, self.width, axis=0)).numbered(tf.tile(tf.range(self.width), [count]))
        chains = tf.repeat(images, self.width, axis=0)
        for link in range(links):
            chosen = tf.where(link < lengths, tf.cast(choices[:, link + 1] * 3, tf.int32), 3)
            chains = self._changed(chains, chosen, streams.named(f"link {link}"))
        chains = tf.reshape(chains, tf.concat([[count, self.width], tf.shape(images)[1:]], axis=0))
        weights = dirichlet(rng.named("weights").scalars(self.width))[:, :, None, None, None]
        mixed = sum(weights[:, i] * chains[:, i] for i in range(self.width))
        share = rng.named("share").scalars(1)[:, :, None, None]
        return images + share * (mixed - images)

    def _changed(self, images: Tensor, chosen: Tensor, rng: ImageRng) -> Tensor:
        """Apply one primitive to each image, or none where the number is 3: (M, H, W, C), (M,) -> (M, H, W, C)."""
        places = tf.dynamic_partition(tf.range(tf.shape(images)[0]), chosen, 4)
        parts = [(tf.gather(images, part), ImageRng(tf.gather(rng.seeds, part))) for part in places]
        moved = deformed(*parts[0], self.cut)
        sharpened = filtered(*parts[1], self.kernel, self.sigma)
        toned = recoloured(*parts[2], self.frequencies, self.bandwidth, self.temperature)
        return tf.ensure_shape(tf.dynamic_stitch(places, [moved, sharpened, toned, parts[3][0]]), images.shape)


COMPONENT = Prime
