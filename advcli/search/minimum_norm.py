"""Find the smallest radius at which an attack fools the model, for each image."""

from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from advcli.data.decoded import to_float
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.quantize import are_adversarial, quantize_adversarial
from advcli.threat.threat import Norm

# Each radius needs its own trace, so only the latest are kept.
_KEPT = 32
_FINENESS = 1.05


@dataclass(frozen=True)
class MinimumRadius:
    """Search over a grid of radii, multiples of 1/255: double the radius until the attack fools, then bisect.

    In linf the grid contains every multiple. In other norms, where radii are large, grid points differ by at most 5%.
    In l0 they are numbers of pixels.

    Args:
        compiled_attack: the attack, whose threat has the maximum radius.
    """

    compiled_attack: CompiledAttack
    _ready: OrderedDict[int, CompiledAttack] = field(default_factory=OrderedDict)

    def __call__(
        self, originals: np.ndarray, labels: np.ndarray, masks: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Search: (N, H, W, C) uint8, (N,) labels -> (N, H, W, C) uint8, (N,) queries, (N,) radii in the units of eps.

        An image that is already adversarial has the radius 0. If no radius fools the model, the result of the maximum
        radius is returned.
        """
        top = len(self.rungs)
        found = originals.copy()
        below = np.zeros(len(originals), int)
        above = np.where(self._fooled(originals, labels), 0, top + 1)
        queries = np.ones(len(originals), int)
        while (open_ := np.flatnonzero((above - below > 1) & (below < top))).size:
            doubled = np.minimum(np.maximum(2 * below, 1), top)
            tried = np.where(above > top, doubled, (below + above) // 2)
            # Images with the same next radius are attacked together.
            rung = int(tried[open_].min())
            rows = open_[tried[open_] == rung]
            chosen = None if masks is None else masks[rows]
            pixels, asked, is_adversarial = self._at(self.rungs[rung - 1], originals[rows], labels[rows], chosen)
            queries[rows] += asked
            below[rows[~is_adversarial]] = rung
            above[rows[is_adversarial]] = rung
            kept = is_adversarial | ((above[rows] > top) & (rung == top))
            found[rows[kept]] = pixels[kept]
        radii = np.array([0, *self.rungs, self.rungs[-1]])[above] * self._unit
        # The distance of the result may be smaller than the radius of the search.
        return found, queries, np.where(above <= top, np.minimum(radii, self._sizes(found, originals)), radii)

    @cached_property
    def rungs(self) -> list[int]:
        """The grid of radii, in multiples of the step."""
        threat = self.compiled_attack.threat
        most = max(int(threat.eps / self._unit + 1e-6), 1)
        if threat.norm is Norm.LINF:
            return list(range(1, most + 1))
        rungs = [1]
        while rungs[-1] < most:
            rungs.append(min(max(int(rungs[-1] * _FINENESS), rungs[-1] + 1), most))
        return rungs

    def _at(
        self, steps: int, originals: np.ndarray, labels: np.ndarray, masks: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Attack at one radius: -> pixels, queries, and which images fool the model."""
        compiled_attack = self._ready.pop(steps, None)
        if compiled_attack is None:
            compiled_attack = replace(
                self.compiled_attack, threat=replace(self.compiled_attack.threat, eps=steps * self._unit)
            )
        self._ready[steps] = compiled_attack
        if len(self._ready) > _KEPT:
            self._ready.popitem(last=False)
        adversarial, queries = compiled_attack(to_float(originals), labels, masks)
        pixels = quantize_adversarial(
            compiled_attack.classifier, originals, adversarial, compiled_attack.threat, labels
        )
        return pixels, queries, self._fooled(pixels, labels)

    @property
    def _unit(self) -> float:
        """The step of the grid."""
        return 1.0 if self.compiled_attack.threat.norm is Norm.L0 else 1 / 255

    def _fooled(self, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return are_adversarial(self.compiled_attack.classifier, to_float(pixels), self.compiled_attack.threat, labels)

    def _sizes(self, pixels: np.ndarray, originals: np.ndarray) -> np.ndarray:
        """Return the norm of perturbations: uint8 -> (N,) in the units of eps."""
        if self.compiled_attack.threat.norm is Norm.L0:
            return (pixels != originals).any(axis=-1).sum(axis=(1, 2)).astype(np.float64)
        delta = (pixels.astype(np.float64) - originals).reshape(len(pixels), -1) / 255
        order = {Norm.LINF: np.inf, Norm.L2: 2, Norm.L1: 1}[self.compiled_attack.threat.norm]
        return np.linalg.norm(delta, order, axis=1)
