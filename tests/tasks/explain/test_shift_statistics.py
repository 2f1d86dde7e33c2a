"""Medians over the images of a folder, from numbers whose median, mean and extremes all differ."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.records import Shift, Shifted
from advcli.tasks.explain.adversarial_pairs import Pair
from advcli.tasks.explain.explanation import Explanation, Map, Target, View
from advcli.tasks.explain.margin_attribution import MarginAttribution
from advcli.tasks.explain.statistics import Statistics
from conftest import make_classifier

NOTHING = np.zeros((8, 8), np.float32)
PIXELS = np.zeros((8, 8, 3), np.uint8)
PAIR = Pair(PIXELS, PIXELS)


def view(name: str, predicted: int) -> View:
    return View(name, PIXELS / np.float32(255), np.eye(4)[predicted], (8, 8))


def shift(value: float | None) -> Shift | None:
    return None if value is None else Shift(value, value / 2, value / 4, value / 8)


def explanation(
    clean: int, attacked: int, true: int | None, maps: list[tuple[int, float | None, float | None]], **more: Any
) -> Explanation:
    """Make an explanation, whose maps are of a class, and moved by so much, and by so much under noise."""
    view_of = more.pop("view", "adversarial")
    method, against = registry.build("explainers", more.pop("method", "saliency")), more.pop("against", None)
    found = tuple(
        Map(
            Target(view_of, index, against, "predicted"), "saliency", method, None, NOTHING, NOTHING,
            moved=shift(moved), floor=shift(floor),
        )
        for index, moved, floor in maps
    )  # fmt: skip
    more = {"pair": PAIR} | more
    views = (view("clean", clean), view("adversarial", attacked))
    return Explanation(Path("a.png"), make_classifier("linear"), views, true, maps=found, **more)


def records(*explanations: Explanation) -> list[Shifted]:
    statistics = Statistics()
    for one in explanations:
        statistics.add(one)
    return list(statistics.records({"model": "m", "data": "d", "seed": 0}))


def test_medians_and_quartiles() -> None:
    moved, floors = [0.0, 0.1, 0.2, 0.6, 1.0], [0.9, 0.4, None, 0.2, 0.8]
    (record,) = records(
        *(explanation(1, 2, 1, [(2, *pair)]) for pair in zip(moved, floors, strict=True)),
        explanation(1, 2, 1, [(2, None, 0.8)]),
    )
    assert (record.method, record.group, record.explained) == ("saliency", "fooled", "predicted")
    assert (record.images, record.flat) == (5, 1)
    assert (record.spearman, record.ssim, record.overlap, record.distance) == pytest.approx((0.2, 0.1, 0.05, 0.025))
    assert record.spearman_quartiles == pytest.approx((0.1, 0.6))
    # Of .2, .4, .8, .8 and .9.
    assert record.noise_spearman == pytest.approx(0.8)
    assert (record.noise_ssim, record.noise_overlap, record.noise_distance) == pytest.approx((0.4, 0.2, 0.1))
    assert record.restored_share is None
    assert record.truth == "known"


def test_groups_and_roles_are_kept_apart_and_in_order() -> None:
    found = records(
        explanation(3, 3, 1, [(1, 0.1, None), (3, 0.2, None), (2, 0.9, None)]),
        explanation(1, 2, 1, [(1, 0.3, None), (2, 0.4, None)]),
        explanation(1, 1, 1, [(1, 0.5, None)]),
    )
    rows = [(record.group, record.explained, record.spearman) for record in found]
    # Where the prediction held, the class is both, and counts as the predicted one.
    assert rows == [
        ("right", "predicted", 0.5),
        ("fooled", "predicted", 0.4),
        ("fooled", "original", 0.3),
        ("wrong", "predicted", 0.2),
        ("wrong", "original", 0.1),
    ]
    assert all(record.noise_spearman is None for record in found)


@pytest.mark.parametrize(
    "other",
    [{"pair": None}, {"view": "clean"}, {"method": "activation-maximization"}, {"against": 0}],
    ids=lambda other: next(iter(other)),
)
def test_what_does_not_count(other: dict[str, Any]) -> None:
    assert records(explanation(1, 2, 1, [(2, 0.4, None)], **other)) == []


def test_shares_are_those_of_the_group() -> None:
    margins = [MarginAttribution(NOTHING, 1.0, -1.0, share) for share in (0.1, 0.2, 0.9, None)]
    found = records(
        *(explanation(1, 2, 1, [(2, 0.4, None)], margin=margin) for margin in margins),
        explanation(1, 1, 1, [(1, 0.5, None)]),
    )
    assert [(record.group, record.restored_share) for record in found] == [("right", None), ("fooled", 0.2)]


@pytest.mark.parametrize(
    ("truths", "expected"),
    [((1, 1), "known"), ((None, None), "the model's own prediction"), ((1, None), "partly known")],
)
def test_whether_the_truth_was_known(truths: tuple[int | None, ...], expected: str) -> None:
    found = records(*(explanation(1, 2, true, [(2, 0.4, None)]) for true in truths))
    assert [record.truth for record in found] == [expected]
