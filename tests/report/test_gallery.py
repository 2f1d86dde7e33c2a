"""Images beside what an adversary made of them."""

import base64
import io
from dataclasses import replace

import numpy as np
from PIL import Image

from advcli.report.benchmark import benchmark_page
from benchmark_records import examples
from pages import refuse_faults


def pixels(address: str | None) -> np.ndarray:
    kind, _, content = str(address).partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_the_three_pictures_are_what_they_are_said_to_be() -> None:
    colour, grey = examples()
    parsed = refuse_faults(benchmark_page([], [colour, grey]))
    pictures = parsed.all("img")
    clean, adversarial, difference = (pixels(picture["src"]) for picture in pictures[:3])
    np.testing.assert_array_equal(clean, colour.clean)
    np.testing.assert_array_equal(adversarial, colour.adversarial)
    # Four steps fit 31 times into the 127 on either side of grey, two steps 63 times.
    assert np.unique(difference).tolist() == [128 + 31 * 4]
    assert np.unique(pixels(pictures[5]["src"])).tolist() == [128 + 63 * 2]
    assert "difference \N{MULTIPLICATION SIGN} 31" in parsed.text
    assert "difference \N{MULTIPLICATION SIGN} 63" in parsed.text
    assert "31 times" in str(pictures[2]["alt"])
    assert "Largest change: 4/255" in parsed.text
    assert {picture["class"] for picture in pictures} == {"pixels"}
    assert {(picture["width"], picture["height"]) for picture in pictures} == {("8", "8")}


def test_right_and_wrong_are_said_in_words() -> None:
    text = " ".join(refuse_faults(benchmark_page([], examples())).text.split())
    assert "True class: cat . Clean: cat (correct) . Adversarial: dog (wrong)" in text.replace(".", " .").replace(
        "  ", " "
    )
    assert text.count("(wrong)") == 1
    assert text.count("(correct)") == 3


def test_large_images_are_not_shown_as_pixels() -> None:
    clean = np.zeros((128, 200, 3), np.uint8)
    example = examples()[0]
    large = type(example)(clean, clean, "a", "a", "a", "fgsm", "m")
    pictures = refuse_faults(benchmark_page([], [large])).all("img")
    assert all("class" not in picture for picture in pictures)
    assert np.unique(pixels(pictures[2]["src"])).tolist() == [128]


def test_a_squashed_image_is_shown_in_its_own_proportions() -> None:
    wide, plain = replace(examples()[0], proportions=(200, 600)), examples()[1]
    pictures = refuse_faults(benchmark_page([], [wide, plain])).all("img")
    assert [picture["style"] for picture in pictures] == ["aspect-ratio: 600 / 200"] * 3 + ["aspect-ratio: 8 / 8"] * 3
    np.testing.assert_array_equal(pixels(pictures[0]["src"]), wide.clean)
