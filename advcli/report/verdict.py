"""One sentence that says what an evaluation found."""

from collections.abc import Iterator, Sequence
from statistics import fmean

from advcli import registry
from advcli.records import Change, Checked, Gate, Record, Requirement, Score, Swept, Tolerance
from advcli.report import wording
from advcli.report.cross_table import parted
from advcli.threat.spelling import spell_threat

# With more radii than these, the largest of each norm is reported.
_FEW = 3
_LONGEST = 60
_COMBINED = ("worst", "any")


def verdict(records: Sequence[Record]) -> str:
    """Say how accurate the best model is under the hardest measured perturbations, and what the checks found.

    The perturbations are, by what there is: the attacks, the tolerances of swept corruptions, the strongest values of
    sweeps, the corruptions, other perturbations, none. The sentence is empty without scores.
    """
    scores = [record for record in records if isinstance(record, Score)]
    if not scores:
        return ""
    sweeps = [record for record in records if isinstance(record, Swept)]
    tolerances = [record for record in records if isinstance(record, Tolerance)]
    result = _attacked(scores) or _tolerated(tolerances, sweeps) or _swept(scores, sweeps) or _corrupted(scores)
    parts = [result or _clean(scores), *_unmet(records), *_checked(records)]
    sentence = "; ".join(parts)
    return sentence[0].upper() + sentence[1:] + "."


def suspect_checks(checks: Sequence[Checked]) -> dict[str, list[Checked]]:
    """Group the findings that are suspect by their check."""
    return parted((check for check in checks if check.is_suspect), lambda check: check.check)


def suspicion(count: int) -> str:
    """Say that checks are suspect: ``2 checks suggest that these accuracies are misleading``."""
    suggest = "suggests" if count == 1 else "suggest"
    return f"{wording.count_noun(count, 'check')} {suggest} that these accuracies are misleading"


def _checked(records: Sequence[Record]) -> Iterator[str]:
    checks = [record for record in records if isinstance(record, Checked)]
    if checks:
        suspect = suspect_checks(checks)
        yield suspicion(len(suspect)) if suspect else "all checks passed"


def _unmet(records: Sequence[Record]) -> Iterator[str]:
    unmet = sum(
        isinstance(record, Gate | Requirement | Change | Tolerance) and record.met is False for record in records
    )
    if unmet:
        yield f"{wording.count_noun(unmet, 'requirement')} {'is' if unmet == 1 else 'are'} not met"


def _attacked(scores: Sequence[Score]) -> str:
    """Report the worst case of each ball, or of all attacks together if some of them have no ball."""
    together = [score for score in scores if score.perturbation == "worst" and score.norm is None]
    if together:
        return _kept("under all attacks together", together)
    balls = parted([score for score in scores if score.norm and score.eps], lambda score: (score.norm, score.eps))
    if len(balls) > _FEW:
        largest = dict(sorted(balls, key=lambda ball: ball[1] or 0.0))
        balls = {ball: found for ball, found in balls.items() if largest[ball[0]] == ball[1]}
    hardest = {spell_threat(*ball): _hardest(found) for ball, found in balls.items()}
    clauses: list[list[str]] = []
    before: tuple[object, ...] = ()
    for ball, found in hardest.items():
        best = _best(found)
        who = (best[0].images, *(score.model for score in best), _bound(best))
        if who == before:
            clauses[-1].append(f"{best[0].correct:,} under {ball}")
        else:
            clauses.append([_kept(f"under {ball}", found)])
        before = who
    return "; ".join(", ".join([*clause[:-1], f"and {clause[-1]}"]) if clause[1:] else clause[0] for clause in clauses)


def _hardest(scores: Sequence[Score]) -> list[Score]:
    """Return each model's worst case in one ball."""
    return [
        min(found, key=lambda score: (score.perturbation not in _COMBINED, score.accuracy))
        for found in parted(scores, lambda score: score.model).values()
    ]


def _tolerated(tolerances: Sequence[Tolerance], sweeps: Sequence[Swept]) -> str:
    """Report the strongest value that any model tolerates, for each swept corruption."""
    falling = {(sweep.perturbation, sweep.parameter): sweep.values[0] > sweep.values[-1] for sweep in sweeps}
    clauses = []
    for place, found in parted(tolerances, lambda found: (found.perturbation, found.parameter)).items():
        several = len({tolerance.model for tolerance in found}) > 1
        values = [tolerance.value for tolerance in found if tolerance.value is not None]
        if not values:
            who = "no model tolerates" if several else "the model does not tolerate"
            clauses.append(f"{who} {found[0].perturbation} at any measured value")
            continue
        best = min(values) if falling.get(place, False) else max(values)
        first = next(tolerance for tolerance in found if tolerance.value == best)
        models = [tolerance.model for tolerance in found if tolerance.value == best]
        who = _who(models, len(found))
        tolerates = "tolerates" if len(models) == 1 else "tolerate"
        clauses.append(f"{who} {tolerates} {first.perturbation} to {_value(first, best)}")
    return f"at a required accuracy of {tolerances[0].required:.4g} {'; '.join(clauses)}" if clauses else ""


def _value(tolerance: Tolerance, value: float) -> str:
    """Write a parameter's value: ``a radius of 4 pixels``, ``10 photons``, ``a beta of 0.5 (optical depth)``."""
    if tolerance.unit.startswith(tolerance.parameter):
        return f"{value:.10g} {tolerance.parameter}"
    unit = f" ({tolerance.unit})" if " " in tolerance.unit else f" {tolerance.unit}".rstrip()
    return f"a {tolerance.parameter} of {value:.10g}{unit}"


def _swept(scores: Sequence[Score], sweeps: Sequence[Swept]) -> str:
    """Report the accuracy at the strongest value of each sweep."""
    strongest = dict.fromkeys(sweep.perturbations[-1] for sweep in sweeps)
    clauses = [_kept(f"under {spec}", [score for score in scores if score.perturbation == spec]) for spec in strongest]
    return "; ".join(clauses)


def _corrupted(scores: Sequence[Score]) -> str:
    """Report the mean accuracy over the corruptions; without any, over the other perturbations."""
    found = [score for score in scores if score.severity is not None]
    kind = "corruption" if found else "perturbation"
    others = [
        score
        for score in scores
        if score.perturbation not in ("clean", *_COMBINED) and not score.norm and score.severity is None
    ]
    firsts = {registry.canonical(score.perturbation.partition("+")[0]) for score in others}
    fixed = bool(found) and not firsts.isdisjoint(registry.names("corruptions"))
    found = found or others
    names = list(dict.fromkeys(score.perturbation for score in found))
    by_model = parted(found, lambda score: score.model)
    if not found:
        return ""
    if len(found) == len(by_model):
        return _kept(f"under {names[0]}" + (f" {found[0].severity}" if found[0].severity else ""), found)
    means = {model: fmean(score.accuracy for score in of_model) for model, of_model in by_model.items()}
    best = [model for model, mean in means.items() if mean == max(means.values())]
    has = "has" if len(best) == 1 else "have"
    over = f"under {wording.count_noun(len(names), kind)}"
    # The mean is that of comparable strengths: a corruption whose options set its strength is not part of it.
    over += " with severities" if fixed else ""
    return f"{over} {_who(best, len(means))} {has} a mean accuracy of {max(means.values()):.1%}"


def _clean(scores: Sequence[Score]) -> str:
    clean = [score for score in scores if score.perturbation == "clean"]
    return _kept("without perturbation", clean or list(scores), "classifies", "classify", " correctly")


def _kept(where: str, scores: Sequence[Score], one: str = "keeps", many: str = "keep", after: str = "") -> str:
    """Say how many images the best model keeps: ``under Linf 4/255 the best model, a, keeps 43 of 100 images``."""
    best = _best(scores)
    does = one if len(best) == 1 else many
    count = f"{best[0].correct:,} of {wording.count_noun(best[0].images, 'image')}"
    return f"{where} {_who([score.model for score in best], len(scores))} {does} {_bound(best)}{count}{after}"


def _best(scores: Sequence[Score]) -> list[Score]:
    return [score for score in scores if score.accuracy == max(each.accuracy for each in scores)]


def _bound(scores: Sequence[Score]) -> str:
    return "at most " if any(score.searched is not None for score in scores) else ""


def _who(best: Sequence[str], of: int) -> str:
    """Name the best of several models."""
    if of == 1:
        return "the model"
    if len(best) == of and of > 1:
        return "both models" if of == 2 else f"all {of} models"
    names = _listed([wording.short_name(name, _LONGEST) for name in best])
    return f"the best {'model' if len(best) == 1 else 'models'}, {names},"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
