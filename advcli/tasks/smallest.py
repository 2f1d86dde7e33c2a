"""Find, for each image, the smallest radius at which an attack fools."""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from advcli.data import to_float
from advcli.tasks.adversary import Adversary
from advcli.tasks.lattice import fooled, settled


@dataclass(frozen=True)
class SmallestRadius:
    """Radii in steps of 1/255: doubled until the attack fools, then halved between the last two.

    Args:
        adversary: the attack, and the greatest radius that is tried.
    """

    adversary: Adversary
    _ready: dict[int, Adversary] = field(default_factory=dict)

    def __call__(self, originals: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Search: (N, H, W, C) uint8, (N,) -> (N, H, W, C) uint8, (N,) queries, (N,) radii in steps.

        An image that nothing fools comes back as the greatest radius leaves it.
        """
        found = originals.copy()
        queries = np.zeros(len(originals), int)
        below = np.zeros(len(originals), int)
        above = np.full(len(originals), self.most + 1)
        tried = np.zeros(len(originals), int)
        while (open_ := np.flatnonzero((above - below > 1) & (below < self.most))).size:
            doubled = np.minimum(np.maximum(2 * below, 1), self.most)
            tried[open_] = np.where(above > self.most, doubled, (below + above) // 2)[open_]
            # The images that want the same radius are searched together.
            steps = int(tried[open_].min())
            rows = open_[tried[open_] == steps]
            pixels, asked, won = self._at(steps, originals[rows], labels[rows])
            queries[rows] += asked
            below[rows[~won]] = steps
            above[rows[won]] = steps
            kept = won | ((above[rows] > self.most) & (steps == self.most))
            found[rows[kept]] = pixels[kept]
        return found, queries, np.minimum(above, self.most)

    @cached_property
    def most(self) -> int:
        """The greatest radius in steps."""
        return max(int(self.adversary.threat.eps * 255 + 1e-6), 1)

    def _at(self, steps: int, originals: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Attack at one radius: -> pixels, queries, and which images are fooled."""
        if steps not in self._ready:
            threat = replace(self.adversary.threat, eps=steps / 255)
            self._ready[steps] = replace(self.adversary, threat=threat)
        adversary = self._ready[steps]
        adversarial, queries = adversary(to_float(originals), labels)
        pixels = settled(adversary.classifier, originals, adversarial, adversary.threat, labels)
        answers = adversary.classifier.predict(to_float(pixels))
        won = [fooled(row, adversary.threat, int(label)) for row, label in zip(answers, labels, strict=True)]
        return pixels, queries, np.array(won)
