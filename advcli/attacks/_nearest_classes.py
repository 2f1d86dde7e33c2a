"""The order in which a targeted attack tries classes: from the one whose boundary is nearest, to first order.

Melamed, Yehudai and Shamir 2024 (MALT), https://arxiv.org/abs/2407.02240: near an image a network is almost linear, so
the linear distance tells which classes are within reach; the likeliest classes need not be those. The distance here is
that of the threat's norm, ``(z_label - z_class) / ||gradient of (z_label - z_class)||`` in the dual norm.
"""

from advcli.attacks._minimal import dual_size
from advcli.attacks._rounds import Network, by_likelihood, of_class
from advcli.backend import Tensor, tf
from advcli.threat.gradient import gradient_and_aux
from advcli.threat.threat import Threat

# Each candidate costs a gradient; a class that is less likely than so many others is hardly ever the nearest.
CANDIDATES = 30


def by_distance(logits_fn: Network, images: Tensor, labels: Tensor, logits: Tensor, threat: Threat) -> Tensor:
    """Return the classes in order: each image's label, its candidates from the nearest on, then the other classes.

    Args:
        logits_fn: the network.
        images: (N, H, W, C).
        labels: (N,), the classes to move away from.
        logits: (N, K), those of the images.
        threat: its norm measures the distance; pixels that may not change do not count.
    """
    own = tf.one_hot(labels, logits.shape[1], on_value=True, off_value=False, dtype=tf.bool)
    likely = by_likelihood(tf.where(own, float("inf"), logits))
    count = min(CANDIDATES, logits.shape[1] - 1)
    distances = tf.TensorArray(tf.float32, count)
    for index in tf.range(count):
        candidates = likely[:, 1 + index]

        def leads(points: Tensor, candidates: Tensor = candidates) -> tuple[Tensor, Tensor]:
            there = logits_fn(points)
            lead = of_class(there, labels) - of_class(there, candidates)
            return lead, lead

        gradient, lead = gradient_and_aux(leads, images)
        slope = dual_size(threat.restrict(gradient), threat)
        # A class that no first-order step approaches is as far away as can be.
        far = tf.fill(tf.shape(lead), lead.dtype.max)
        distances = distances.write(index, tf.where(slope > 0, lead / tf.maximum(slope, 1e-30), far))
    nearest = tf.argsort(tf.transpose(distances.stack()), axis=1, stable=True)
    candidates = tf.gather(likely[:, 1 : 1 + count], nearest, axis=1, batch_dims=1)
    return tf.concat([likely[:, :1], candidates, likely[:, 1 + count :]], axis=1)
