"""Divergences between predictions."""

from advcli.backend import Tensor, tf
from advcli.tracing import as_written


@as_written
def divergence(reference: Tensor, other: Tensor) -> Tensor:
    """Return ``KL(softmax(reference) || softmax(other))`` of each image, in nats: (N, K), (N, K) logits -> (N,)."""
    logarithm = tf.nn.log_softmax(reference)
    return tf.reduce_sum(tf.exp(logarithm) * (logarithm - tf.nn.log_softmax(other)), axis=1)


def jensen_shannon(logits: list[Tensor]) -> Tensor:
    """Return the Jensen-Shannon divergence of predictions for each image: a list of (N, K) logits -> (N,), in nats."""
    answers = tf.nn.log_softmax(tf.stack(logits))
    # The lower bound is that of the authors' code. Without it the logarithm of a zero probability is infinite.
    mean = tf.math.log(tf.clip_by_value(tf.reduce_mean(tf.exp(answers), axis=0), 1e-7, 1.0))
    return tf.reduce_mean(tf.reduce_sum(tf.exp(answers) * (answers - mean), axis=2), axis=0)
