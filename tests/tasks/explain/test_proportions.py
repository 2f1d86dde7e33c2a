"""A picture has the proportions of its image, and a map lies on what it is a map of."""

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.backend import keras
from advcli.data.images import Fit
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.model.load import wrap
from advcli.records import Explained, Failed
from advcli.tasks.explain.explain_model import ExplainedModel
from advcli.tasks.explain.request import Request
from advcli.tasks.explain.run import explain_files
from advcli.tasks.explain.views import view_images
from advcli.tasks.explain.whole_image import whole_image

EDGE, CELLS = 28, 4
# The object is here, neither on the diagonal nor in its mirror image; the network's classes are such cells.
ROW, COLUMN = 1, 2
SHAPES = [(64, 192), (192, 64), (61, 187), (20, 9), (100, 100)]
METHODS = ("saliency", "occlusion")


@pytest.fixture(scope="module")
def cells() -> Classifier:
    """A network whose class is the cell of 4 x 4 that is brightest."""
    image = keras.Input((EDGE, EDGE, 3))
    scores = keras.layers.Flatten()(keras.layers.AveragePooling2D(EDGE // CELLS)(keras.ops.mean(image, -1)[..., None]))
    labels = tuple(f"cell {i}" for i in range(CELLS**2))
    return wrap(
        keras.Model(image, keras.layers.Rescaling(40.0)(scores)), "cells", labels=labels, input_range=(0.0, 1.0)
    )


def window(shape: tuple[int, int], fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Return where in an image begins what the model sees, and how large that is, in pixels of the image."""
    size = np.array(shape, float)
    seen = size if fit == "squash" else np.full(2, size.min() * 224 / 256)
    return (size - seen) / 2, seen


def planted(file: Path, shape: tuple[int, int], fit: Fit) -> np.ndarray:
    """Write a dark image with a bright object; return the object's centre, in shares of the image."""
    corner, seen = window(shape, fit)
    centre = corner + seen * (np.array([ROW, COLUMN]) + 0.5) / CELLS
    away = np.abs(np.moveaxis(np.indices(shape), 0, -1) + 0.5 - centre) / (seen / CELLS)
    pixels = np.where((away < 0.4).all(axis=-1), 250, 60).astype(np.uint8)
    png.write(file, pixels[..., None].repeat(3, axis=-1))
    return centre / shape


def centre_of(weights: np.ndarray) -> np.ndarray:
    """Return the centre of mass, in shares of the height and the width."""
    places = np.indices(weights.shape) + 0.5
    return (places * weights).sum(axis=(1, 2)) / weights.sum() / weights.shape


def explain(cells: Classifier, file: Path, out: Path, report: Path | None = None) -> list[Explained]:
    explainers = {method: registry.build("explainers", method) for method in METHODS}
    request = Request(separate=True)
    events = list(
        explain_files([ExplainedModel(cells, explainers, request)], {file: out / file.stem}, request, report=report)
    )
    assert not [event for event in events if isinstance(event, Failed)]
    return [event for event in events if isinstance(event, Explained)]


def has_proportions(picture: tuple[int, ...], shape: tuple[int, int]) -> bool:
    """Tell whether a picture is as wide as its height and the image's proportions demand, to one pixel."""
    scale = max(picture[:2]) / max(shape)
    return bool(np.abs(np.array(picture[:2]) - np.array(shape) * scale).max() <= 1)


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_map_lies_on_the_object(tmp_path: Path, cells: Classifier, shape: tuple[int, int], fit: Fit) -> None:
    centre = planted(tmp_path / "a.png", shape, fit)
    # Half a cell: the map of another cell, and that of a map elsewhere, is further away.
    allowed = window(shape, fit)[1] / CELLS / 2 / shape
    page = tmp_path / "page.html"
    records = explain(replace(cells, fitting=fit), tmp_path / "a.png", tmp_path / "maps", page)
    assert {record.index for record in records} == {ROW * CELLS + COLUMN}
    drawn = [record for record in records if record.output is not None and record.method != "saliency-negative"]
    assert [record.method for record in drawn] == ["saliency-positive", "occlusion"]
    for record in drawn:
        with Image.open(str(record.output)) as opened:
            pixels = np.asarray(opened.convert("RGB")).astype(int)
        assert has_proportions(pixels.shape, shape)
        # The image is grey, and its map has colours.
        coloured = np.ptp(pixels, axis=-1) * (pixels[..., 0] > 100)
        assert (np.abs(centre_of(coloured) - centre) < allowed).all(), record.method
    html = page.read_text()
    picture, *films = (
        np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGBA")).astype(int)
        for content in re.findall(r"data:image/png;base64,([\w+/=]+)", html)
    )
    assert has_proportions(picture.shape, shape)
    assert (np.abs(centre_of(picture[..., 0] > 200) - centre) < 0.5 * allowed).all()
    assert f"--ratio: {picture.shape[1]} / {picture.shape[0]};" in html
    assert len(films) == 3
    # The map of negative values has none here.
    for film in (films[0], films[2]):
        assert film.shape == picture.shape
        coloured = film[..., 3] * np.ptp(film[..., :3], axis=-1) * (film[..., 0] > 100)
        assert (np.abs(centre_of(coloured) - centre) < allowed).all()
        if fit == "crop":
            corner, seen = window(shape, fit)
            shown = np.argwhere(film[..., 3] > 0) / film.shape[:2]
            least = 1.5 / np.array(film.shape[:2])
            assert (shown.min(axis=0) > corner / shape - least).all(), "no map before the centre"
            assert (shown.max(axis=0) < (corner + seen) / shape + least).all(), "nor after it"


def test_what_a_crop_leaves_out_is_dimmed_and_still_seen(tmp_path: Path, cells: Classifier) -> None:
    file = tmp_path / "a.png"
    planted(file, (64, 192), "crop")
    pixels = png.read(file).copy()
    pixels[:, :20], pixels[:, -20:] = (200, 0, 0), (0, 0, 200)
    png.write(file, pixels)
    for record in explain(replace(cells, fitting="crop"), file, tmp_path / "maps"):
        if record.output is not None:
            drawn = png.read(Path(record.output)).astype(int)
            for column, colour in ((3, [200, 0, 0]), (-3, [0, 0, 200])):
                shown = drawn[len(drawn) // 2, column]
                np.testing.assert_allclose(shown, np.array(colour) * 0.35, atol=2)


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_an_image_made_at_the_models_size_is_shown_in_its_first_proportions(cells: Classifier, fit: Fit) -> None:
    original = np.full((64, 192, 3), 60, np.uint8)
    smaller = np.full((EDGE, EDGE, 3), 200, np.uint8)
    (view,) = view_images(replace(cells, fitting=fit), ["adversarial"], [smaller], [original])
    assert has_proportions(view.picture.shape, (64, 192))
    changed = view.picture[..., 0] == 200
    corner, seen = window((64, 192), fit)
    np.testing.assert_allclose(centre_of(changed), 0.5, atol=0.02)
    assert changed.mean() == pytest.approx(seen.prod() / (64 * 192), rel=0.05)
    assert (original == 60).all()
    assert (corner >= 0).all()


def test_an_image_of_the_models_size_is_shown_pixel_for_pixel(cells: Classifier) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (EDGE, EDGE, 3), np.uint8)
    for fit in ("squash", "crop"):
        (view,) = view_images(replace(cells, fitting=fit), ["clean"], [pixels])
        np.testing.assert_array_equal(view.picture, pixels)


@pytest.mark.parametrize("fit", ["squash", "crop"])
@pytest.mark.parametrize("shape", [(9, 3000), (3000, 9), (8, 801)])
def test_a_very_long_image_has_a_picture_of_bounded_size(shape: tuple[int, int], fit: Fit) -> None:
    whole = whole_image(np.zeros((*shape, 3), np.uint8), (EDGE, EDGE), fit)
    assert has_proportions(whole.picture.shape, shape)
    assert max(whole.picture.shape) <= 2048
    assert whole.stretch(np.ones((EDGE, EDGE))).shape == whole.seen.shape[:2]
    assert whole.seen.size > 0
    assert whole.lay(np.zeros_like(whole.seen)).shape == whole.picture.shape
