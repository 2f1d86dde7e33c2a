"""The choice of the norm of a training step where a run has several.

E-AT: Croce and Hein 2022, https://arxiv.org/abs/2105.12508
"""

from collections.abc import Mapping, Sequence

import numpy as np

# Apart from the streams of the order of the images.
_STREAM = 17


def choose_norm(norms: Sequence[str], counts: Mapping[str, tuple[int, int]], seed: Sequence[int]) -> int:
    """Choose one norm at random, each in proportion to its robust error so far, as in the paper: -> its place.

    Until every norm has been tried, all are equally likely. The choice follows from the arguments alone, so that all
    devices and a resumed run make the same.

    Args:
        norms: the norms.
        counts: of a norm: how many images it has attacked, and how many it has fooled.
        seed: seed, epoch, rollbacks and step.
    """
    tried = [counts.get(norm, (0, 0)) for norm in norms]
    errors = [1.0] * len(norms)
    if all(attacked for attacked, _ in tried):
        # A norm that has fooled no image yet would never be chosen again, however weak the network becomes.
        errors = [max(fooled, 1) / attacked for attacked, fooled in tried]
    bounds = np.cumsum(errors)
    drawn = np.random.default_rng([*seed, _STREAM]).random() * bounds[-1]
    return min(int(np.searchsorted(bounds, drawn, side="right")), len(norms) - 1)
