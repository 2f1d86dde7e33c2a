"""Accuracy over the radius."""

import io
import re
import warnings
from importlib.resources import files
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from advcli.records import Score, Swept
from advcli.report.accuracy_curves import _COLOURS, accuracy_curves, curves, inline_curves
from benchmark_records import RADII, every_kind
from pages import HOSTILE


def scores(*models: str) -> list[Score]:
    return [record for record in every_kind(models or ("base", "robust")) if isinstance(record, Score)]


def drawn(found: list[Score], format: Any) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        accuracy_curves(found, file, format)
    return file.getvalue()


def test_a_curve_holds_the_scores_of_its_radii_in_order() -> None:
    found = curves(scores()[::-1])
    assert [(curve.model, curve.attack, curve.norm) for curve in found] == [
        ("robust", "worst", "linf"),
        ("robust", "pgd:steps=20", "linf"),
        ("base", "worst", "linf"),
        ("base", "pgd:steps=20", "linf"),
    ]
    assert all([score.eps for score in curve.scores] == list(RADII) for curve in found)


def test_without_a_perturbation_is_the_radius_zero() -> None:
    found = [score for score in scores() if score.eps != 0]
    (clean,) = [score for score in found if score.perturbation == "clean" and score.model == "base"]
    curve = curves(found)[0]
    assert [score.eps for score in curve.scores] == list(RADII)
    assert curve.scores[0].correct == clean.correct
    assert [
        score.eps for score in curves([score for score in found if score.perturbation != "clean"])[0].scores
    ] == list(RADII[1:])


def test_one_radius_is_no_curve() -> None:
    assert curves([score for score in scores() if score.eps in (None, 8 / 255, 0.5)]) == []


@pytest.mark.parametrize("format", ["png", "svg"])
def test_equal_scores_make_equal_bytes(format: str) -> None:
    assert drawn(scores(), format) == drawn(scores(), format)
    assert b"dc:date" not in drawn(scores(), format)


def test_the_picture_shows_every_model() -> None:
    picture = np.asarray(Image.open(io.BytesIO(drawn(scores(), "png"))).convert("RGB")).astype(int)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (np.abs(picture - colour).max(axis=-1) < 3).sum() > 300


def test_the_axis_holds_every_value() -> None:
    svg = ElementTree.fromstring(drawn(scores(), "svg"))
    texts = {element.text for element in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"0", "8"} <= texts
    swept = [record for record in every_kind() if isinstance(record, Swept)]
    file = io.BytesIO()
    accuracy_curves([], file, "svg", swept)
    texts = {
        element.text for element in ElementTree.fromstring(file.getvalue()).iter("{http://www.w3.org/2000/svg}text")
    }
    assert {"10", "100", "1000"} <= texts


def series(models: int) -> tuple[set[str], set[str], set[str]]:
    """The colours, marks and kinds of line that as many models have under one attack."""
    found = [
        score for score in scores(*(f"model {number}" for number in range(models))) if score.perturbation != "worst"
    ]
    text = inline_curves(found, "x")
    marks = set(re.findall(r'<path id="x-m[0-9a-f]+" d="([^"]*)"', text))
    dashes = set(re.findall(r"stroke-dasharray: ([^;]+);[^\"]*stroke: var\(--series", text))
    return set(re.findall(r"stroke: (var\(--series-\d\))", text)), marks, dashes


def test_eight_models_differ_in_colour_mark_and_kind_of_line() -> None:
    one, eight = series(1), series(8)
    assert len(eight[0]) == 8
    # Each has one mark of its own beside the caps of the intervals and the ticks of the axes.
    assert len(eight[1]) - len(one[1]) == 7
    assert len(eight[2]) == 7, "one line is solid"


def test_the_page_has_a_colour_for_each_series_in_light_and_dark() -> None:
    style = (files("advcli.report") / "templates" / "page.css").read_text()
    light, dark = (re.findall(r"--series-\d: (#[0-9a-f]{6})", part) for part in style.split("prefers-color-scheme", 1))
    assert len(set(light)) == len(set(dark)) == 8
    assert set(light) == set(_COLOURS)


def bars(svg: str) -> list[tuple[float, float, float]]:
    """The intervals: x, upper and lower end."""
    found = re.findall(r'd="((?:M [\d.]+ [\d.]+ \nL [\d.]+ [\d.]+ \n){4,})"', svg)
    pairs = [re.findall(r"M ([\d.]+) ([\d.]+) \nL ([\d.]+) ([\d.]+)", path) for path in found]
    return [(float(x), float(y), float(end)) for path in pairs for x, y, other, end in path if x == other and y != end]


def test_intervals_of_models_stand_beside_each_other() -> None:
    models = [f"model {number}" for number in range(5)]
    clean = [score for score in scores(*models) if score.perturbation != "worst" and score.norm == "linf"]
    drawn_bars = bars(inline_curves(clean, "x"))
    assert len(drawn_bars) == 5 * len(RADII)
    places = sorted({round(x, 1) for x, _, _ in drawn_bars})
    assert len(places) == 5 * len(RADII)
    assert min(np.diff(places)) > 3


def test_names_that_differ_at_their_ends_differ_in_the_legend() -> None:
    long = "tiny-imagenet-mobilenetv2-stem-stride-2-"
    svg = ElementTree.fromstring(drawn(scores(f"{long}nsl", f"{long}trades"), "svg"))
    texts = [element.text or "" for element in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert len({text for text in texts if text.startswith("tiny")}) == 2


def test_the_worst_case_alone_is_drawn() -> None:
    text = inline_curves([score for score in scores() if score.perturbation == "worst"], "x")
    assert "worst case" in text
    assert "worst case" not in inline_curves(scores(), "x"), "of one attack it is the same"


def test_nothing_to_draw_says_so() -> None:
    assert b"nothing was measured at several radii" in drawn([], "svg")
    assert drawn([], "png").startswith(b"\x89PNG")


@pytest.mark.parametrize("name", [*HOSTILE, "_hidden", "cost $5_000 and $x^2$"])
def test_any_name_makes_a_sound_picture(name: str) -> None:
    svg = drawn(scores(name, "other"), "svg").decode("utf-8")
    texts = [element.text or "" for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "other" in texts
    assert "pgd:steps=20" in texts
    if name.isascii() and name.isprintable() and len(name) <= 28:
        assert name in texts
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.fromstring(svg).iter()}
    assert tags <= {"svg", "metadata", "defs", "style", "g", "path", "use", "text", "clipPath", "rect", "tspan"}


def test_a_drawing_in_a_page_has_the_pages_colours_and_its_own_names() -> None:
    one, other = (inline_curves(scores("#0072b2", "b"), prefix) for prefix in ("one", "other"))
    assert one.startswith("<svg")
    assert "http" not in one
    assert "#0072b2<" in one, "a name stays as it is"
    assert "stroke: #" not in one
    assert "var(--series-1)" in one
    assert "var(--ink)" in one
    identifiers = [{part.partition('"')[0] for part in text.split(' id="')[1:]} for text in (one, other)]
    assert not identifiers[0] & identifiers[1]
    used = {part.partition('"')[0] for part in one.split('href="#')[1:]}
    clipped = {part.partition(")")[0] for part in one.split("url(#")[1:]}
    assert used
    assert clipped
    assert used | clipped <= identifiers[0]
