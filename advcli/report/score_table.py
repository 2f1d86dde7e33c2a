"""The accuracy of every model under every perturbation, the worst case among them."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from advcli.records import Group, Score
from advcli.report import wording
from advcli.report.cross_table import cross_table, parted
from advcli.report.page import Section

# With more radii than these, a summary shows the largest; the curves show all.
_FEW_RADII = 3
_GROUPS = {"seen": "seen in training", "unseen": "not seen in training"}


@dataclass(frozen=True)
class ScoreRow:
    """One perturbation: what it is called, each model's score under it, the highest accuracy among several."""

    perturbation: str
    scores: Sequence[Score | None]
    best: float | None


@dataclass(frozen=True)
class Block:
    """The perturbations of one kind; ``title`` is empty where the kind needs no name."""

    title: str
    rows: Sequence[ScoreRow]


@dataclass(frozen=True)
class Mean:
    """The mean accuracy of each model over the corruptions and severities, the highest among several."""

    count: int
    accuracies: Sequence[float]
    best: float | None


def summary_table(scores: Sequence[Score], groups: Sequence[Group]) -> Section | None:
    """Compare the models under attacks and noise, and by the mean over corruptions."""
    if not scores:
        return None
    shown = [score for score in scores if score.severity is None]
    kept = [
        score
        for members in parted(shown, lambda score: (score.perturbation, score.norm)).values()
        for score in _telling(members)
    ]
    models = tuple(dict.fromkeys(score.model for score in scores))
    content = {
        "models": models,
        "blocks": _blocks(kept, models),
        "mean": _mean([score for score in scores if score.severity is not None], models),
        "left_out": len(kept) < len(shown),
        "groups": cross_table(groups, _group_title, lambda group: group.model),
    }
    return Section("summary", "Summary", "benchmark/summary.html.j2", content)


def _group_title(group: Group) -> str:
    """Name a row of means by its perturbations and their strength."""
    strength = wording.radius(group.norm, group.eps) or {"corruption": "corruptions"}.get(group.kind, group.kind)
    if group.severities:
        strength += f", severity {', '.join(map(str, group.severities))}"
    return f"{_GROUPS.get(group.group, group.group)}: {strength}"


def _telling(scores: Sequence[Score]) -> list[Score]:
    """Exclude radius 0, which is no perturbation, and of many radii all but the largest."""
    radii = {score.eps for score in scores if score.eps}
    shown = {max(radii)} if len(radii) > _FEW_RADII else radii
    return [score for score in scores if not radii or score.eps in shown]


def _blocks(scores: Sequence[Score], models: Sequence[str]) -> list[Block]:
    blocks = []
    for kind, members in parted(scores, _kind).items():
        table = cross_table(members, lambda score: score.perturbation, lambda score: score.model)
        rows = []
        for perturbation, cells in table.rows:
            by_model = dict(zip(table.columns, cells, strict=True))
            found = [by_model.get(model) for model in models]
            rows.append(ScoreRow(perturbation, found, _best([score.accuracy for score in found if score])))
        blocks.append(Block(kind, rows))
    return blocks


def _kind(score: Score) -> str:
    if score.norm is not None and score.eps is not None:
        return f"Within {wording.radius(score.norm, score.eps)}"
    return {"clean": "", "worst": "All of them together", "any": "All norms together"}.get(
        score.perturbation, "Without a radius"
    )


def _mean(scores: Sequence[Score], models: Sequence[str]) -> Mean | None:
    """Return the means, if every model was measured under the same corruptions."""
    places = {model: [] for model in models}
    for score in scores:
        places[score.model].append(((score.perturbation, score.severity), score.accuracy))
    measured = [sorted(place for place, _ in found) for found in places.values()]
    if not scores or any(found != measured[0] for found in measured):
        return None
    accuracies = [fmean(accuracy for _, accuracy in found) for found in places.values()]
    return Mean(len(measured[0]), accuracies, _best(accuracies))


def _best(accuracies: Sequence[float]) -> float | None:
    return max(accuracies) if len(accuracies) > 1 else None
