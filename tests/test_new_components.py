"""An attack, an objective and an augmentation are one file each: no task knows any by name."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import advcli
from advcli.errors import ExitStatus
from conftest import make_classifier

_STEPS = '''"""Options that new attacks share."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack


@dataclass(frozen=True)
class Stepping(Attack):
    kind: ClassVar[str] = "gradient"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    step: float = 0.125
'''

_ATTACK = '''"""Brighten every image.

Nobody 2000, https://example.org
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks._stepping import Stepping


@dataclass(frozen=True)
class Mine(Stepping):
    """Add the step."""

    targeted: ClassVar[bool] = False

    times: int = 1

    def __call__(self, logits_fn, images, labels, threat, rng):
        """Brighten: (N, H, W, C) -> (N, H, W, C)."""
        return threat.project(images + self.times * self.step, images)


COMPONENT = Mine
'''

_OBJECTIVE = '''"""Cross-entropy on brighter images.

Nobody 2000, https://example.org
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.backend import tf
from advcli.objectives import Objective


@dataclass(frozen=True)
class Mine(Objective):
    """Loss on brighter images."""

    searches_in_training_pass: ClassVar[bool] = True

    def perturb(self, inner, images, labels):
        """Brighten."""
        return tf.minimum(images + 0.1, 1.0)

    def __call__(self, model, images, perturbed, labels):
        """Return the loss and the logits."""
        logits = model(perturbed, training=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), logits


COMPONENT = Mine
'''

_AUGMENTATION = '''"""Noise of the same size everywhere.

Nobody 2000, https://example.org
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.augmentations import Augmentation


@dataclass(frozen=True)
class Mine(Augmentation):
    """Add or take away a tenth, as glass does."""

    stage: ClassVar[str] = "noise"
    covers: ClassVar[tuple[str, ...]] = ("glass-blur",)

    def __call__(self, images, rng):
        """Change: (N, H, W, C) -> (N, H, W, C)."""
        return images + 0.1


COMPONENT = Mine
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with three files more, and an image and a model beside it."""
    folder = tmp_path_factory.mktemp("package")
    shutil.copytree(Path(advcli.__file__).parent, folder / "advcli", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "advcli/attacks/_stepping.py").write_text(_STEPS)
    (folder / "advcli/attacks/mine.py").write_text(_ATTACK)
    (folder / "advcli/objectives/mine.py").write_text(_OBJECTIVE)
    (folder / "advcli/augmentations/mine.py").write_text(_AUGMENTATION)
    make_classifier("small:width=4", edge=16).save(folder / "model.keras")
    pixels = np.random.default_rng(0).integers(60, 180, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "x.png")
    return folder


def call(folder: Path, line: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "advcli", *line.split()]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_a_file_is_an_attack(folder: Path) -> None:
    shown = call(folder, "attack --help-attacks").stdout
    # The step and its unit stand in another class than the attack's own.
    (line,) = (line for line in shown.splitlines() if "mine:" in line or "mine " in line)
    assert "mine:step=0.125,times=1" in line
    assert "step: pixel values in [0, 1]" in line
    done = call(folder, "attack x.png --model model.keras --attack mine:step=0.5 --eps 0.1 --json")
    assert done.returncode == ExitStatus.DONE, done.stderr
    (record,) = map(json.loads, done.stdout.splitlines())
    assert (record["attack"], record["norm"]) == ("mine:step=0.5", "linf")
    assert record["linf"] == pytest.approx(25 / 255)
    assert "more than twice eps" in done.stderr
    for line, message in (
        ("--norm l1", "'mine' does not search l1 balls"),
        ("--target 1", "'mine' cannot be targeted at a class"),
    ):
        refused = call(folder, f"attack x.png --model model.keras --attack mine {line}")
        assert refused.returncode == ExitStatus.USAGE
        assert message in refused.stderr


def test_a_file_is_an_objective_and_a_file_an_augmentation(folder: Path) -> None:
    options = "--data digits --backbone linear --objective mine --augment mine --epochs 1 --limit 60 --weights none"
    refused = call(folder, f"train {options} --amp")
    assert refused.returncode == ExitStatus.USAGE
    assert "'mine' searches in the pass that also trains" in refused.stderr
    trained = call(folder, f"train {options} --image-size 8 --out run --json")
    assert trained.returncode == ExitStatus.DONE, trained.stderr
    measured = call(
        folder,
        "benchmark run --data digits --limit 10 --attack mine --noise mine --corruptions glass_blur,fog "
        "--severity 1 --json",
    )
    assert measured.returncode == ExitStatus.DONE, measured.stderr
    scores = [record for record in map(json.loads, measured.stdout.splitlines()) if record["type"] == "score"]
    seen = {(score["perturbation"], score["norm"]): score["seen"] for score in scores}
    assert seen["glass_blur", None] is True
    assert seen["mine", None] is True
    assert seen["fog", None] is False
    # The objective is not meant to make the model robust, so no attack is one that it was trained with.
    assert seen["mine", "linf"] is False
