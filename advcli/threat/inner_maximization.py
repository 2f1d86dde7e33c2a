"""What training may perturb a batch with: the network as it is now, the ball, the attack, the random draws."""

from collections.abc import Callable
from dataclasses import dataclass

from advcli.backend import Tensor
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class InnerMaximization:
    """What an objective or a modifier may perturb a batch with.

    Args:
        logits: (N, H, W, C) -> (N, K) float32 logits of the network as it is now, with BatchNorm in inference mode.
        attack: (images, labels) -> adversarial images, by the attack of the training command.
        threat: the ball; its eps is a tensor while it is still growing.
        rng: one stream an image, different in every epoch.
        kept: (N, H, W, C) the perturbation that a replaying objective kept; zero at first.
    """

    logits: Callable[[Tensor], Tensor]
    attack: Callable[[Tensor, Tensor], Tensor]
    threat: Threat
    rng: ImageRng
    kept: Tensor = None
