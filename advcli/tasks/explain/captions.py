"""The text below a map: its maximum, its similarity with the clean map, the share of the change its sum misses."""

import math

import numpy as np

from advcli.records import Shift
from advcli.report.sheet import share_text
from advcli.tasks.explain.explanation import Explanation, Target
from advcli.tasks.explain.map_pictures import MapPicture

# A map below this share of the spread of the logits, or below this value, is negligible.
_FAINT_SHARE, _FAINT = 1e-6, 1e-9


def map_caption(explanation: Explanation, picture: MapPicture) -> str:
    """Write the numbers of one map, in lines; nothing for a picture of a class."""
    found = picture.map
    if found.explainer.kind == "picture":
        return ""
    lines = [f"max |value| {picture.maximum:.3g}" if picture.two_sided else f"max {picture.maximum:.3g}"]
    if picture.clean_maximum and found.target.view != "clean":
        ratio = f"x{picture.maximum / picture.clean_maximum:.2g} of clean"
        # A line has no room for both where the first is long.
        lines = [*lines, ratio] if picture.two_sided else [f"{lines[0]} ({ratio})"]
    lines += _moved(explanation, picture)
    if found.completeness is not None:
        lines.append(missed(found.completeness))
    if picture.shared:
        lines.append(f"shared scale to {picture.scale:.3g}")
    elif _is_faint(explanation, picture):
        lines.append("very small, on its own scale")
    return "\n".join(lines)


def missed(completeness: float) -> str:
    """Write the share of the score's change that the sum of a map misses."""
    return f"sum off by {share_text(completeness)}" if math.isfinite(completeness) else "sum off: zero change"


def similarity_lines(explanation: Explanation, target: Target) -> list[str]:
    """Write how similar the maps of one target are to the clean ones, and in brackets the same for noise."""
    lines = []
    for found in explanation.maps:
        if found.target == target and found.moved is not None and found.floor is not None:
            lines.append(f"{found.method}: moved (noise)")
            lines += [f"  from {other}" for other in _other_class(explanation, target)]
            lines += [f"  {line}" for line in _numbers(found.moved, found.floor)]
    return lines


def _numbers(moved: Shift, floor: Shift) -> list[str]:
    """Write the four numbers of a similarity with those of noise beside them."""
    return [
        f"rank correlation {moved.spearman:.2f} ({floor.spearman:.2f})",
        f"SSIM {moved.ssim:.2f} ({floor.ssim:.2f})",
        f"top 10%, intersection/union {moved.overlap:.2f} ({floor.overlap:.2f})",
        f"centre moved {moved.distance:.1%} ({floor.distance:.1%})",
    ]


def _moved(explanation: Explanation, picture: MapPicture) -> list[str]:
    found = picture.map
    parts = found.explainer.parts(found.method)
    # The whole map is compared, so that the numbers of its parts are the same.
    if found.moved is None or found.floor is None or picture.part != parts[0]:
        return []
    more = ["both signs"] if len(parts) > 1 else []
    more += [f"with {other}" for other in _other_class(explanation, found.target)]
    number = f"rank correlation {found.moved.spearman:.2f}, noise {found.floor.spearman:.2f}"
    return [number, *more]


def _other_class(explanation: Explanation, target: Target) -> list[str]:
    """Name the clean map that is compared with, where it is of another class than the one explained."""
    if target.index == explanation.origin:
        return []
    return [f"the clean map of {explanation.classifier.labels[explanation.origin]}"]


def _is_faint(explanation: Explanation, picture: MapPicture) -> bool:
    """Tell whether a map is negligible against the spread of the logits."""
    probabilities = explanation.view(picture.map.target.view).probabilities
    spread = np.ptp(np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)))
    return bool(np.abs(picture.map.relevance).max() < max(_FAINT, _FAINT_SHARE * spread))
