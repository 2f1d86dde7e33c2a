from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.explainers import Explainer, ShownLayer
from advcli.model.classifier import Classifier
from advcli.records import Shift
from advcli.report.maps import overlay_two_colours, spread
from advcli.report.sheet import ORIGINAL, WRONG, Line, Numbers
from advcli.report.sheet_drawing import Drawing
from advcli.tasks.explain.adversarial_pairs import Pair
from advcli.tasks.explain.contact_sheet import contact_sheet
from advcli.tasks.explain.explanation import Explanation, Map, Target, View
from advcli.tasks.explain.map_pictures import map_pictures
from advcli.tasks.explain.margin_attribution import MarginAttribution
from advcli.tasks.explain.sheet_numbers import notes_of, numbers_of

CLEAN, FLIPPED = np.array([0.7, 0.1, 0.1, 0.1]), np.array([0.1, 0.7, 0.1, 0.1])


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


def words(line: Line) -> str:
    return " ".join(word.text for word in line)


def cells(explanation: Explanation, column: str, scales: dict[str, float] | None = None) -> list[str]:
    """Return a column of the table, from top to bottom."""
    found = numbers_of([explanation], [scales or {}])
    assert isinstance(found, Numbers)
    return [row[list(found.columns).index(column)] for row in found.rows]


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
    drawn = negative.pixels(explanation.views[0])
    assert drawn is not None
    assert (drawn[ramp >= 0] == round(0.4 * 128)).all(), "the picture is dimmed where nothing is against the class"
    assert np.unravel_index(drawn.sum(axis=-1).argmax(), ramp.shape) == (0, 0), "brightest where most is against it"


def test_single_pixels_are_spread_in_large_images_only() -> None:
    for edge, share in ((32, 1.0), (224, 0.2)):
        speck = np.zeros((edge, edge))
        speck[edge // 2, edge // 2] = 1
        seen = spread(speck)
        assert seen.sum() == pytest.approx(1)
        assert (seen.max() == 1) == (share == 1)
        assert seen.max() <= share
        assert np.unravel_index(seen.argmax(), seen.shape) == (edge // 2, edge // 2)


def test_the_flip_map_shows_both_colours_and_the_picture(ramp: np.ndarray) -> None:
    picture = np.full((8, 8, 3), 128, np.uint8)
    ramp[4] = 0
    drawn = overlay_two_colours(ramp, 1.0, picture, WRONG, ORIGINAL).astype(int)
    assert [f"#{bytes(drawn[place].astype(np.uint8)).hex()}" for place in ((-1, -1), (0, 0))] == [WRONG, ORIGINAL]
    grey = drawn[4]
    assert (np.ptp(grey, axis=-1) == 0).all()
    assert (grey > 160).all(), "pale, so that the darker of the two colours is seen on it"


@pytest.mark.parametrize(("explainer", "depth"), [(Given(), 4), (Unsigned(), 4), (UnsignedRegion(), 4)])
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
    captions = [map_pictures(explanation.maps[number])[0].caption for number in range(2)]
    assert [words(caption) for caption in captions] == ["likelier if brighter if darker", "for the class against it"]
    for caption in captions:
        colours = [word.swatch for word in caption if word.swatch]
        assert len(set(colours)) == 2, "a square in the colour of each sign"
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
        (view("clean", CLEAN), view("adversarial", FLIPPED)),
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
        "7.0% of pixels restored",
    ]
    assert [words(row.heading) for row in (clean, wrong, original)] == [
        "Clean image explained as kind 0 (predicted)",
        "Adversarial image explained as kind 1 (predicted)",
        "Adversarial image explained as kind 0 (predicted when clean)",
    ]
    assert [len(row.classes) for row in (clean, wrong, original)] == [4, 4, 1], "the same classes are listed once"
    assert "vermilion moved the prediction towards kind 1, pixels in blue towards kind 0" in wrong.text[0]
    assert "7.0% of the pixels have their clean values again" in original.text[-1]
    assert words(wrong.panels[0].caption) == "Linf 8/255"
    assert [(word.text, word.swatch) for word in wrong.panels[-1].caption] == [
        ("to", WRONG),
        ("kind 1", None),
        ("to", ORIGINAL),
        ("kind 0", None),
    ]
    assert words(original.panels[-1].caption) == "predicted kind 0 60.0%"
    (headline,) = contact_sheet("t", [explanation], False).headlines
    assert (
        words(headline) == "linear: predicted kind 0 70.0% \N{MIDDLE DOT} under attack (pgd, Linf 8/255) kind 1 70.0%"
    )
    assert [word.swatch for word in headline if word.is_name] == [ORIGINAL, WRONG]
    assert cells(explanation, "max") == ["1", "0.25", "0.5", "1.1"]
    assert cells(explanation, "x clean") == ["", "", "0.5", ""]
    assert cells(explanation, "rank correlation") == ["", "0.40 (0.40)", "0.40 (0.40)", ""]
    assert cells(explanation, "margin") == ["", "", "", "-1 to 5.4"]


def test_a_signed_map_is_as_large_as_its_greatest_magnitude(linear: Classifier, ramp: np.ndarray) -> None:
    low = np.where(ramp > 0, ramp / 4, ramp)
    maps = (
        found("integrated-gradients", low, missing=0.104),
        found("occlusion", low / 2, "adversarial", clean=-low),
    )
    explanation = explained(linear, (view("clean", CLEAN), view("adversarial", CLEAN)), 0, maps)
    assert [map_pictures(explanation.maps[number])[0].maximum for number in range(2)] == [1.0, 0.5]
    assert cells(explanation, "max") == ["1", "0.5"]
    assert cells(explanation, "x clean") == ["", "0.5"]
    assert cells(explanation, "error of sum") == ["10.4%", ""]


@pytest.mark.parametrize("true", [0, None])
def test_the_note_names_the_class_whose_map_is_compared_with(
    true: int | None, linear: Classifier, ramp: np.ndarray
) -> None:
    maps = (found("gradcam", ramp), found("gradcam", ramp, "adversarial", index=1))
    explanation = explained(linear, (view("clean", CLEAN), view("adversarial", CLEAN)), true, maps)
    (note,) = notes_of([explanation])
    assert f"with the clean image's map of {linear.labels[explanation.origin]};" in note
    assert notes_of([explained(linear, (view("clean", CLEAN),), true, maps[:1])]) == []


def test_the_two_parts_of_a_map_have_one_line_in_the_table(linear: Classifier, ramp: np.ndarray) -> None:
    low = np.where(ramp > 0, ramp / 4, ramp)
    maps = (found("saliency", low, "adversarial", clean=low / 2),)
    explanation = explained(linear, (view("clean", CLEAN), view("adversarial", CLEAN)), 0, maps)
    assert cells(explanation, "max") == ["0.25 / -1"]
    assert cells(explanation, "x clean") == ["2 / 2"]


def test_a_scale_is_said_where_it_is_shared_and_where_it_makes_much_of_little(
    linear: Classifier, ramp: np.ndarray
) -> None:
    explanation = explained(linear, (view("clean", CLEAN),), None, (found("gradcam", ramp * 1e-8),))
    assert cells(explanation, "scale") == ["own, very small"]
    assert cells(explanation, "scale", {"gradcam": 0.731}) == ["shared, to 0.731"]
    (row,) = contact_sheet("t", [explanation], False).rows
    assert "very small" in words(row.panels[1].caption)
    assert numbers_of([replace(explanation, maps=())], [{}]) is None


def test_blue_is_the_truth_only_where_it_is_known(linear: Classifier, ramp: np.ndarray) -> None:
    explanation = explained(linear, (view("clean", CLEAN),), None, (found("gradcam", ramp),))
    lines = [contact_sheet("t", [replace(explanation, true=true)], False).headlines[0] for true in (None, 0, 1)]
    assert [words(line) for line in lines] == [
        "linear: predicted kind 0 70.0%",
        "linear: true class kind 0 \N{MIDDLE DOT} predicted kind 0 70.0%",
        "linear: true class kind 1 \N{MIDDLE DOT} predicted kind 0 70.0%",
    ]
    assert [[word.swatch for word in line if word.is_name] for line in lines] == [
        [ORIGINAL],
        [ORIGINAL, ORIGINAL],
        [ORIGINAL, WRONG],
    ]


def test_every_caption_is_one_line(linear: Classifier, ramp: np.ndarray) -> None:
    names = [name for name in registry.names("explainers") if name != "activation-maximization"]
    maps = tuple(found(name, ramp) for name in names)
    sheet = contact_sheet("t", [explained(linear, (view("clean", CLEAN),), None, maps)], False)
    drawing = Drawing(sheet)
    written = {mark.text for mark in drawing.marks}
    for panel in sheet.rows[0].panels[1:]:
        assert panel.caption
        assert {word.text for word in panel.caption} <= written, "written whole, in the width of a picture"
