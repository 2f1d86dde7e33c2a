"""Files that others made: none runs a program, hangs, ends a call or writes to the terminal what it likes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.backend import keras
from conftest import Command, make_classifier

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 16 16
%%EndComments
0 0 16 16 rectfill
showpage
%%EOF
"""
NAME = "a\x1b[2J\x1b]0;title\x07\u202egnp\x9b.png"
pytestmark = pytest.mark.skipif(os.name != "posix", reason="programs and pipes are those of POSIX")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    make_classifier("small:width=4", edge=32).save(path)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(60, 200, (40, 40, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def ghostscript(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a program called gs first on PATH, and return the file that it writes when it runs."""
    marker = tmp_path / "marker"
    (tmp_path / "bin").mkdir()
    for name in ("gs", "gswin32c", "gswin64c", "ffmpeg", "djpeg"):
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\necho ran > {marker}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return marker


def test_no_image_runs_a_program(advcli: Command, model: Path, photo: Path, ghostscript: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pets"
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True)
        for index in range(3):
            (folder / label / f"{index}.png").write_bytes(EPS)
    image = folder / "cat" / "0.png"
    for suffix in (".eps", ".jpg", ".tif"):
        shutil.copy(image, image.with_suffix(suffix))

    # Pillow by itself would run it.
    code = f"from PIL import Image; Image.open({str(image)!r}).load()"
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ghostscript.exists()
    ghostscript.unlink()

    calls = [
        ("attack", *image.parent.iterdir(), "--model", model, "--attack", "fgsm"),
        ("attack", photo, "--model", model, "--apply", image),
        ("explain", image, photo, "--model", model, "--method", "saliency", "--out", "maps"),
        ("explain", photo, "--model", model, "--adversarial", image, "--out", "maps", "--overwrite"),
        ("train", "--data", folder, "--backbone", "small:width=4", "--epochs", 1),
        ("benchmark", model, "--data", folder, "--attack", "fgsm"),
    ]
    for call in calls:
        result = advcli(*call)
        assert result.returncode in (1, 2), (call, result.stderr)
        assert "Traceback" not in result.stderr
        assert not ghostscript.exists(), call
    assert (tmp_path / "maps" / "photo.explain.png").exists()


def test_a_pipe_is_refused_as_any_input(advcli: Command, model: Path, photo: Path, tmp_path: Path) -> None:
    for suffix in ("", ".png", ".keras", ".onnx", ".npz", ".toml", ".json", ".h5"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
    calls = [
        ("attack", "pipe.png", "--model", model),
        ("attack", photo, "--model", "pipe.keras"),
        ("attack", photo, "--model", "pipe.onnx"),
        ("attack", photo, "--model", model, "--labels", "pipe"),
        ("attack", photo, "--weights", "pipe.h5"),
        ("attack", photo, "--model", model, "--apply", "pipe.png"),
        ("explain", photo, "--model", model, "--adversarial", "pipe.png"),
        ("benchmark", model, "--data", "pipe.npz"),
        ("benchmark", "--resume", "pipe.json"),
        ("benchmark", model, "--data", "digits", "--baseline", "pipe.json"),
        ("train", "--config", "pipe.toml"),
        ("train", "--data", "mnist:path=pipe.npz"),
    ]
    for call in calls:
        result = advcli(*call)
        assert result.returncode == 2, (call, result.stderr)
        assert "is a pipe, not a file" in result.stderr, (call, result.stderr)


def test_one_bad_image_does_not_end_the_call(advcli: Command, model: Path, photo: Path, tmp_path: Path) -> None:
    Image.open(photo).save(tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    entry = content.index(b"\1\1\4\0")
    (tmp_path / "a.tif").write_bytes(content[: entry + 8] + bytes(4) + content[entry + 12 :])
    Image.new("RGB", (70, 70)).save(tmp_path / "large.png")
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    bad = ("a.tif", "large.png")
    arguments = ("--model", model, "--max-pixels", 4000, "--json")
    result = advcli("attack", *bad, "dot.png", photo, *arguments, "--attack", "fgsm")
    records = {json.loads(line)["image"]: json.loads(line) for line in result.stdout.splitlines()}
    assert result.returncode == 1
    assert {name for name, record in records.items() if record["type"] == "failed"} == set(bad)
    assert (tmp_path / "photo.adv.png").exists()
    assert "--max-pixels" in records["large.png"]["error"]
    result = advcli("explain", *bad, "dot.png", photo, *arguments, "--method", "saliency")
    failed = [json.loads(line)["image"] for line in result.stdout.splitlines() if json.loads(line)["type"] == "failed"]
    assert result.returncode == 1
    assert set(failed) == {*bad, "dot.png"}
    assert (tmp_path / "maps" / "photo.explain.png").exists()


def test_a_name_that_becomes_too_long_is_refused_before_any_work(advcli: Command, photo: Path, tmp_path: Path) -> None:
    long = "x" * 251 + ".png"
    shutil.copy(photo, tmp_path / long)
    for command in ("attack", "explain"):
        result = advcli(command, photo, long)
        assert result.returncode == 2, result.stderr
        assert "255 are possible" in result.stderr
    result = advcli("attack", "x" * 300)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".png"] == []


def test_no_name_commands_the_terminal(advcli: Command, model: Path, photo: Path, tmp_path: Path) -> None:
    shutil.copy(photo, tmp_path / NAME)
    (tmp_path / f"bad{NAME}").write_text("none")
    (tmp_path / "labels").write_text("one\x1b[31m\ntwo\u202e\nthree\x9b\nfour\x07\n", encoding="utf-8")
    shutil.copy(model, tmp_path / "m\x1b[1m.keras")
    arguments = (NAME, f"bad{NAME}", "--model", "m\x1b[1m.keras", "--labels", "labels")
    for call in (("attack", *arguments, "--attack", "fgsm"), ("explain", *arguments, "--method", "saliency")):
        result = advcli(*call)
        assert result.returncode == 1, result.stderr
        for stream in (result.stdout, result.stderr):
            assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(stream)
            assert "a\\x1b[2J\\x1b]0;title\\x07\\u202egnp\\x9b.png" in stream
    result = advcli("attack", *arguments, "--attack", "fgsm", "--json", "--overwrite")
    assert {json.loads(line)["image"] for line in result.stdout.splitlines()} == {NAME, f"bad{NAME}"}
    result = advcli("attack", f"no{NAME}")
    assert result.returncode == 2
    assert "\\x1b[2J" in result.stderr
    assert "\x1b" not in result.stderr


def test_warnings_of_libraries_reach_no_user(advcli: Command, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import logging, warnings\nimport numpy as np\n"
        "def scores(images):\n"
        "    warnings.simplefilter('always')\n"
        "    warnings.warn('nothing that a user can mend')\n"
        "    logging.getLogger('tifffile').warning('nothing either')\n"
        "    logging.getLogger('another').warning('nor this')\n"
        "    return np.log(np.array([[0.0, 1.0]])) * 0 + images.mean((1, 2))[:, :2] * [1, 2]\n"
    )
    arguments = ("--model", "python:loud:scores", "--unsafe-load", "--image-size", 16, "--attack", "square:steps=2")
    result = advcli("attack", photo, *arguments, env={"PYTHONPATH": str(tmp_path)})
    assert "Warning" not in result.stderr and "nor this" not in result.stderr and "nothing" not in result.stderr


@pytest.mark.parametrize(("module", "advised"), [("math", True), ("os", False), ("subprocess", False)])
def test_no_hint_advises_to_run_what_reaches_beyond_a_model(
    advcli: Command, photo: Path, tmp_path: Path, module: str, advised: bool
) -> None:
    scope: dict[str, object] = {}
    exec(f"def act(x):\n    import {module}\n    return x * float(bool({module}.__name__))", scope)
    inputs = keras.Input((8, 8, 3))
    hidden = keras.layers.Lambda(scope["act"], output_shape=(8, 8, 3))(inputs)
    saved = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(hidden)))
    saved.get_layer(index=1).function.__name__ = "<lambda>"
    for ending in ("keras", "h5"):
        saved.save(tmp_path / f"m.{ending}")
        result = advcli("attack", photo, "--model", f"m.{ending}")
        assert result.returncode == 1
        assert ("--unsafe-load" in result.stderr) is advised, result.stderr
