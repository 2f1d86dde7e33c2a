"""How similar maps under attack are to the clean ones, over all images: the medians of each group of images."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from advcli.records import Shift, Shifted
from advcli.records.base import Fields
from advcli.tasks.explain.explanation import Explanation

_GROUPS = ("right", "fooled", "wrong")


@dataclass
class Statistics:
    """Numbers of one model, gathered image by image; the maps themselves are not kept.

    Args:
        rows: (method, group, class explained) -> the similarities with the clean maps, and those of noise.
        shares: group -> the shares of the pixels that restored a prediction.
        truths: whether the true class was known, image by image.
    """

    rows: dict[tuple[str, str, str], list[tuple[Shift | None, Shift | None]]] = field(default_factory=dict)
    shares: dict[str, list[float]] = field(default_factory=dict)
    truths: list[bool] = field(default_factory=list)

    def add(self, explanation: Explanation) -> None:
        """Add the numbers of one image."""
        if explanation.pair is None:
            return
        self.truths.append(explanation.true is not None)
        for found in explanation.maps:
            target = found.target
            if target.view != "adversarial" or target.against is not None or found.explainer.kind == "picture":
                continue
            explained = _role(explanation, target.index)
            if explained is not None:
                row = self.rows.setdefault((found.method, explanation.group, explained), [])
                row.append((found.moved, found.floor))
        if explanation.margin is not None and explanation.margin.share is not None:
            self.shares.setdefault(explanation.group, []).append(explanation.margin.share)

    def records(self, common: Fields) -> Iterator[Shifted]:
        """Yield a record a method, group and class explained."""
        known = sum(self.truths)
        truth = "known" if known == len(self.truths) else "the model's own prediction" if known == 0 else "partly known"
        order = sorted(self.rows, key=lambda key: (key[0], _GROUPS.index(key[1]), key[2] != "predicted"))
        for method, group, explained in order:
            pairs = self.rows[method, group, explained]
            moved = [shift for shift, _ in pairs if shift is not None]
            floors = [floor for _, floor in pairs if floor is not None]
            if not moved:
                continue
            shares = self.shares.get(group)
            noise = {f"noise_{name}": _median(floors, name) for name in ("spearman", "ssim", "overlap", "distance")}
            yield Shifted(
                method=method,
                group=group,
                explained=explained,
                images=len(moved),
                flat=len(pairs) - len(moved),
                spearman=_median(moved, "spearman") or 0.0,
                spearman_quartiles=_quartiles([shift.spearman for shift in moved]),
                ssim=_median(moved, "ssim") or 0.0,
                overlap=_median(moved, "overlap") or 0.0,
                distance=_median(moved, "distance") or 0.0,
                restored_share=float(np.median(shares)) if shares else None,
                truth=truth,
                **noise,
                **common,
            )


def _role(explanation: Explanation, index: int) -> str | None:
    """Name the class of an adversarial image that is explained; an image that does not fool has only one."""
    roles = {explanation.origin: "original", explanation.views[-1].predicted: "predicted"}
    return roles.get(index)


def _median(shifts: list[Shift], name: str) -> float | None:
    return float(np.median([getattr(shift, name) for shift in shifts])) if shifts else None


def _quartiles(values: list[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [0.25, 0.75])
    return float(low), float(high)
