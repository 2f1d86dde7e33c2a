"""Errors name what was given, before any work: each kind of file to each option that wants another one."""

import json
import shlex
import sys
import tarfile
import zipfile
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from advcli.cli import main
from advcli.errors import ExitStatus
from advcli.files.kinds import kind_of
from conftest import make_classifier

LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of every kind."""
    made = tmp_path_factory.mktemp("kinds")
    image = Image.fromarray(np.full((8, 8, 3), 99, np.uint8))
    for name in ("cat.png", "cat.jpg", "word.bmp", "deep.ppm"):
        image.save(made / name)
    make_classifier("linear", edge=8).save(made / "ok.keras")
    contents: dict[str, bytes | str] = {
        "empty": b"",
        "empty.png": b"",
        "notes.txt": "BMW and P1 begin words",
        "table.csv": "a,b\n1,2\n",
        "conf.yaml": "eps: 0.03\n",
        "old.pth": b"\x80\x02\x8a\nl",
        "m.safetensors": b"\x08\0\0\0\0\0\0\0{}",
        "lite.bin": b"\x1c\0\0\0TFL3\0\0",
        "broken.tflite": LFS,
        "graph.pb": b"\n\1x",
        "part.ckpt.index": b"\0\1",
        "web.json": '{"format": "layers-model", "modelTopology": {}}',
        "film.mp4": b"\0\0\0\x20ftypisom\0\0",
        "film.avi": b"RIFF\0\0\0\0AVI LIST",
        "paper.pdf": b"%PDF-1.5\n\xff",
        "named.png": b"%PDF-1.5\n\xff",
        "drawing.svg": '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "page.jpg": "<!DOCTYPE html>\n<html></html>",
        "pointer.keras": LFS,
        "pointer.png": LFS,
        "photo.cr2": b"II*\0\x10\0\0\0CR\2\0",
        "pickled.pkl": b"\x80\4\x95\0",
        "run.engine": b"ftrt\0\0",
    }
    for name, content in contents.items():
        (made / name).write_bytes(content.encode() if isinstance(content, str) else content)
    with zipfile.ZipFile(made / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", b"\x80\2")
    with zipfile.ZipFile(made / "texts.zip", "w") as archive:
        archive.writestr("a/1.txt", "x")
        archive.writestr("b/2.txt", "x")
    with tarfile.open(made / "set.tar.gz", "w:gz") as archive:
        archive.add(made / "cat.png")
    with h5py.File(made / "w.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros((3, 3))
    with h5py.File(made / "arrays.h5", "w") as file:
        file["x_train"] = np.zeros((3, 3))
    np.save(made / "images.npy", np.zeros((2, 8, 8, 3), np.uint8))
    for name in ("void", "texts", "graphs"):
        (made / name).mkdir()
    (made / "texts" / "a.txt").write_text("x")
    (made / "graphs" / "saved_model.pb").write_bytes(b"\x08\1")
    return made


MODEL = "attack cat.png --out new --model {}"
IMAGE = "attack {} --out new --model ok.keras"
DATA = "benchmark ok.keras --data {}"
WEIGHTS = "attack cat.png --out new --weights {}"
LABELS = "attack cat.png --out new --model ok.keras --labels {}"
MASK = "attack cat.png --out new --model ok.keras --mask {}"
BASELINE = "benchmark ok.keras --data digits --attack none --baseline {}"
RESUME = "benchmark --resume {}"

CASES = [
    (MODEL, "empty", "an empty file", "again"),
    (MODEL, "notes.txt", "a text file", "--model opens a run folder"),
    (MODEL, "conf.yaml", "a YAML file", "--model opens"),
    (MODEL, "net.pt", "a PyTorch file", "torch.onnx.export"),
    (MODEL, "old.pth", "a PyTorch file", "torch.onnx.export"),
    (MODEL, "m.safetensors", "a safetensors file", "torch.onnx.export"),
    (MODEL, "graph.pb", "a frozen TensorFlow graph", "wrap_function"),
    (MODEL, "graphs/saved_model.pb", "the graph of a SavedModel", "give its folder"),
    (MODEL, "part.ckpt", "the prefix of a TensorFlow checkpoint", "model.save("),
    (MODEL, "part.ckpt.index", "a part of a TensorFlow checkpoint", "model.save("),
    (MODEL, "w.weights.h5", "a file of Keras weights", "--model BACKBONE --weights FILE"),
    (MODEL, "arrays.h5", "an HDF5 file without a Keras model", "--model opens"),
    (MODEL, "broken.tflite", "a pointer of Git LFS", "git lfs pull"),
    (MODEL, "pointer.keras", "a pointer of Git LFS", "git lfs pull"),
    (MODEL, "web.json", "a TensorFlow.js model", "tensorflowjs_converter"),
    (MODEL, "cat.png", "a PNG image", "--model opens"),
    (MODEL, "film.mp4", "a video", "--model opens"),
    (MODEL, "run.engine", "a TensorRT engine", "the model that it was made of"),
    (MODEL, "void", "an empty folder", "advcli train"),
    (MODEL, "texts", "a folder", "advcli train"),
    (MODEL, "https://a.org/net.keras", "the web address of a file", "download"),
    (MODEL, "s3://bucket/net", "a web address of models", "download"),
    (MODEL, "https://huggingface.co/a/b", "a web address of models", "download"),
    (IMAGE, "notes.txt", "a text file", "known suffixes"),
    (IMAGE, "ok.keras", "a Keras model", "known suffixes"),
    (IMAGE, "net.pt", "a PyTorch file", "known suffixes"),
    (IMAGE, "empty.png", "an empty file", "again"),
    (IMAGE, "film.avi", "a video", "ffmpeg"),
    (IMAGE, "paper.pdf", "a PDF document", "pdftoppm"),
    (IMAGE, "named.png", "a PDF document", "pdftoppm"),
    (IMAGE, "drawing.svg", "an SVG drawing", "PNG"),
    (IMAGE, "page.jpg", "a web page", "download"),
    (IMAGE, "pointer.png", "a pointer of Git LFS", "git lfs pull"),
    (IMAGE, "photo.cr2", "a camera's raw file", "PNG"),
    (IMAGE, "images.npy", "a NumPy array", "PNG"),
    (IMAGE, "texts.zip", "a .zip archive", "known suffixes"),
    (IMAGE, "graphs", "a SavedModel", "known suffixes"),
    (IMAGE, "https://a.org/cat.jpg", "a web address", "download"),
    ("explain {} --out new --model ok.keras", "table.csv", "a CSV file", "known suffixes"),
    ("explain cat.png --out new --model ok.keras --adversarial {}", "ok.keras", "a Keras model", "advcli attack"),
    (DATA, "cat.jpg", "a JPEG image", "a folder or .zip of images"),
    (DATA, "ok.keras", "a Keras model", "a folder or .zip of images"),
    (DATA, "graphs", "a SavedModel", "a folder or .zip of images"),
    (DATA, "set.tar.gz", "a gzip archive", "unpack it"),
    (DATA, "https://a.org/set.zip", "a web address", "download"),
    (WEIGHTS, "net.pt", "a PyTorch file", "--weights is imagenet or a weights file"),
    (WEIGHTS, "ok.keras", "a Keras model", "--model ok.keras"),
    (WEIGHTS, "void", "an empty folder", "weights file"),
    (WEIGHTS, "https://a.org/w.h5", "a web address", "download"),
    ("train --data digits --out new --weights {}", "cat.png", "a PNG image", "weights file"),
    ("train --data digits --out new --model {}", "net.pt", "a PyTorch file", "torch.onnx.export"),
    (LABELS, "cat.png", "a PNG image", "one class name a line"),
    (LABELS, "pickled.pkl", "a Python pickle", "in another format"),
    (LABELS, "https://a.org/names.txt", "a web address", "download"),
    (MASK, "notes.txt", "a text file", "known suffixes"),
    (MASK, "https://a.org/mask.png", "a web address", "download"),
    (BASELINE, "cat.png", "a PNG image", "--baseline names a file of results"),
    (BASELINE, "void", "an empty folder", "--baseline names a file of results"),
    (RESUME, "ok.keras", "a Keras model", "--out FILE"),
    (RESUME, "https://a.org/r.jsonl", "a web address", "download"),
    ("benchmark ok.keras --data digits --requirements {}", "cat.png", "a PNG image", "--requirements names"),
    ("benchmark --verify {}", "cat.png", "a PNG image", "--evidence wrote"),
    ("train --resume {}", "ok.keras", "a Keras model", "--resume names the folder"),
    ("train --config {}", "cat.png", "a PNG image", "--config names"),
    ("train --config {}", "https://a.org/c.toml", "a web address", "download"),
]


@pytest.mark.parametrize(("line", "given", "kind", "hint"), CASES, ids=[f"{case[0]}: {case[1]}" for case in CASES])
def test_the_error_names_what_was_given(
    line: str,
    given: str,
    kind: str,
    hint: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["advcli", *shlex.split(line.format(given))])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == ExitStatus.USAGE, said
    assert f"'{given}'" in said
    assert f"{kind}" in said.partition("hint:")[0]
    assert hint in said.partition("hint:")[2]
    assert not (folder / "new").exists()


def test_a_bad_image_among_good_ones_is_named_in_its_record(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    line = f"attack paper.pdf cat.png --model ok.keras --attack fgsm --json --out {tmp_path}"
    monkeypatch.setattr(sys, "argv", ["advcli", *line.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == ExitStatus.FAILED
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["type"] for record in records] == ["failed", "attacked"]
    assert records[0]["error"].startswith("not an image but a PDF document (save its pages")


@pytest.mark.parametrize("name", ["cat.png", "cat.jpg", "word.bmp", "deep.ppm"])
def test_images_are_images_whatever_their_name(name: str, folder: Path, tmp_path: Path) -> None:
    for copy in (name, "no_suffix", "model.keras"):
        (tmp_path / copy).write_bytes((folder / name).read_bytes())
        kind = kind_of(tmp_path / copy)
        assert kind is not None
        assert kind.use == "image"


def test_what_is_not_known_is_left_to_its_reader(tmp_path: Path) -> None:
    # A TGA has no first bytes of its own.
    Image.new("RGB", (4, 4)).save(tmp_path / "old.tga")
    assert kind_of(tmp_path / "old.tga") is None
    assert kind_of(tmp_path / "not_there") is None


@pytest.mark.skipif(find_spec("pillow_heif") is not None, reason="pillow-heif is installed")
def test_an_image_without_its_reader_names_the_package(tmp_path: Path) -> None:
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    kind = kind_of(tmp_path / "photo.heic")
    assert kind is not None
    assert (kind.use, kind.text) == ("none", "a HEIF image")
    assert 'pip install "advcli[heif]"' in kind.advice
