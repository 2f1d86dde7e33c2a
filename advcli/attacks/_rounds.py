"""Loops that drop an image once it is adversarial, so that the cost falls with the number of remaining images.

In inference mode a network computes each image independently, so dropping images does not change the result for
the others.
"""

from collections.abc import Callable
from typing import NamedTuple

from advcli.backend import Nest, Tensor, tf
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat
from advcli.tracing import as_written, converted, repeated


class Batch(NamedTuple):
    """The images of a round, the classes to move away from, likely classes to move towards, the least size so far."""

    images: Tensor
    labels: Tensor
    targets: Tensor
    seeds: Tensor
    size: Tensor

    @property
    def rng(self) -> ImageRng:
        """Return the images' random streams."""
        return ImageRng(self.seeds)


Network = Callable[[Tensor], Tensor]


@as_written
def in_rounds(
    search: Callable[[Network, Threat, Tensor, Batch], Tensor],
    logits_fn: Network,
    images: Tensor,
    labels: Tensor,
    threat: Threat,
    rng: ImageRng,
    *,
    restarts: int,
    targets: int = 1,
    order: Callable[[Tensor], Tensor] | None = None,
    nearest: bool = False,
) -> Tensor:
    """Search in several rounds, each for the images that are not adversarial yet.

    An image that is adversarial without any perturbation is returned unchanged. For an image that no round fools, the
    point of greatest loss of all rounds is returned.

    Args:
        search: (network, threat, restart, batch) -> (n, H, W, C), a point for each image of the batch.
        logits_fn: the network.
        images: (N, H, W, C).
        labels: (N,).
        threat: the ball.
        rng: one random stream an image; each round derives its own.
        restarts: rounds for each target.
        targets: number of target classes, in turn: the second likeliest class onwards, or the threat's own target.
        order: logits of the images -> (N, K) the classes in the order in which they are targets, the first of which is
            skipped; from the likeliest on if it is missing.
        nearest: search for every image in every round, and return its nearest adversarial point.
    """
    if threat.eps == 0:
        return images
    logits = logits_fn(images)
    targets = min(targets, logits.shape[1] - 1) if threat.target is None else 1
    turns = by_likelihood(logits) if order is None or threat.target is not None else converted(order)(logits)
    found = images
    is_adversarial = threat.is_adversarial(logits, labels)
    # The distance of the nearest adversarial point from each image: infinite where there is none yet.
    size = tf.where(is_adversarial, 0.0, float("inf"))
    loss = headway(threat, logits, labels)
    converted_search = converted(search)

    def go_on(index: Tensor, found: Tensor, loss: Tensor, size: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        rows = tf.where(size > 0)[:, 0]

        def search_again() -> tuple[Tensor, Tensor, Tensor]:
            towards = turns[:, 1 + index // restarts]
            if threat.target is not None:
                towards = tf.fill(tf.shape(labels), tf.cast(threat.target, labels.dtype))
            batch = _take(Batch(images, labels, towards, rng.fold(index).seeds, size), rows)
            network = asked_about(logits_fn, rows)
            points = converted_search(network, threat.of(rows), index % restarts, batch)
            logits_there = network(points)
            is_adversarial = threat.is_adversarial(logits_there, batch.labels)
            reached = headway(threat, logits_there, batch.labels)
            reach = tf.where(is_adversarial, threat.size(points - batch.images) if nearest else 0.0, float("inf"))
            so_far = tf.gather(size, rows)
            better = (reach < so_far) | (tf.math.is_inf(so_far) & (reached > tf.gather(loss, rows)))
            values = ((found, points), (loss, reached), (size, reach))
            return tuple(_put(whole, rows, better, new) for whole, new in values)  # pyright: ignore[reportReturnType]  three

        return tf.cond(tf.size(rows) > 0, search_again, lambda: (found, loss, size))

    return repeated(targets * restarts, go_on, (found, loss, size))[0]


@as_written
def until_adversarial(
    step: Callable[[Network, Threat, Tensor, Nest], tuple[Nest, Tensor]],
    logits_fn: Network,
    threat: Threat,
    answer: Callable[[Nest], Tensor],
    state: Nest,
    steps: int,
) -> Tensor:
    """Repeat a step on the images that are not done, and return each image's answer at the end of its last step.

    Args:
        step: (network, threat, index, state) -> the next state, and (n,) bool: which images are done.
        logits_fn: the network.
        threat: the ball.
        answer: state -> (n, H, W, C), the result so far.
        state: a named tuple of tensors whose first axis is the image.
        steps: the maximum number of steps.
    """
    converted_step = converted(step)
    start = answer(state)
    every = tf.range(tf.shape(start, out_type=tf.int64)[0])

    def unfinished(index: Tensor, rows: Tensor, found: Tensor, state: Nest) -> Tensor:
        return (index < steps) & (tf.size(rows) > 0)

    def advance(index: Tensor, rows: Tensor, found: Tensor, state: Nest) -> tuple[Tensor, Tensor, Tensor, Nest]:
        state, done = converted_step(asked_about(logits_fn, rows), threat.of(rows), index, state)

        def leave() -> tuple[Tensor, Tensor, Tensor, Nest]:
            stay = tf.where(~done)[:, 0]
            left = _put(found, rows, done, answer(state))
            return index + 1, tf.gather(rows, stay), left, _take(state, stay)

        def go_on() -> tuple[Tensor, Tensor, Tensor, Nest]:
            return index + 1, rows, found, state

        return tf.cond(tf.reduce_any(done), leave, go_on)

    def any_rows(tensor: Tensor) -> Tensor:
        return tf.TensorShape([None, *tensor.shape[1:]])

    invariants = (tf.TensorShape([]), any_rows(every), start.shape, tf.nest.map_structure(any_rows, state))
    _, rows, found, state = tf.while_loop(unfinished, advance, (tf.constant(0), every, start, state), invariants)
    return tf.tensor_scatter_nd_update(found, rows[:, None], answer(state))


@as_written
def asked_about(logits_fn: Network, rows: Tensor) -> Network:
    """Restrict a network that counts queries to some rows of a batch; other networks are returned unchanged."""
    of = getattr(logits_fn, "of", None)
    return logits_fn if of is None else of(rows)


@as_written
def averaged(logits_fn: Network, passes: int) -> Network:
    """Return a network whose logits are the mean of several passes, for a randomised model."""
    return logits_fn if passes == 1 else _Averaged(logits_fn, passes)


@as_written
class _Averaged:
    """The mean of several passes of a network, which may count queries.

    Each pass is a call of its own: some models draw one random number for a whole batch.
    """

    def __init__(self, network: Network, passes: int) -> None:
        self._network = network
        self._passes = passes

    def __call__(self, images: Tensor) -> Tensor:
        def again(_: Tensor, total: Tensor) -> tuple[Tensor]:
            return (total + self._network(images),)

        return repeated(self._passes - 1, again, (self._network(images),))[0] / self._passes

    def of(self, rows: Tensor) -> "_Averaged":
        """Return the network restricted to some of these images."""
        return _Averaged(asked_about(self._network, rows), self._passes)


@as_written
def on_the_surface(threat: Threat, images: Tensor, rng: ImageRng) -> Tensor:
    """Sample perturbations with a norm of exactly eps: -> (N, H, W, C)."""
    shape = tf.shape(images)[1:]
    if threat.norm == "linf":
        delta = threat.restrict(rng.uniform(shape, -1.0, 1.0))
        return threat.eps * tf.math.divide_no_nan(delta, tf.reduce_max(tf.abs(delta), axis=(1, 2, 3), keepdims=True))
    if threat.norm == "l1":
        delta = threat.restrict(rng.normal(shape))
        return threat.eps * tf.math.divide_no_nan(delta, tf.reduce_sum(tf.abs(delta), axis=(1, 2, 3), keepdims=True))
    return threat.eps * threat.steepest(rng.normal(shape))


@as_written
def by_likelihood(logits: Tensor) -> Tensor:
    """Return the classes of each image from the likeliest on: (N, K) -> (N, K)."""
    return tf.argsort(logits, direction="DESCENDING", stable=True)


@as_written
def of_class(logits: Tensor, classes: Tensor) -> Tensor:
    """Return each image's logit of one class: (N, K), (N,) -> (N,)."""
    return tf.gather(logits, classes, axis=1, batch_dims=1)


@as_written
def best_other(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the greatest logit of all but one class: (N, K), (N,) -> (N,)."""
    return tf.reduce_max(tf.where(_one_hot(logits, classes), -float("inf"), logits), axis=1)


@as_written
def by_image(values: Tensor) -> Tensor:
    """Reshape one value an image so that it broadcasts with images: (N,) -> (N, 1, 1, 1)."""
    return values[:, None, None, None]


@as_written
def pick_images(rows: Tensor, ahead: Tensor, otherwise: Tensor) -> Tensor:
    """Return one of two values for each image: (N,) bool, (N, ...), (N, ...) -> (N, ...).

    It copies whole images; ``tf.where`` with a condition that is broadcast decides for each number, which takes up to
    six times as long.
    """
    return tf.raw_ops.Select(condition=rows, x=ahead, y=otherwise)


@as_written
def headway(threat: Threat, logits: Tensor, labels: Tensor) -> Tensor:
    """Return a loss that increases with the threat's loss, but does not underflow for a confident network."""
    classes = labels if threat.target is None else tf.fill(tf.shape(labels), tf.cast(threat.target, labels.dtype))
    others = tf.where(_one_hot(logits, classes), -float("inf"), logits)
    ahead = tf.reduce_logsumexp(others, axis=1) - of_class(logits, classes)
    return ahead if threat.target is None else -ahead


@as_written
def _one_hot(logits: Tensor, classes: Tensor) -> Tensor:
    return tf.one_hot(classes, logits.shape[1], on_value=True, off_value=False, dtype=tf.bool)


@as_written
def _take(state: Nest, rows: Tensor) -> Nest:
    return tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), state)


@as_written
def _put(whole: Tensor, rows: Tensor, chosen: Tensor, values: Tensor) -> Tensor:
    """Return ``whole`` with the values of the chosen rows replaced."""
    return tf.tensor_scatter_nd_update(whole, tf.boolean_mask(rows, chosen)[:, None], tf.boolean_mask(values, chosen))
