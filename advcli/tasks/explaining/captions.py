"""What is said below a map: how large it is, how far it moved, how much of the change it leaves out."""

import math

import numpy as np

from advcli.records import Shift
from advcli.report.sheet import percent
from advcli.tasks.explaining.drawn import Drawn
from advcli.tasks.explaining.explanation import Explanation
from advcli.tasks.explaining.request import PARTS
from advcli.tasks.explaining.views import Question

# Beside the logits less than this share of them, and in any case less than this, is next to nothing.
_FAINT_SHARE, _FAINT = 1e-6, 1e-9


def map_caption(explanation: Explanation, picture: Drawn) -> str:
    """Write what is to be known of one map, in lines; nothing of a picture."""
    found = picture.map
    if found.kind == "picture":
        return ""
    lines = [f"max |value| {picture.maximum:.3g}" if picture.two_sided else f"max {picture.maximum:.3g}"]
    if picture.clean and found.question.wanted.view != "clean":
        ratio = f"x{picture.maximum / picture.clean:.2g} of clean"
        # A line has no room for both where the first is long.
        lines = [*lines, ratio] if picture.two_sided else [f"{lines[0]} ({ratio})"]
    lines += _moved(explanation, picture)
    if found.completeness is not None:
        lines.append(missed(found.completeness))
    if picture.shared:
        lines.append(f"shared scale to {picture.scale:.3g}")
    elif _is_faint(explanation, picture):
        lines.append("next to nothing, on its own scale")
    return "\n".join(lines)


def missed(completeness: float) -> str:
    """Write how far a map's sum misses the change of the score."""
    return f"sum misses {percent(completeness)}" if math.isfinite(completeness) else "sum misses all"


def shift_lines(explanation: Explanation, question: Question) -> list[str]:
    """Write how far the maps of one question moved, and in brackets how far noise of that size moves them."""
    lines = []
    for found in explanation.maps:
        if found.question == question and found.moved is not None and found.floor is not None:
            lines.append(f"{found.method}: moved (noise)")
            lines += [f"  from {other}" for other in _other_class(explanation, question)]
            lines += [f"  {line}" for line in compared(found.moved, found.floor)]
    return lines


def compared(moved: Shift, floor: Shift) -> list[str]:
    """Write the four numbers of a shift with those of noise beside them."""
    return [
        f"rank correlation {moved.spearman:.2f} ({floor.spearman:.2f})",
        f"SSIM {moved.ssim:.2f} ({floor.ssim:.2f})",
        f"top 10%, intersection/union {moved.overlap:.2f} ({floor.overlap:.2f})",
        f"centre moved {moved.distance:.1%} ({floor.distance:.1%})",
    ]


def _moved(explanation: Explanation, picture: Drawn) -> list[str]:
    found = picture.map
    parts = PARTS.get(found.method, (picture.part,))
    # The whole map is compared, so that the numbers of its parts are the same.
    if found.moved is None or found.floor is None or picture.part != parts[0]:
        return []
    more = ["both signs"] if len(parts) > 1 else []
    more += [f"with {other}" for other in _other_class(explanation, found.question)]
    number = f"rank correlation {found.moved.spearman:.2f}, noise {found.floor.spearman:.2f}"
    return [number, *more]


def _other_class(explanation: Explanation, question: Question) -> list[str]:
    """Name the clean map that is compared with, where it is of another class than the one explained."""
    if question.index == explanation.origin:
        return []
    return [f"the clean map of {explanation.classifier.labels[explanation.origin]}"]


def _is_faint(explanation: Explanation, picture: Drawn) -> bool:
    """Tell whether a map is next to nothing beside the logits, whose spread stands for their size."""
    probabilities = explanation.view(picture.map.question.wanted.view).probabilities
    spread = np.ptp(np.log(np.maximum(probabilities, np.finfo(np.float32).tiny)))
    return bool(np.abs(picture.map.relevance).max() < max(_FAINT, _FAINT_SHARE * spread))
