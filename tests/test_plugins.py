"""Components of other packages and of the user's own files."""

import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.attacks import Attack
from advcli.errors import ExitStatus
from advcli.testing import attack_battery, corruption_battery
from conftest import Command, make_classifier

ATTACK = '''"""Darken every image.

Nobody 2000, https://example.org
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack


@dataclass(frozen=True)
class Darken(Attack):
    """Take a share of the radius away."""

    kind: ClassVar[str] = "gradient"
    targeted: ClassVar[bool] = False

    share: float = 1.0

    def __call__(self, logits_fn, images, labels, threat, rng):
        """Darken: (N, H, W, C) -> (N, H, W, C)."""
        logits_fn(images)
        return threat.project(images - self.share * threat.eps, images)


COMPONENT = Darken
'''

CORRUPTION = '''"""Make images half as bright."""

from dataclasses import dataclass
from advcli.corruptions import Corruption


@dataclass(frozen=True)
class Half(Corruption):
    """Halve."""

    def __call__(self, images, severity, generators):
        """Halve: (N, H, W, C) -> (N, H, W, C)."""
        return images / 2


COMPONENT = Half
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed a wheel with an attack and a corruption, a model and an image."""
    folder = tmp_path_factory.mktemp("others")
    wheel = folder / "their_attacks-1.0-py3-none-any.whl"
    info = "their_attacks-1.0.dist-info"
    files = {
        "their_attacks/__init__.py": "raise RuntimeError('help must not import it')\n",
        "their_attack.py": ATTACK,
        "their_corruption.py": CORRUPTION,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: their-attacks\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": "[advcli.attacks]\ndarken = their_attack\npgd = their_attack\n"
        "gone = no_such_module\n[advcli.corruptions]\nhalf_light = their_corruption\n",
    }
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", "site"]
    subprocess.run([*command, wheel.name], cwd=folder, check=True, capture_output=True)
    make_classifier("small:width=4", edge=16).save(folder / "model.keras")
    pixels = np.random.default_rng(0).integers(60, 180, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "x.png")
    (folder / "mine.py").write_text(ATTACK)
    return folder


def digits(path: Path) -> None:
    """Save an untrained network for the built-in digits."""
    network = make_classifier("small:width=4", edge=8, channels=1, classes=10)
    replace(network, labels=tuple("0123456789")).save(path)


def call(folder: Path, line: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(folder / "site"), *sys.path])
    environment = os.environ | {"PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "advcli", *line.split()], cwd=folder, env=environment, capture_output=True, text=True
    )


def test_an_installed_package_adds_components(installed: Path) -> None:
    shown = call(installed, "attack --help-attacks").stdout
    assert "darken:share=1.0" in shown
    assert "Darken every image." in shown
    done = call(installed, "attack x.png --model model.keras --attack darken:share=0.5 --eps 0.1 --json")
    assert done.returncode == ExitStatus.DONE, done.stderr
    record = json.loads(done.stdout)
    assert record["attack"] == "darken:share=0.5"
    assert record["linf"] == pytest.approx(12.5 / 255, abs=0.51 / 255)
    assert "gone" not in shown


def test_a_corruption_of_a_package_is_measured_and_own_names_go_first(installed: Path) -> None:
    digits(installed / "digits.keras")
    line = "benchmark digits.keras --data digits --limit 10 --no-checks --json"
    done = call(installed, f"{line} --corruptions half_light --severity 1 --attack pgd:steps=2")
    assert done.returncode == ExitStatus.DONE, done.stderr
    found = [json.loads(text) for text in done.stdout.splitlines()]
    assert "half_light" in [record.get("perturbation") for record in found]
    # The entry point named pgd is another attack: it has no option steps.
    assert "pgd:steps=2" in [record.get("perturbation") for record in found]


def test_a_file_is_an_attack_if_its_code_may_run(installed: Path) -> None:
    line = "attack x.png --model model.keras --attack ./mine.py:share=0.25 --eps 0.1 --json --overwrite"
    refused = call(installed, line)
    assert refused.returncode == ExitStatus.USAGE
    assert "is code that would run" in refused.stderr
    assert "--unsafe-load" in refused.stderr
    done = call(installed, f"{line} --unsafe-load")
    assert done.returncode == ExitStatus.DONE, done.stderr
    record = json.loads(done.stdout)
    assert record["attack"] == "./mine.py:share=0.25"
    assert record["linf"] == pytest.approx(6.25 / 255, abs=0.8 / 255)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no file"),
        ("x = 1\n", "has no component"),
        ("raise RuntimeError('broken')\n", "cannot be run: RuntimeError: broken"),
        ("COMPONENT = 3\n", "has no component"),
    ],
)
def test_a_file_that_is_no_component(advcli: Command, tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "mine.py").write_text(content)
    (tmp_path / "x.png").write_bytes(b"")
    done = advcli("attack", "x.png", "--attack", "mine.py", "--unsafe-load")
    assert done.returncode == ExitStatus.USAGE
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_of_results_does_not_decide_what_runs(advcli: Command, tmp_path: Path) -> None:
    digits(tmp_path / "model.keras")
    (tmp_path / "mine.py").write_text(ATTACK)
    line = "benchmark model.keras --data digits --limit 20 --attack ./mine.py --no-checks --out results.jsonl"
    done = advcli(*line.split(), "--unsafe-load")
    assert done.returncode == ExitStatus.DONE, done.stderr
    (tmp_path / "mine.py").write_text("from pathlib import Path\nPath('ran').touch()\n" + ATTACK)
    for resumed in (["--resume", "results.jsonl"], ["--merge", "results.jsonl"]):
        refused = advcli("benchmark", *resumed)
        assert refused.returncode == ExitStatus.USAGE
        assert "would run code" in refused.stderr
        assert not (tmp_path / "ran").exists()
    allowed = advcli("benchmark", "--resume", "results.jsonl", "--unsafe-load")
    assert allowed.returncode == ExitStatus.DONE, allowed.stderr


def test_the_batteries_tell_good_components_from_bad_ones() -> None:
    attack_battery(registry.build("attacks", "pgd:steps=3"))
    corruption_battery(registry.build("corruptions", "fog"))

    @dataclass(frozen=True)
    class Nothing(Attack):
        kind: ClassVar[str] = "gradient"
        factor: float = 0.0

        def __call__(self, logits_fn, images, labels, threat, rng):
            stepped = registry.build("attacks", "fgsm")(logits_fn, images, labels, threat, rng)
            return images + self.factor * (stepped - images)

    with pytest.raises(AssertionError, match="did not rise"):
        attack_battery(Nothing())
    with pytest.raises(AssertionError, match="leaves the ball"):
        attack_battery(Nothing(1.5))
