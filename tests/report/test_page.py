"""The skeleton that every page has."""

import pytest

from advcli.report import wording
from advcli.report.page import Section, page
from pages import HOSTILE, refuse_faults


def test_the_skeleton_is_sound_and_names_its_sections() -> None:
    sections = [Section("one", "The first", "page.css"), Section("two", "The second", "page.css")]
    text = page("What it is", "In short.", [("images", ["200"])], sections)
    parsed = refuse_faults(text)
    assert [attributes["href"] for attributes in parsed.all("a")] == ["#content", "#one", "#two"]
    assert "What it is" in parsed.text
    assert "200" in parsed.text
    assert text == page("What it is", "In short.", [("images", ["200"])], sections)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_stays_a_text(text: str) -> None:
    drawn = page(text, text, [(text, [text])], [Section("one", text, "page.css")])
    parsed = refuse_faults(drawn)
    plain = page("x", "x", [("x", ["x"])], [Section("one", "x", "page.css")])
    assert [tag for tag, _ in parsed.elements] == [tag for tag, _ in refuse_faults(plain).elements]
    shown = text.translate({0: "\ufffd", 7: "\ufffd", 0xDCFF: "\ufffd"})
    assert parsed.text.count(shown) == 7
    drawn.encode("utf-8")


def test_numbers_are_worded_as_by_hand() -> None:
    assert wording.percent(0.8125) == "81.2"
    assert wording.percent(1) == "100.0"
    assert wording.percent(float("nan")) == "\N{EN DASH}"
    assert [wording.points(value) for value in (0.125, -0.125, 0, -0.0004)] == [
        "+12.5",
        "\N{MINUS SIGN}12.5",
        "±0.0",
        "±0.0",
    ]
    assert [wording.probability(value) for value in (0.0421, 0.0004, 1)] == ["0.042", "< 0.001", "1.000"]
    assert wording.radius("linf", 8 / 255) == "Linf\N{NO-BREAK SPACE}8/255"
    assert wording.radius("linf", 0.2) == "Linf\N{NO-BREAK SPACE}0.2"
    assert wording.radius("l2", 0.5) == "L2\N{NO-BREAK SPACE}0.5"
    assert wording.radius(None, None) == ""
    assert wording.count_noun(1, "image") == "1 image"
    assert wording.count_noun(1200, "image") == "1,200 images"
    assert wording.count_noun(2, "class", "classes") == "2 classes"


def test_no_control_character_reaches_a_page() -> None:
    controls = "".join(map(chr, (*range(9), *range(11, 32), *range(127, 160))))
    drawn = page(f"a{controls}b", controls, [(controls, [controls])], [])
    assert not set(controls) & set(drawn)
    assert "a" + "\ufffd" * len(controls) + "b" in drawn
