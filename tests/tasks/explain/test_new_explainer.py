"""An explainer is one file: no task knows any by name."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli import explainers, registry
from advcli.cli import main
from conftest import make_classifier

SOURCE = '''"""Brightness of a pixel above the mean, whatever the class.

Nobody 2000, https://example.org
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.explainers import Explainer


@dataclass(frozen=True)
class Brightness(Explainer):
    """Brightness above the mean, in blocks.

    Args:
        block: side of a block in pixels.
    """

    split_signs: ClassVar[bool] = True

    block: int = 1

    def __call__(self, classifier, images, classes, seed, against=None):
        count, edge, _, channels = images.shape
        blocks = images.reshape(count, edge // self.block, self.block, edge // self.block, self.block, channels)
        means = blocks.mean(axis=(2, 4, 5))
        return means - means.mean(axis=(1, 2), keepdims=True)

    def completeness(self, classifier, images, classes, relevance, against=None):
        return np.full(len(images), 0.25)


COMPONENT = Brightness
'''


def test_a_file_is_an_explainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The family's folder, with one file more.
    family = tmp_path / "explainers"
    family.mkdir()
    for file in Path(explainers.__path__[0]).glob("*.py"):
        (family / file.name).write_text(file.read_text())
    (family / "brightness.py").write_text(SOURCE)
    for folder in Path(registry.__file__).parent.iterdir():
        if folder.is_dir() and folder.name != family.name:
            (tmp_path / folder.name).symlink_to(folder)
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    monkeypatch.setattr(explainers, "__path__", [*explainers.__path__, str(family)])
    monkeypatch.chdir(tmp_path)
    make_classifier("small:width=4", edge=16).save(tmp_path / "model.keras")
    pixels = np.random.default_rng(0).integers(60, 200, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    command = (
        "advcli explain x.png --model model.keras --method brightness:block=4 --attack fgsm --separate --raw --check"
    )
    monkeypatch.setattr("sys.argv", [*command.split(), "--json"])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    maps = [record for record in found if record["type"] == "explained"]
    names = ["brightness-positive", "brightness-negative"]
    assert [record["method"] for record in maps if record["view"] == "clean"] == names
    assert {record["completeness"] for record in maps} == {0.25}
    assert all(Path(record["output"]).is_file() for record in maps)
    with np.load(tmp_path / "maps" / "x.explain.npz") as values:
        assert values[f"clean.{maps[0]['index']}.brightness"].shape == (4, 4)
    (trusted,) = (record for record in found if record["type"] == "trusted")
    assert (trusted["verdict"], trusted["completeness"]) == ("fail", 0.25)
    monkeypatch.setattr("sys.argv", [*command.split(), "--overwrite"])
    with pytest.raises(SystemExit):
        main()
    assert "brightness-negative" in capsys.readouterr().out
    monkeypatch.delitem(sys.modules, "advcli.explainers.brightness")
