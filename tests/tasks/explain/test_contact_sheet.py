from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advcli.tasks.explain.captions import map_caption

from advcli import registry
from advcli.explainers import Explainer, ShownLayer
from advcli.model.classifier import Classifier
from advcli.records import Shift
from advcli.report.maps import sequential
from advcli.tasks.explain.adversarial_pairs import Pair
from advcli.tasks.explain.contact_sheet import contact_sheet
from advcli.tasks.explain.explanation import Explanation, Map, Target, View
from advcli.tasks.explain.map_pictures import map_pictures
from advcli.tasks.explain.margin_attribution import MarginAttribution

CLEAN, WRONG = np.array([0.7, 0.1, 0.1, 0.1]), np.array([0.1, 0.7, 0.1, 0.1])


def view(name: str, probabilities: np.ndarray) -> View:
    return View(name, np.full((8, 8, 3), 0.5, np.float32), probabilities, (20, 30))


class Given(Explainer):
    """An explainer that is never called."""

    def __call__(self, *arguments: Any) -> np.ndarray:
        raise NotImplementedError


class Unsigned(Given):
    signed = False


class UnsignedRegion(Unsigned):
    kind = "map"


def found(
    method: str,
    values: np.ndarray,
    where: str = "clean",
    index: int = 0,
    role: str = "predicted",
    clean: np.ndarray | None = None,
    missing: float | None = None,
    explainer: Explainer | None = None,
) -> Map:
    method_of: Explainer = explainer or registry.build("explainers", method)
    shown = ShownLayer("relu1", 4, 4, 8) if "cam" in method else None
    moved = Shift(0.4, 0.5, 0.1, 0.02) if where == "adversarial" else None
    target = Target(where, index, None, role)
    return Map(target, method, method_of, shown, values, values, missing, 0.0, moved, moved, clean)


def explained(
    classifier: Classifier, views: tuple[View, ...], true: int | None, maps: tuple[Map, ...], *rest: Any
) -> Explanation:
    pair, margin = (*rest, None, None)[:2]
    return Explanation(Path("x.png"), classifier, views, true, pair, maps=maps, margin=margin)


@pytest.fixture
def ramp() -> np.ndarray:
    return np.linspace(-1, 1, 64).reshape(8, 8)


def test_saliency_is_drawn_as_two_pictures_on_one_scale(linear: Classifier, ramp: np.ndarray) -> None:
    ramp = np.where(ramp > 0, ramp / 2, ramp)
    explanation = explained(linear, (view("clean", CLEAN),), None, (found("saliency", ramp),))
    positive, negative = map_pictures(explanation.maps[0])
    assert (positive.part, negative.part) == ("saliency-positive", "saliency-negative")
    assert (positive.maximum, negative.maximum) == (0.5, 1.0)
    assert positive.scale == negative.scale
    np.testing.assert_array_equal(negative.pixels(explanation.views[0]), sequential(-ramp, negative.scale))


@pytest.mark.parametrize(("explainer", "depth"), [(Given(), 3), (Unsigned(), 3), (UnsignedRegion(), 4)])
def test_the_film_is_the_map_alone(linear: Classifier, ramp: np.ndarray, explainer: Explainer, depth: int) -> None:
    explanation = explained(linear, (view("clean", CLEAN),), None, (found("x", ramp, explainer=explainer),))
    (picture,) = map_pictures(explanation.maps[0])
    film, pixels = picture.film(explanation.views[0]), picture.pixels(explanation.views[0])
    assert film is not None
    assert film.shape == (8, 8, depth)
    assert pixels is not None
    assert pixels.shape == (8, 8, 3)
    if explainer.kind == "map":
        assert film[ramp <= 0, 3].max() == 0, "what does not speak for the class is clear"
        np.testing.assert_array_equal(pixels[ramp <= 0], 128)


def test_a_flat_map_is_no_picture(linear: Classifier) -> None:
    explanation = explained(linear, (view("clean", CLEAN),), None, (found("gradcam", np.zeros((8, 8))),))
    (picture,) = map_pictures(explanation.maps[0])
    assert picture.pixels(explanation.views[0]) is picture.film(explanation.views[0]) is None
    (row,) = contact_sheet("t", [explanation], False).rows
    assert row.panels[1].pixels is None
    assert "no evidence" in row.panels[1].note


def test_what_a_gradients_sign_means_is_not_said_of_other_maps(linear: Classifier, ramp: np.ndarray) -> None:
    maps = tuple(found(name, ramp) for name in ("smoothgrad", "integrated-gradients"))
    explanation = explained(linear, (view("clean", CLEAN),), None, maps)
    details = [map_pictures(explanation.maps[number])[0].detail for number in range(2)]
    assert details == ["likelier: orange brighter, blue darker", "orange for, blue against the class"]
    assert {"smoothgrad", "saliency", "guided-backprop"} <= set(registry.names("explainers"))


def test_the_rows_of_a_fooled_image(linear: Classifier, ramp: np.ndarray) -> None:
    pixels = np.full((8, 8, 3), 128, np.uint8)
    margin = MarginAttribution(ramp + 0.1, -1.0, 5.4, 0.07, np.full((8, 8, 3), 0.5, np.float32), 0.6)
    maps = (
        found("gradcam", ramp),
        found("gradcam", ramp / 4, "adversarial", 1),
        found("gradcam", ramp / 2, "adversarial", 0, "original", clean=ramp),
    )
    explanation = explained(
        linear,
        (view("clean", CLEAN), view("adversarial", WRONG)),
        None,
        maps,
        Pair(pixels, pixels, "pgd", "linf", 8 / 255),
        margin,
    )
    assert explanation.group == "fooled"
    assert replace(explanation, true=1).group == "wrong"
    assert replace(explanation, views=(explanation.views[0],) * 2).group == "right"
    clean, wrong, original = contact_sheet("t", [explanation], False).rows
    assert [row.explained for row in (clean, wrong, original)] == [0, 1, 0]
    assert {row.wrong for row in (clean, wrong, original)} == {1}
    assert [row.panels[-1].title for row in (clean, wrong, original)] == [
        "perturbation",
        "flip map",
        "7.0% of the pixels restored",
    ]
    assert wrong.panels[1].caption.splitlines() == [
        "max 0.25",
        "rank correlation 0.40, noise 0.40",
        "with the clean map of kind 0",
    ]
    assert original.panels[1].caption == "max 0.5 (x0.5 of clean)\nrank correlation 0.40, noise 0.40"
    assert {row.blue for row in (clean, wrong, original)} == {"blue: predicted when clean"}
    assert wrong.panels[-1].caption.startswith("blue: towards kind 0\n")
    assert wrong.panels[0].detail == "Linf 8/255"
    assert "restores kind 0" in original.panels[-1].caption
    assert not wrong.lines
    assert original.lines[0] == "gradcam: moved (noise)"
    assert "  top 10%, intersection/union 0.10 (0.10)" in original.lines


def test_a_signed_map_is_as_large_as_its_greatest_magnitude(linear: Classifier, ramp: np.ndarray) -> None:
    low = np.where(ramp > 0, ramp / 4, ramp)
    maps = (
        found("integrated-gradients", low, missing=0.104),
        found("occlusion", low / 2, "adversarial", clean=-low),
    )
    explanation = explained(linear, (view("clean", CLEAN), view("adversarial", CLEAN)), 0, maps)
    assert [map_pictures(explanation.maps[number])[0].maximum for number in range(2)] == [1.0, 0.5]
    assert map_caption(explanation, map_pictures(explanation.maps[0])[0]) == "max |value| 1\nsum off by 10.4%"
    assert map_caption(explanation, map_pictures(explanation.maps[1])[0]).startswith("max |value| 0.5\nx0.5 of clean\n")


def test_the_two_parts_of_a_map_say_once_how_far_it_moved(linear: Classifier, ramp: np.ndarray) -> None:
    low = np.where(ramp > 0, ramp / 4, ramp)
    maps = (found("saliency", low, "adversarial", clean=low / 2),)
    explanation = explained(linear, (view("clean", CLEAN), view("adversarial", CLEAN)), 0, maps)
    assert [map_caption(explanation, part) for part in map_pictures(explanation.maps[0])] == [
        "max 0.25 (x2 of clean)\nrank correlation 0.40, noise 0.40\nboth signs",
        "max 1 (x2 of clean)",
    ]


def test_a_scale_is_said_where_it_is_shared_and_where_it_makes_much_of_little(
    linear: Classifier, ramp: np.ndarray
) -> None:
    explanation = explained(linear, (view("clean", CLEAN),), None, (found("gradcam", ramp * 1e-8),))
    alone, shared = map_pictures(explanation.maps[0]) + map_pictures(explanation.maps[0], 0.731)
    assert map_caption(explanation, alone) == "max 1e-08\nvery small, on its own scale"
    assert map_caption(explanation, shared) == "max 1e-08\nshared scale to 0.731"


def test_blue_is_the_truth_only_where_it_is_known(linear: Classifier, ramp: np.ndarray) -> None:
    explanation = explained(linear, (view("clean", CLEAN),), None, (found("gradcam", ramp),))
    rows = [contact_sheet("t", [replace(explanation, true=true)], False).rows[0] for true in (None, 0)]
    assert [row.blue for row in rows] == ["blue: predicted", "blue: true"]
