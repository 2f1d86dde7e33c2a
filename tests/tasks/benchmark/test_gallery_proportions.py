"""The gallery shows each image in the proportions of its own file."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.backend import keras
from advcli.files import png
from conftest import Command
from pages import refuse_faults

# Brightness -> height and width; an image of either class is close to the bound between the two at 127.5.
SHAPES = {118: (8, 24), 121: (24, 8), 124: (9, 30), 131: (16, 12), 134: (10, 40), 137: (8, 8)}


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_each_image_has_its_own_proportions(tmp_path: Path, advcli: Command, fit: str) -> None:
    picture = keras.Input((8, 8, 3))
    score = keras.ops.mean(picture, axis=(1, 2, 3))[:, None] - 0.5
    scores = keras.ops.concatenate([score, -score], axis=1)
    keras.Model(picture, keras.layers.Rescaling(40.0)(scores)).save(tmp_path / "m.keras")
    for level, shape in SHAPES.items():
        folder = tmp_path / "data" / ("bright" if level > 127 else "dark")
        folder.mkdir(parents=True, exist_ok=True)
        png.write(folder / f"{level}.png", np.full((*shape, 3), level, np.uint8))
    # An image that is left out moves the others in memory, not in the data.
    (tmp_path / "data" / "bright" / "000.png").write_bytes(b"no image")
    arguments = ("m.keras", "--input-range", "0,1", "--data", "data", "--attack", "fgsm", "--eps", "16/255")
    done = advcli("benchmark", *arguments, "--fit", fit, "--skip-bad", "--report", "page.html")
    assert done.returncode == 0, done.stderr
    pictures = refuse_faults((tmp_path / "page.html").read_text()).all("img")
    assert len(pictures) == 3 * len(SHAPES)
    for clean in pictures[::3]:
        content = str(clean["src"]).partition(",")[2]
        level = int(np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))[4, 4, 0])
        height, width = SHAPES[level] if fit == "squash" else (8, 8)
        assert clean["style"] == f"aspect-ratio: {width} / {height}"
