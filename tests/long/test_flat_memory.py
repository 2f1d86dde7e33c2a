"""50,000 images through attack, benchmark and explain take no more memory than 5,000, but for the decoded images."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import make_classifier
from long import seeded, share_of

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform == "win32", reason="asks POSIX for the peak memory")]

# Explaining draws a sheet for each image, ten in a second.
COUNTS = {"attack": 50_000, "benchmark": 50_000, "explain": 5_000}
_LARGER = 1.15
_EDGE = 32
# What a process has had before it became another counts as that one's, so a small one starts the command.
_PEAK = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, "-m", "advcli", *sys.argv[1:]], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def png(generator: np.random.Generator) -> bytes:
    file = io.BytesIO()
    Image.fromarray(generator.integers(60, 200, (_EDGE, _EDGE, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def peak(folder: Path, *arguments: object) -> int:
    command = [sys.executable, "-c", _PEAK, *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout)


@pytest.mark.parametrize("command", COUNTS)
def test_memory_does_not_grow_with_the_images(command: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(seeded(command).randrange(2**32))
    make_classifier("small:width=4", edge=_EDGE).save(tmp_path / "model.keras")
    used = {}
    many = share_of(COUNTS[command])
    for count in (max(many // 10, 100), many):
        if command == "benchmark":
            data = f"{count}.zip"
            with zipfile.ZipFile(tmp_path / data, "w") as archive:
                for number in range(count):
                    archive.writestr(f"kind {number % 4}/{number:05}.png", png(generator))
            options = ("--attack", "fgsm", "--eps", 0.1, "--corruptions", "brightness", "--severity", 3, "--no-checks")
            call = ("benchmark", "model.keras", "--data", data, *options, "--out", f"{count}.jsonl")
        else:
            (tmp_path / str(count)).mkdir()
            for number in range(count):
                (tmp_path / str(count) / f"{number:05}.png").write_bytes(png(generator))
            method = ("--attack", "fgsm") if command == "attack" else ("--method", "saliency")
            call = (command, str(count), "--model", "model.keras", *method, "--out", f"out{count}", "--batch", 64)
        used[count] = peak(tmp_path, *call, "--quiet")
        if command != "benchmark":
            assert len(list((tmp_path / f"out{count}").glob("*.png"))) >= count
    print(json.dumps({"command": command, "kilobytes": used}))
    (some, few), (count, all_) = used.items()
    # A benchmark keeps the decoded images, in memory or in a mapped file, because it reads them again and again.
    kept = (count - some) * _EDGE**2 * 3 / 1024 if command == "benchmark" else 0
    assert all_ <= _LARGER * few + kept, used
