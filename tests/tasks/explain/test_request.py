from pathlib import Path

import pytest

from advcli import registry
from advcli.tasks.explain.request import Request, endings
from advcli.tasks.explain.validate import comparison_model
from conftest import make_classifier

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


def test_a_compared_model_is_read_as_the_first_one_unless_it_is_a_run(tmp_path: Path) -> None:
    classifier = make_classifier("linear")
    classifier.model.export(tmp_path / "saved", verbose=False)
    (tmp_path / "run").mkdir()
    classifier.save(tmp_path / "run" / "model.keras")
    request = Request(input_range=(0.0, 255.0), edge=8, fit="crop")
    foreign = comparison_model(request, str(tmp_path / "saved"))
    assert (foreign.input_range, foreign.image_size, foreign.fit) == ((0.0, 255.0), 8, "crop")
    run = comparison_model(request, str(tmp_path / "run"))
    # A run knows its own range and size; which part of an image is seen is the same for both.
    assert (run.input_range, run.image_size, run.fit) == (None, None, "crop")
