"""Which scores can be compared, and whether one is significantly below another."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from advcli import registry
from advcli.records import Score
from advcli.threat.spelling import spell_spec, spell_threat


def searches(scores: Iterable[Score]) -> list[Score]:
    """Return the scores of attacks that completed their search of a ball for every image."""
    attacks = registry.names("attacks")
    return [
        score
        for score in scores
        if score.norm is not None
        and score.severity is None
        and registry.canonical(score.perturbation) in attacks
        and (score.searched is None or score.searched >= score.images)
    ]


def balls(scores: Iterable[Score]) -> Iterator[Sequence[Score]]:
    """Group the scores of attacks by their ball: norm and radius."""

    def ball(score: Score) -> tuple[str, float]:
        return str(score.norm), score.eps or 0.0

    # At radius 0 all attacks find the same.
    found = [score for score in searches(scores) if score.eps != 0]
    for _, same in itertools.groupby(sorted(found, key=ball), key=ball):
        yield tuple(same)


def strongest(scores: Iterable[Score], *kinds: str) -> Score | None:
    """Return the score of the attack of the given kinds that leaves the fewest images correct."""
    of_kind = (score for score in scores if registry.component("attacks", score.perturbation).kind in kinds)
    return min(of_kind, key=lambda score: score.correct, default=None)


def single_step(score: Score) -> bool:
    """Tell whether the attack takes one gradient step."""
    return registry.build("attacks", score.perturbation).single_step


def more_than_chance(fewer: int, more: int, of: int, images: int, points: float) -> bool:
    """Return whether one count of correct images is below another of the same images by more than chance.

    Attacks of equal strength fool different images near the boundary, so their counts differ by a few.
    """
    return more - fewer >= images and 100 * (more - fewer) > points * of


def left_correct(score: Score) -> str:
    """Describe the result of an attack: ``pgd:steps=20 leaves 12 of 50 images correct``."""
    return f"{spell_spec(score.perturbation)} leaves {score.correct} of {score.images} images correct"


def ball_of(score: Score) -> str:
    """Write the ball that a score's attack searched: ``Linf 8/255``."""
    return spell_threat(score.norm, score.eps)
