"""Kullback-Leibler divergence between two predictions."""

from advcli.backend import Tensor, as_written, tf


@as_written
def divergence(reference: Tensor, other: Tensor) -> Tensor:
    """Return ``KL(softmax(reference) || softmax(other))`` of each image, in nats: (N, K), (N, K) logits -> (N,)."""
    logarithm = tf.nn.log_softmax(reference)
    return tf.reduce_sum(tf.exp(logarithm) * (logarithm - tf.nn.log_softmax(other)), axis=1)
