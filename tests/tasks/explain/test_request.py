from pathlib import Path

import pytest

from advcli import registry
from advcli.tasks.explain.request import Request, endings

EXPLAINERS = {method: registry.build("explainers", method) for method in ("saliency", "gradcam")}


def rows(request: Request) -> list[tuple[str, str, str | None]]:
    return [(wanted.view, wanted.word, wanted.against) for wanted in request.wanted]


def test_unless_told_otherwise_the_prediction_is_explained() -> None:
    assert rows(Request()) == [("clean", "predicted", None)]
    assert (
        rows(Request(attack="pgd"))
        == rows(Request(adversarial=Path("cat.adv.png")))
        == [
            ("clean", "predicted", None),
            ("adversarial", "predicted", None),
            ("adversarial", "original", None),
        ]
    )


def test_every_class_that_is_asked_for_has_a_row_a_view() -> None:
    request = Request(classes=("true", "cat", "true"), top=2, contrast=("cat", "dog"), attack="pgd")
    words = [("true", None), ("cat", None), ("top 1", None), ("top 2", None), ("cat", "dog")]
    assert rows(request) == [(view, *word) for word in words for view in ("clean", "adversarial")]


def test_no_two_rows_share_a_file() -> None:
    request = Request(
        classes=("predicted", "a b", "a/c"), top=3, contrast=("a b", "x"), attack="pgd", separate=True, raw=True
    )
    found = endings(request, EXPLAINERS, ["base", "robust", "robust/last"])
    assert len(found) == len(set(found))
    assert {".explain.png", ".explain.npz", ".gradcam.png", ".adv.gradcam.png", ".robust.a_b-x.gradcam.png"} <= set(
        found
    )
    assert not [ending for ending in found if "/" in ending]


@pytest.mark.parametrize("separate", [False, True])
def test_separate_maps_are_planned_only_if_asked_for(separate: bool) -> None:
    found = endings(Request(separate=separate), EXPLAINERS)
    maps = [".saliency-positive.png", ".saliency-negative.png", ".gradcam.png"]
    assert found == [".explain.png", *(maps if separate else [])]
