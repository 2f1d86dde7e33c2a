import io
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from advcli.records import Prediction
from advcli.report.canvas import Mark
from advcli.report.lettering import Lettering
from advcli.report.sheet import Line, Numbers, Panel, Row, Sheet, Word
from advcli.report.sheet_drawing import Drawing

BLUE, VERMILION = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)
LABELS = (
    "cost $5_000 and $x^2$",
    "_leading_underscore_",
    "模型的名字",
    "кошка обыкновенная",
    "W" * 80,
    "two\nlines\tand \x07 a bell",
    "القط",
)


TEXT = ("A sentence about the maps of this row that takes several lines. " * 3, "unbreakable" * 9)
HEADLINE: Line = tuple(Word(f"{'a long name' * 9} {number}", "#d55e00", is_name=True) for number in range(4))


def row(
    edge: int,
    order: Sequence[int],
    explained: int,
    channels: int = 3,
    count: int = 4,
    wrong: int | None = None,
) -> Row:
    pixels = np.full((edge, edge, channels), 128, np.uint8)
    classes = [Prediction(LABELS[index], index, 0.9**place / 3) for place, index in enumerate(order)]
    caption = (Word("to", "#0072b2"), Word("a name that is rather long, " * 5, is_name=True), Word("99.9%"))
    panels = [Panel(pixels, "what", caption) for _ in range(count)]
    return Row(panels, classes, explained, 0, wrong, (Word("explained as"), Word("W" * 300, is_name=True)), TEXT)


def overlapping(marks: Sequence[Mark]) -> list[tuple[Mark, Mark]]:
    """Return the pairs of texts and pictures that lie on one another."""
    return [
        (one, other)
        for number, one in enumerate(marks)
        for other in marks[:number]
        if one.left < other.right - 1 and other.left < one.right - 1
        if one.top < other.bottom and other.top < one.bottom
    ]


def draw(sheet: Sheet) -> np.ndarray:
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Drawing(sheet).save(file)
    return np.asarray(Image.open(file).convert("RGB"))


def count(picture: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(picture.astype(int) - colour).max(axis=-1) < 3).sum())


@pytest.mark.parametrize("edge", [1, 28, 224, 600])
@pytest.mark.parametrize("rows", [1, 2])
def test_a_sheet_is_complete_at_every_size(edge: int, rows: int) -> None:
    wrong = 1 if rows == 2 else None
    views = [row(edge, range(5), 0, wrong=wrong), row(edge, [1, 2, 3, 4, 5, 0], 1, wrong=wrong)][:rows]
    table = Numbers(["class", "map", "max"], [["W" * 300, "saliency", "0.5 / -0.25"]] * 5, names=2)
    sheet = Sheet("title " * 60, views, ["note " * 190], [HEADLINE, HEADLINE[:1]], table)
    picture = draw(sheet)
    marks = Drawing(sheet).marks
    assert not overlapping(marks)
    assert all(mark.left >= 8 and mark.right <= picture.shape[1] - 8 for mark in marks)
    assert {f"{'a long name' * 9} {number}" for number in range(4)} <= {mark.text for mark in marks}
    assert sum(mark.text == "99.9%" for mark in marks) == rows * 4, "a long name leaves room for its number"
    assert sum(mark.text == "0.5 / -0.25" for mark in marks) == 5
    assert max(picture.shape) < 2600
    border = np.ones(picture.shape[:2], bool)
    border[8:-8, 8:-8] = False
    assert (picture[border] == 255).all(), "something is cut at the edge"
    # Every picture is whole: as many grey pixels as the squares have.
    side = min(edge * -(-224 // edge), 256)
    assert count(picture, (128, 128, 128)) >= rows * 4 * (side - 2) ** 2


def test_the_two_predicted_classes_have_their_colours_in_both_rows() -> None:
    clean, adversarial = row(32, [0, 1, 2, 3, 4], 0, wrong=1), row(32, [1, 2, 3, 4, 5, 0], 1, wrong=1)
    picture = draw(Sheet("t", [clean, adversarial]))
    upper, lower = picture[: len(picture) // 2], picture[len(picture) // 2 :]
    for half, bar in ((upper, BLUE), (lower, VERMILION)):
        assert count(half, bar) > 6 * 262 * 0.3, "the likeliest class has the long bar"
        assert min(count(half, BLUE), count(half, VERMILION)) > 100
    alone = draw(Sheet("t", [row(32, [0, 1, 2, 3, 4], 0)]))
    assert count(alone, BLUE) > 6 * 262 * 0.3
    assert count(alone, VERMILION) == 0


def test_grey_pictures_are_drawn() -> None:
    assert count(draw(Sheet("t", [row(28, range(5), 0, channels=1)])), (128, 128, 128)) > 4 * 222**2


def test_small_images_stay_sharp() -> None:
    board = np.indices((28, 28)).sum(axis=0) % 2 * 255
    panel = Panel(board[..., None].astype(np.uint8), "board")
    sheet = Sheet("t", [Row([panel], [Prediction("a", 0, 0.5)], 0, 0)])
    (mark,) = (mark for mark in Drawing(sheet).marks if mark.kind == "picture")
    shown = draw(sheet)[int(mark.top) : int(mark.bottom), int(mark.left) : int(mark.right), 0]
    np.testing.assert_array_equal(shown, np.kron(board, np.ones((8, 8))))


def test_a_users_matplotlibrc_changes_nothing() -> None:
    import matplotlib

    expected = draw(Sheet("t", [row(8, range(5), 0)]))
    with matplotlib.rc_context({"figure.facecolor": "black", "axes.unicode_minus": False, "font.size": 30}):
        np.testing.assert_array_equal(draw(Sheet("t", [row(8, range(5), 0)])), expected)


def test_fonts_are_found_for_the_characters_there_are() -> None:
    plain = Lettering(["cat", "кошка"])
    assert plain.families == ["DejaVu Sans"]
    assert plain.has("cat")
    # A calligraphic letter that only the STIX fonts have, which come with Matplotlib.
    rare = Lettering(["\ue22d cat", "a\nb"])
    assert rare.families[0] == "DejaVu Sans"
    assert any(name.startswith("STIX") for name in rare.families)
    assert rare.has("\ue22d")
    nobody = Lettering(["\U0010fffd cat"])
    assert not nobody.has("\U0010fffd cat")
    assert nobody.line("\U0010fffd \n  cat") == "? cat"


def test_text_stands_below_the_classes_and_makes_room_for_itself() -> None:
    plain = replace(row(32, range(5), 0), text=())
    told = Sheet("t", [replace(plain, text=("word " * 300,)), plain])
    marks = Drawing(told).marks
    assert not overlapping(marks)
    assert sum(mark.text.count("word") for mark in marks) == 300
    assert len(draw(told)) > len(draw(Sheet("t", [plain, plain])))


def test_names_are_cut_in_lettering_and_lines_wrapped() -> None:
    lettering = Lettering(["W", "a"])
    assert lettering.width(lettering.cut("W" * 99, 12, 100), 12) <= 100
    lines = lettering.wrapped("a few words and " + "W" * 99, 12, 100)
    assert max(lettering.width(line, 12) for line in lines) <= 100
    assert lines[-1].endswith("...")
    assert " ".join(lines).startswith("a few words and W")
    assert lettering.wrapped("", 12, 100) == []


def test_a_panel_without_a_picture_says_why() -> None:
    pixels = np.full((32, 32, 3), 128, np.uint8)
    empty = Panel(None, "gradcam", note="no evidence: the map is the same at every pixel")
    sheet = Sheet("t", [Row([Panel(pixels, "clean"), empty], [Prediction("a", 0, 0.5)], 0, 0)])
    assert count(draw(sheet), (0xF4, 0xF4, 0xF4)) > 0.8 * 224**2
    written = " ".join(mark.text for mark in Drawing(sheet).marks)
    assert "no evidence: the map is the same at every pixel" in written


def test_rows_may_have_different_numbers_of_pictures() -> None:
    long, short = row(32, range(5), 0, count=4), row(32, range(5), 0, count=2)
    assert count(draw(Sheet("t", [long, short])), (128, 128, 128)) >= 6 * 222**2


def test_many_maps_stand_in_lines_that_fit_a_screen() -> None:
    many = draw(Sheet("t", [row(32, range(5), 0, count=1 + 8)]))
    assert count(many, (128, 128, 128)) >= 9 * 222**2
    few = draw(Sheet("t", [row(32, range(5), 0, count=1 + 4)]))
    assert many.shape[1] == few.shape[1], "two lines of four"
    assert len(many) > 1.5 * len(few)


@pytest.mark.parametrize("shape", [(100, 300), (300, 100), (28, 84), (84, 28), (20, 600), (600, 20)])
def test_a_picture_is_drawn_in_its_own_proportions(shape: tuple[int, int]) -> None:
    plain = row(8, range(5), 0)
    panel = Panel(np.full((*shape, 3), (0, 128, 0), np.uint8), "a title", (Word("a caption"),))
    square = Panel(np.full((8, 8, 3), (128, 0, 128), np.uint8), "t")
    rows = [replace(plain, panels=[panel] * 3), replace(plain, panels=[panel, Panel(None, "t", note="no map")])]
    for rows_, pictures in ((rows, 4), ([replace(plain, panels=[panel, square])], 1)):
        picture = draw(Sheet("t", rows_))
        border = np.ones(picture.shape[:2], bool)
        border[8:-8, 8:-8] = False
        assert (picture[border] == 255).all(), "something is cut at the edge"
        green = (np.abs(picture.astype(int) - (0, 128, 0)).max(axis=-1) < 3)[:, : 20 + 256]
        first = np.flatnonzero(green.any(axis=1))
        height = int(np.argmax(np.diff(first, append=first[-1] + 2) > 1)) + 1
        width = int(green[first[0]].sum())
        scale = max(height, width) / max(shape)
        assert np.abs(np.array(shape) * scale - (height, width)).max() <= 1
        drawn = count(picture, (0, 128, 0))
        assert drawn == pytest.approx(pictures * height * width, rel=0.03)
        # A square one beside it stays square.
        side = max(height, width)
        assert count(picture, (128, 0, 128)) == pytest.approx((pictures == 1) * side**2, rel=0.03)
