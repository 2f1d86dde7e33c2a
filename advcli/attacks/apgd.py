"""Auto-PGD: gradient ascent with momentum and an adaptive step size.

Croce and Hein 2020, https://arxiv.org/abs/2003.01690; for l1 their paper of 2021,
https://arxiv.org/abs/2103.01208; the constants are those of their code. The probability
margin is the loss of Xie, Zheng, Huang, Ye and Ma 2024, https://arxiv.org/abs/2411.15210.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack, _sparse
from advcli.attacks._nearest_classes import by_distance
from advcli.attacks._rounds import (
    Batch,
    Network,
    best_other,
    by_image,
    in_rounds,
    of_class,
    on_the_surface,
    pick_images,
    until_adversarial,
)
from advcli.backend import Tensor, tf
from advcli.errors import UsageError, nearest
from advcli.threat.gradient import mean_gradient_and_aux
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat
from advcli.tracing import as_written

LOSSES = ("ce", "dlr", "dlr-targeted", "pm", "pm-targeted")
ORDERS = ("likeliest", "nearest")


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    target: Tensor
    point: Tensor
    previous: Tensor
    best: Tensor
    best_gradient: Tensor
    best_loss: Tensor
    last_loss: Tensor
    rises: Tensor
    length: Tensor
    halved: Tensor
    checked_loss: Tensor
    sparse: _sparse.Sparse
    was_adversarial: Tensor
    answer: Tensor


@as_written
@dataclass(frozen=True)
class APGD(Attack):
    """Start with steps of 2 eps; halve them where the loss oscillates or its maximum stagnates; sparse steps in l1.

    Args:
        loss: ce, dlr (difference of logits ratio), pm (probability margin), and dlr-targeted and pm-targeted
            (towards several classes in turn).
        steps: number of gradient steps of a run.
        restarts: number of runs from different random points; a run skips images that are already adversarial.
        targets: for the targeted losses: number of target classes.
        order: for the targeted losses: likeliest (from the second likeliest class onwards) or nearest (from the class
            onwards whose boundary is nearest to first order).
        eot: number of gradients to average at each point, for a randomised model.
        stop: an image stops at its first adversarial point; false: the loss is increased to the end.
        larger_eps: for l1: 30% of the steps in a ball of 3 eps, 30% in one of 2 eps, then the rest, as in the paper.
    """

    kind: ClassVar[str] = "gradient"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")

    loss: str = "ce"
    steps: int = 100
    restarts: int = 1
    targets: int = 9
    order: str = "likeliest"
    eot: int = 1
    stop: bool = True
    larger_eps: bool = False

    @property
    def searchable_norms(self) -> tuple[str, ...]:
        """The norms of the balls that it can search: a run in larger balls is for l1."""
        return ("l1",) if self.larger_eps else self.norms

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UsageError(f"apgd has no loss '{self.loss}'", nearest(self.loss, LOSSES))
        if self.order not in ORDERS:
            raise UsageError(f"apgd has no order '{self.order}'", nearest(self.order, ORDERS))
        for option in ("steps", "restarts", "targets", "eot"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Run from each start towards each target: (N, H, W, C), (N,) -> (N, H, W, C)."""

        @as_written
        def run(network: Network, threat: Threat, restart: Tensor, batch: Batch) -> Tensor:
            return self._run(network, threat, batch)

        def from_the_nearest(logits: Tensor) -> Tensor:
            return by_distance(logits_fn, images, labels, logits, threat)

        targeted = self.loss.endswith("-targeted")
        return in_rounds(
            *(run, logits_fn, images, labels, threat, rng),
            restarts=self.restarts,
            targets=self.targets if targeted else 1,
            order=from_the_nearest if targeted and self.order == "nearest" else None,
        )

    def _run(self, logits_fn: Callable[[Tensor], Tensor], threat: Threat, batch: Batch) -> Tensor:
        if not self.larger_eps:
            first = _sparse.at_first(batch.images, threat.eps)
            return self._climb(logits_fn, threat, batch, _start(batch, threat), first, self.steps)
        stages = _sparse.stages_of(threat.eps, self.steps)
        point = _start(batch, replace(threat, eps=stages[0][0]))
        for eps, steps in stages:
            ball = replace(threat, eps=eps)
            start = ball.project(point, batch.images)
            first = _sparse.going_on(start - batch.images, eps)
            point = self._climb(logits_fn, ball, batch, start, first, steps, last=eps == threat.eps)
        return point

    def _climb(
        self,
        logits_fn: Callable[[Tensor], Tensor],
        threat: Threat,
        batch: Batch,
        start: Tensor,
        sparse: _sparse.Sparse,
        steps: int,
        last: bool = True,
    ) -> Tensor:
        """Run the ascent in one ball; only adversarial points of the last ball count."""
        windows = tf.constant(
            _sparse.checkpoints_of(steps) if threat.norm is Norm.L1 else windows_of(steps), tf.float32
        )

        @as_written
        def step(network: Network, threat: Threat, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            gradient, loss, is_adversarial = self._gradient(network, threat, state)
            state = _remembered(state, gradient, loss, is_adversarial)
            state, gradient = _checked(state, gradient, windows[index], threat)
            return _moved(state, gradient, threat, index), is_adversarial & (self.stop and last)

        number = tf.zeros_like(batch.labels, tf.float32)
        state = _State(
            image=batch.images,
            label=batch.labels,
            target=batch.targets,
            point=start,
            previous=start,
            best=start,
            best_gradient=tf.zeros_like(start),
            best_loss=number - float("inf"),
            last_loss=number + float("inf"),
            rises=number,
            length=number + 2 * threat.eps,
            halved=number == 0,
            checked_loss=number - float("inf"),
            sparse=sparse,
            was_adversarial=number != 0,
            answer=start,
        )
        # The first step looks at the start, so there is one more than steps are gone.
        return until_adversarial(
            step, logits_fn, threat, lambda state: state.answer if last else state.best, state, steps + 1
        )

    def _gradient(
        self, logits_fn: Callable[[Tensor], Tensor], threat: Threat, state: _State
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the mean gradient, and the losses and ``is_adversarial`` of the last forward pass."""

        def losses(point: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            logits = logits_fn(point)
            loss = self._loss(logits, state.label, state.target, threat)
            return loss, (logits, loss)

        mean, (logits, loss) = mean_gradient_and_aux(losses, state.point, self.eot)
        return threat.restrict(mean), loss, threat.is_adversarial(logits, state.label)

    def _loss(self, logits: Tensor, labels: Tensor, targets: Tensor, threat: Threat) -> Tensor:
        if self.loss == "ce":
            return threat.loss(logits, labels)
        if self.loss.startswith("pm"):
            return self._log_margin(logits, labels, targets, threat)
        top = tf.math.top_k(logits, min(4, logits.shape[1])).values
        if threat.target is not None:
            ahead = best_other(logits, targets) - of_class(logits, targets)
        elif self.loss == "dlr-targeted":
            ahead = of_class(logits, labels) - of_class(logits, targets)
        elif logits.shape[1] >= 3:
            return (best_other(logits, labels) - of_class(logits, labels)) / (top[:, 0] - top[:, 2] + 1e-12)
        else:
            ahead = of_class(logits, labels) - best_other(logits, labels)
        # With three classes the targeted ratio can be constant, with two there is none: the margin stands in.
        scale = top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + 1e-12 if logits.shape[1] >= 4 else 1.0
        return -ahead / scale

    def _log_margin(self, logits: Tensor, labels: Tensor, targets: Tensor, threat: Threat) -> Tensor:
        """Return ``log(1 + p_ahead - p_behind)``: what rises with the margin, but does not underflow.

        ``1 - p_behind`` is the sum of the other probabilities, in which ``p_ahead`` thus occurs twice.
        """
        if threat.target is not None:
            ahead, behind = targets, _likeliest_but(logits, targets)
        else:
            ahead, behind = targets if self.loss == "pm-targeted" else _likeliest_but(logits, labels), labels
        classes = logits.shape[1]
        others = tf.where(tf.one_hot(behind, classes) > 0, -float("inf"), logits)
        twice = others + math.log(2) * tf.one_hot(ahead, classes)
        return tf.reduce_logsumexp(twice, axis=1) - tf.reduce_logsumexp(logits, axis=1)


def _likeliest_but(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the likeliest class but one: (N, K), (N,) -> (N,)."""
    others = tf.where(tf.one_hot(classes, logits.shape[1]) > 0, -float("inf"), logits)
    return tf.argmax(others, axis=1, output_type=classes.dtype)


def _start(batch: Batch, threat: Threat) -> Tensor:
    """Sample the start of a run."""
    if threat.norm is Norm.L1:
        return threat.project(batch.images + batch.rng.normal(tf.shape(batch.images)[1:]), batch.images)
    return tf.clip_by_value(batch.images + on_the_surface(threat, batch.images, batch.rng), 0.0, 1.0)


def windows_of(steps: int) -> list[int]:
    """Return, for each step from 0, the number of steps since the last checkpoint if it is a checkpoint, else 0."""
    window, least, less = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
    windows = [0] * (steps + 1)
    step = window
    while step <= steps:
        windows[step] = window
        window = max(window - less, least)
        step += window
    return windows


def _remembered(state: _State, gradient: Tensor, loss: Tensor, is_adversarial: Tensor) -> _State:
    """Keep the point of greatest loss and, as the answer, the latest adversarial point."""
    greater = loss > state.best_loss
    best = pick_images(greater, state.point, state.best)
    return state._replace(
        best=best,
        best_gradient=pick_images(greater, gradient, state.best_gradient),
        best_loss=tf.where(greater, loss, state.best_loss),
        last_loss=loss,
        rises=state.rises + tf.cast(loss > state.last_loss, tf.float32),
        was_adversarial=state.was_adversarial | is_adversarial,
        answer=pick_images(is_adversarial, state.point, pick_images(state.was_adversarial, state.answer, best)),
    )


def _checked(state: _State, gradient: Tensor, window: Tensor, threat: Threat) -> tuple[_State, Tensor]:
    """At a checkpoint, adapt the step, and restart images without progress from their best point."""
    if threat.norm is Norm.L1:
        sparse, back = state.sparse.checked(window > 0, state.best - state.image, threat.eps)
        state = state._replace(sparse=sparse)
    else:
        state, back = _halved(state, window)
    state = state._replace(point=pick_images(back, state.best, state.point))
    return state, pick_images(back, state.best_gradient, gradient)


def _halved(state: _State, window: Tensor) -> tuple[_State, Tensor]:
    """At a checkpoint, halve the step of images without progress: -> the state, (N,) bool which images these are."""
    check = window > 0
    oscillates = state.rises <= 0.75 * window
    stands_still = ~state.halved & (state.checked_loss >= state.best_loss)
    halve = check & (oscillates | stands_still)
    state = state._replace(
        length=tf.where(halve, state.length / 2, state.length),
        halved=tf.where(check, halve, state.halved),
        checked_loss=tf.where(check, state.best_loss, state.checked_loss),
        rises=tf.where(check, 0.0, state.rises),
    )
    return state, halve


def _moved(state: _State, gradient: Tensor, threat: Threat, index: Tensor) -> _State:
    """Step along the gradient with momentum: ``x + 0.75 (z - x) + 0.25 (x - previous x)``; no momentum in l1."""
    if threat.norm is Norm.L1:
        return state._replace(point=threat.project(state.point + state.sparse.step(gradient), state.image))
    share = tf.where(index == 0, 1.0, 0.75)
    point = state.point
    ahead = threat.project(point + by_image(state.length) * threat.steepest(gradient), state.image)
    moved = point + share * (ahead - point) + (1 - share) * (point - state.previous)
    return state._replace(point=threat.project(moved, state.image), previous=point)


COMPONENT = APGD
