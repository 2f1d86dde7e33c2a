"""The table below the maps: their maxima, their similarity with the clean maps, the error of their sums."""

import math
from collections.abc import Sequence

import numpy as np

from advcli.records import Shift
from advcli.report.sheet import Numbers, share_text
from advcli.tasks.explain.explanation import Explanation, Map
from advcli.tasks.explain.map_pictures import map_pictures

# A map below this share of the spread of the logits, or below this value, is negligible.
_FAINT_SHARE, _FAINT = 1e-6, 1e-9
_NAMES = ("model", "image", "class", "map")
_COLUMNS = (
    *_NAMES,
    "max",
    "x clean",
    "rank correlation",
    "SSIM",
    "top 10%",
    "centre moved",
    "margin",
    "error of sum",
    "scale",
)
_FLIP_MAP = "flip map"


def numbers_of(explanations: Sequence[Explanation], scales: Sequence[dict[str, float]]) -> Numbers | None:
    """Write the numbers of all maps of an image, without the columns in which nothing is; None if there is none.

    Args:
        explanations: those of the models.
        scales: for each model: method -> the scale of its maps, where they share one.
    """
    rows = [row for each, shared in zip(explanations, scales, strict=True) for row in _rows(each, shared)]
    used = [name for name in _COLUMNS if any(row.get(name) for row in rows)]
    used = [name for name in used if name != "model" or len(explanations) > 1]
    if not rows:
        return None
    names = sum(name in _NAMES for name in used)
    return Numbers(used, [[row.get(name, "") for name in used] for row in rows], names)


def notes_of(explanations: Sequence[Explanation]) -> list[str]:
    """Say what the columns of the table are, where they need words."""
    notes = []
    if any(found.moved is not None for each in explanations for found in each.maps):
        compared = sorted({each.classifier.labels[each.origin] for each in explanations})
        notes.append(
            "rank correlation, SSIM, top 10% (intersection over union) and centre moved compare a map with the clean "
            f"image's map of {' or '.join(compared)}; in brackets: the same for random noise of the perturbation's size"
        )
    return notes


def _rows(explanation: Explanation, scales: dict[str, float]) -> list[dict[str, str]]:
    rows = [
        _row(explanation, found, scales.get(found.method))
        for found in explanation.maps
        if found.explainer.kind != "picture" and found.evidence
    ]
    margin = explanation.margin
    if margin is not None:
        labels = explanation.classifier.labels
        rows.append(
            {
                "model": explanation.classifier.name,
                "image": "adversarial",
                "class": f"{labels[explanation.views[-1].predicted]} - {labels[explanation.origin]}",
                "map": _FLIP_MAP,
                "max": f"{np.abs(margin.relevance).max():.3g}",
                "margin": f"{margin.before:.3g} to {margin.after:.3g}",
                "error of sum": share_of_error(margin.completeness),
            }
        )
    return rows


def _row(explanation: Explanation, found: Map, scale: float | None) -> dict[str, str]:
    target, labels = found.target, explanation.classifier.labels
    pictures = map_pictures(found)
    row = {
        "model": explanation.classifier.name,
        "image": target.view,
        "class": labels[target.index] + ("" if target.against is None else f" - {labels[target.against]}"),
        "map": found.method,
        "max": " / ".join(f"{picture.sign * picture.maximum:.3g}" for picture in pictures),
    }
    if target.view != "clean" and all(picture.clean_maximum for picture in pictures):
        row["x clean"] = " / ".join(f"{picture.maximum / (picture.clean_maximum or 1):.2g}" for picture in pictures)
    if found.moved is not None and found.floor is not None:
        row |= _similarities(found.moved, found.floor)
    if found.completeness is not None:
        row["error of sum"] = share_of_error(found.completeness)
    if scale is not None:
        row["scale"] = f"shared, to {scale:.3g}"
    elif is_faint(explanation, found):
        row["scale"] = "own, very small"
    return row


def _similarities(moved: Shift, floor: Shift) -> dict[str, str]:
    """Write the four numbers of a similarity, and in brackets those of noise."""
    return {
        "rank correlation": f"{moved.spearman:.2f} ({floor.spearman:.2f})",
        "SSIM": f"{moved.ssim:.2f} ({floor.ssim:.2f})",
        "top 10%": f"{moved.overlap:.2f} ({floor.overlap:.2f})",
        "centre moved": f"{moved.distance:.1%} ({floor.distance:.1%})",
    }


def share_of_error(completeness: float) -> str:
    """Write the share of the score's change that the sum of a map misses."""
    return share_text(completeness) if math.isfinite(completeness) else "change is 0"


def is_faint(explanation: Explanation, found: Map) -> bool:
    """Tell whether a map is negligible against the spread of the logits."""
    probabilities = explanation.view(found.target.view).probabilities
    spread = np.ptp(np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)))
    return bool(np.abs(found.relevance).max() < max(_FAINT, _FAINT_SHARE * spread))
