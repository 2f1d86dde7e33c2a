"""The end of every minimum-norm search: descents and walks along the boundary may find what is nearer.

Each search ends in a local minimum. On robust networks these lie far apart: the nearest of several is up to a third
nearer than that of one (``tests/benchmarks/minimum_norm.py``).
"""

from collections.abc import Sequence

from advcli.attacks._boundary import Walk
from advcli.attacks._descent import Descent, Sphere
from advcli.attacks._minimal import NearestAdversarial, bisected
from advcli.attacks._rounds import Batch, Network, in_rounds
from advcli.backend import Tensor, tf
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat

# How strongly walks are drawn to the image: as in FAB's paper, and more.
PULLS = (0.1, 0.3)
# Halvings of the way from the image to the nearest adversarial point found: the last steps went a little too far.
BISECTIONS = 10
_TARGETS = 9


def refined(
    best: NearestAdversarial,
    logits_fn: Network,
    images: Tensor,
    labels: Tensor,
    threat: Threat,
    rng: ImageRng,
    steps: int,
    *,
    pulls: Sequence[float] = PULLS,
    own: type | None = None,
) -> NearestAdversarial:
    """Put what is nearer in place of what another search found.

    Args:
        best: the nearest adversarial images found by the other search.
        logits_fn: the network.
        images: (N, H, W, C).
        labels: (N,).
        threat: the norm and the class to reach; what is found need not be inside the ball.
        rng: the images' own.
        steps: of each walk from the image towards each of nine likely classes; 0 leaves all as it is.
        pulls: of each walk, how strongly it is drawn to the image.
        own: the descent that the other search was; those that it was not come before, with three times as many steps.
    """
    if steps == 0:
        return best
    for descent in (Descent, Sphere) if threat.norm is Norm.L2 else (Descent,):
        if descent is own:
            continue
        found, _ = descent(3 * steps)(logits_fn, images, labels, threat)
        best = best.updated(found.image, tf.math.is_finite(found.size), images, threat)
    for pull in pulls:

        def run(network: Network, threat: Threat, restart: Tensor, batch: Batch, pull: float = pull) -> Tensor:
            return Walk(steps, alpha_max=pull)(network, threat, batch, batch.images)

        points = in_rounds(run, logits_fn, images, labels, threat, rng, restarts=1, targets=_TARGETS, nearest=True)
        best = best.updated(points, threat.is_adversarial(logits_fn(points), labels), images, threat)
    closer = bisected(
        lambda points: threat.is_adversarial(logits_fn(points), labels), images, best.image, BISECTIONS, threat
    )
    return best.updated(closer, tf.math.is_finite(best.size), images, threat)
