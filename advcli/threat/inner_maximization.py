"""Inputs of the inner maximization of adversarial training: network, ball, attack and random numbers."""

from collections.abc import Callable
from dataclasses import dataclass

from advcli.backend import Tensor
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class InnerMaximization:
    """The inputs of the inner maximization of an objective or a modifier.

    Args:
        logits: (N, H, W, C) -> (N, K) float32 logits of the network with its current weights, in inference mode.
        attack: (images, labels) -> adversarial images, by the attack of the training command.
        threat: the ball; its eps is a tensor while it still increases.
        rng: one random stream an image, different in every epoch.
        kept: (N, H, W, C), the perturbation kept by a replaying objective; zero at first.
    """

    logits: Callable[[Tensor], Tensor]
    attack: Callable[[Tensor, Tensor], Tensor]
    threat: Threat
    rng: ImageRng
    kept: Tensor | None = None
