"""Class folders and archives of them as people have them: nothing vanishes, names are names, all of it is measured."""

import contextlib
import io
import json
import logging
import random
import re
import shutil
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.data.dataset import Dataset
from advcli.data.decoded import decode
from advcli.datasets import find, open_dataset
from advcli.datasets._layout import detect
from advcli.errors import AdvcliError, UsageError
from advcli.files import paths
from advcli.parsing import read_list
from advcli.tasks.benchmark.held_out import measured_part
from conftest import Command


def picture(kind: str = "PNG", colour: int = 0) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (colour,) * 3).save(file, kind)
    return file.getvalue()


PNG = picture()


def write(top: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(content)
    return top


def pack(top: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as packed:
        for file in top.rglob("*"):
            packed.write(file, file.relative_to(top.parent))
    return archive


# Which layout


@pytest.mark.parametrize(
    ("names", "source"),
    [
        (["cat/1.png", "dog/1.png"], "folder"),
        (["train/1/a/x.png", "train/2/a/x.png", "test/1/a/y.png"], "folder"),
        (["wnids.txt", "train/n01/images/1.JPEG"], "tiny-imagenet"),
        (["top/wnids.txt", "top/train/n01/images/1.JPEG"], "tiny-imagenet"),
        (["cat/1.png", "dog/1.png", "metadata.csv"], "manifest"),
        (["train/metadata.jsonl", "train/1.png"], "manifest"),
        (["cat/labels.csv", "cat/1.png", "dog/1.png"], "folder"),
        (["fog/1/cat/1.png", "fog/2/cat/1.png"], "corruption-folder"),
        (["weather/fog/1/cat/1.png", "blur/defocus_blur/5/cat/1.png"], "corruption-folder"),
        (["1/2/cat/1.png", "2/2/cat/1.png"], "folder"),
        (["fog/1/cat/1.png", "dog/0.png"], "folder"),
        (["labels.npy", "fog.npy", "snow.npy"], "corruption-arrays"),
        (["data/train-00000-of-00002.parquet"], "parquet"),
        (["1.0.0/features.json", "1.0.0/mnist-test.tfrecord-00000-of-00001"], "tfrecord"),
        ([".DS_Store", "__MACOSX/wnids.txt"], "folder"),
    ],
)
def test_the_layout_is_found_from_the_names_alone(names: list[str], source: str, tmp_path: Path) -> None:
    layout = detect(tmp_path, sorted(names))
    assert layout.source == source
    assert layout.evidence in (*names, "")


# Nothing vanishes

ODD = (
    "a.heix",
    "b.txt",
    "c",
    ".DS_Store",
    "Thumbs.db",
    "d.png.part",
    "e.PNG",
    "._f.png",
    "g.mp4",
    "sub/h.jpg",
    ".i/j.png",
)


def odd_folder(top: Path, seed: int) -> Path:
    """Write a folder of classes with odd files in odd places."""
    draw = random.Random(seed)
    classes = draw.sample(["cat", "Dog", "0", "10", "é", "crane, a bird", "n01440764", ".hidden", "train x"], 4)
    splits = draw.choice([[""], [""], ["train/", "val/"], ["Train/", "test/", "extra/"], ["test/"]])
    for split in splits:
        for label in classes:
            for number in range(draw.randint(0, 3)):
                content = draw.choice([PNG, PNG, PNG, b"", b"no image", picture("JPEG")])
                write(top, {f"{split}{label}/{number}.png": content})
            for name in draw.sample(ODD, draw.randint(0, 3)):
                write(top, {f"{split}{label}/{name}": draw.choice([PNG, b"text"])})
        for name in draw.sample(ODD, draw.randint(0, 2)):
            write(top, {f"{split}{name}": PNG})
    for name in draw.sample(ODD, draw.randint(0, 2)):
        write(top, {name: PNG})
    return top


def count(dataset: Dataset, caplog: pytest.LogCaptureFixture) -> int:
    """Count the images that are read, and the files that are named."""
    total = sum(each.files for each in dataset.left_out)
    for split in (dataset.train, dataset.test):
        caplog.clear()
        with contextlib.suppress(AdvcliError):
            total += len(decode(split, (8, 8), 3, skip_bad=True))
        total += sum("unreadable image" in record.getMessage() for record in caplog.records)
    return total


@pytest.mark.parametrize("seeds", [range(150), pytest.param(range(150, 1150), marks=pytest.mark.slow)], ids=len)
def test_images_read_and_files_named_are_the_files_there(
    seeds: range, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = 0
    for seed in seeds:
        top = odd_folder(tmp_path / str(seed) / "data", seed)
        there = sum(file.is_file() for file in top.rglob("*"))
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            try:
                dataset = find(str(top))()
            except UsageError:
                # Refused as a whole: nothing is measured.
                continue
            said = caplog.text
            assert count(dataset, caplog) == there, seed
        whole += 1
        for left_out in dataset.left_out:
            assert left_out.where in said
        packed = find(str(pack(top, tmp_path / f"{seed}.zip")))()
        with caplog.at_level(logging.WARNING):
            assert count(packed, caplog) == there, seed
        assert (packed.labels, packed.test.labels.tolist()) == (dataset.labels, dataset.test.labels.tolist())
    assert whole > 0.4 * len(seeds)


def test_files_of_unknown_kinds_are_counted_by_suffix(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {f"{label}/{number}.png": PNG for label in ("circle", "square") for number in range(5)}
    top = write(tmp_path / "shapes", files | {"circle/a.raw": b"", "circle/b.RAW": b"", "circle/c.psd": b""})
    with caplog.at_level(logging.WARNING):
        find(str(top))()
    assert "3 files in 'circle' of no known kind: .psd 1, .raw 2" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert len(paths.find_images([top])) == 10
    assert "3 files in" in caplog.text and ".raw 2" in caplog.text


def test_a_format_that_a_package_reads_is_named_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 'pip install "advcli[heif]"' in paths.describe_unknown("circle", {".heic": 2, ".txt": 1})
    assert "pip" not in paths.describe_unknown("circle", {".txt": 1})
    monkeypatch.setattr(paths, "EXTRA_SUFFIXES", {".heic": "no_such_package"})
    assert not paths.is_image(Path("a.heic"))


@pytest.mark.parametrize(
    ("kind", "suffix", "package"),
    [
        ("JPEG2000", ".j2k", "PIL"),
        ("JPEG2000", ".jpx", "PIL"),
        ("ICO", ".ico", "PIL"),
        ("AVIF", ".avif", "PIL"),
        ("HEIF", ".heic", "pillow_heif"),
        ("JXL", ".jxl", "pillow_jxl"),
    ],
)
def test_rarer_formats_are_read(kind: str, suffix: str, package: str, tmp_path: Path) -> None:
    module = pytest.importorskip(package)
    if package == "pillow_heif":
        module.register_heif_opener()
    pixels = np.tile(np.linspace(0, 255, 32).astype(np.uint8)[:, None], (1, 32))
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.fromarray(np.stack([pixels] * 3, axis=-1)).save(tmp_path / label / f"1{suffix}", kind)
    dataset = find(str(tmp_path))().measured_whole()
    assert len(dataset.test) == 2 and dataset.edge == 32
    assert np.abs(dataset.test.read(0)[..., 0].astype(int) - pixels).max() <= 20


def test_a_suffix_that_is_not_the_content_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {f"{label}/{number}.png": PNG for label in "ab" for number in range(3)}
    top = write(
        tmp_path / "data", files | {"a/0.png": picture("JPEG"), "b/2.png": picture("WEBP"), "b/3.avif": picture("AVIF")}
    )
    for path in (top, pack(top, tmp_path / "data.zip")):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert len(decode(find(str(path))().measured_whole().test, (8, 8), 3)) == 7
        assert "2 files have another format than the suffix says: JPEG 1, WEBP 1; such as" in caplog.text
        assert str(Path("a") / "0.png") in caplog.text


# Names


def test_unicode_forms_of_a_name_are_equal(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Café") for form in ("NFC", "NFD"))
    assert composed != apart
    files = {f"train/{composed}/1.png": PNG, "train/tea/1.png": PNG, f"test/{apart}/2.png": PNG, "test/tea/2.png": PNG}
    dataset = find(str(write(tmp_path / "data", files)))()
    dataset.refuse_faults()
    assert dataset.labels == (composed, "tea") and dataset.test.labels.tolist() == [0, 1]
    assert dataset.restrict((apart, "tea")).labels == (composed, "tea")
    assert dataset.test.read(0).shape == (8, 8, 3)


def test_a_class_with_a_comma_is_named_in_quotes(tmp_path: Path) -> None:
    assert read_list('cat,"crane, a bird", dog') == ("cat", "crane, a bird", "dog")
    assert read_list('"a"') == ("a",) and read_list("a, b,") == ("a", "b")
    with pytest.raises(UsageError, match="quote"):
        read_list('cat,"crane, a bird')
    names = ("cat", "crane, a bird", "crane, a machine")
    dataset = find(str(write(tmp_path, {f"{name}/{i}.png": PNG for name in names for i in range(2)})))()
    assert dataset.restrict(read_list('cat,"crane, a machine"')).labels == ("cat", "crane, a machine")


# All of it


@pytest.fixture(scope="module")
def greys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 31 dark and 9 bright images; some classes of one image beside."""
    top = tmp_path_factory.mktemp("greys")
    files = {f"dark/{i}.png": picture(colour=i) for i in range(31)} | {
        f"light/{i}.png": picture(colour=200 + i) for i in range(9)
    }
    return write(top / "greys", files)


def test_a_folder_is_measured_whole_but_for_a_model_of_its_own(greys: Path, caplog: pytest.LogCaptureFixture) -> None:
    dataset = find(str(greys))()
    own = {"data": str(greys), "data_identity": dataset.identity}
    moved = {"data": "/elsewhere/greys", "data_identity": dataset.identity}
    changed = {"data": str(greys), "data_identity": "another"}
    with caplog.at_level(logging.INFO):
        for recipe in ({}, {"data": "digits"}, {"data": "/elsewhere/others", "data_identity": "another"}):
            caplog.clear()
            assert len(measured_part(dataset, str(greys), [("m", {}), ("n", recipe)]).test) == 40
            assert "40" in caplog.text
        for recipe in (own, moved, changed, {"data": str(greys)}, {"data": "nowhere/greys"}):
            caplog.clear()
            found = measured_part(dataset, str(greys), [("m", {}), ("n", recipe)])
            assert len(found.test) == 8 and len(found.train) == 32
            assert re.search(r"'n' was trained on 'greys': the 8 of its 40 images", caplog.text)
            assert ("has changed since" in caplog.text) == (recipe is changed)
    everything = dataset.measured_whole()
    assert sorted(everything.test.name(i) for i in range(40)) == sorted(map(str, greys.rglob("*.png")))
    assert len(everything.train) == 0
    for split in (everything.test, dataset.test, dataset.train):
        assert all(dataset.labels[label] in split.name(i) for i, label in enumerate(split.labels))


def test_two_arrays_are_the_same_data_only_if_they_are_equal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Files of one name and size, and a model of data that has no identity."""
    found = {}
    for name, value in (("a", 101), ("b", 102), ("c", 101)):
        (tmp_path / name).mkdir()
        labels = np.arange(40) % 2
        np.savez(tmp_path / name / "all.npz", x=np.full((40, 8, 8), value, np.uint8), y=labels)
        found[name] = find(str(tmp_path / name / "all.npz"))()
    assert found["a"].identity == found["c"].identity != found["b"].identity
    for recipe, images in (
        ({"data": "/elsewhere/all.npz", "data_identity": found["c"].identity}, 8),
        ({"data": "/elsewhere/all.npz", "data_identity": found["b"].identity}, 40),
        ({"data": "digits", "data_identity": ""}, 40),
    ):
        measured = measured_part(found["a"], str(tmp_path / "a" / "all.npz"), [("m", recipe)])
        assert len(measured.test) == images, recipe
    assert "digits" not in caplog.text


def test_the_command_measures_all_of_it_and_a_class_of_one_image(advcli: Command, greys: Path, tmp_path: Path) -> None:
    quick = ("--epochs", 1, "--backbone", "linear", "--objective", "clean", "--augment", "none", "--image-size", 8)
    trained = advcli("train", "--data", greys, *quick, "--out", "run")
    assert trained.returncode == 0, trained.stderr
    single = write(tmp_path / "single", {"dark/1.png": picture(colour=9), "light/1.png": picture(colour=250)})
    for data, images, said in ((greys, 8, "8 of its 40"), (single, 2, "measured whole: 2 images")):
        found = advcli("benchmark", "run", "--data", data, "--attack", "none", "--no-checks", "--json")
        assert found.returncode == 0, found.stderr
        assert json.loads(found.stdout.splitlines()[0])["images"] == images
        assert said in found.stderr
    refused = advcli("train", "--data", single, *quick, "--out", "run2")
    assert refused.returncode == 2 and "has only one image" in refused.stderr


def test_every_command_tells_what_it_leaves_out(advcli: Command, greys: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(greys, data)
    write(data, {"dark/notes.xyz": b"text"})
    said = "1 file in 'dark' of no known kind"
    quick = ("--backbone", "linear", "--objective", "clean", "--augment", "none", "--image-size", 8, "--epochs", 1)
    trained = advcli("train", "--data", data, *quick, "--out", "run")
    assert trained.returncode == 0 and said in trained.stderr, trained.stderr
    planned = advcli("train", "--data", data, *quick, "--plan")
    assert planned.returncode == 0 and said in planned.stderr, planned.stderr
    measured = advcli("benchmark", "run", "--data", data, "--attack", "none", "--no-checks")
    assert measured.returncode == 0 and said in measured.stderr, measured.stderr
    for command in ("attack", "explain"):
        found = advcli(command, data / "dark", "--model", "run", "--out", command)
        assert found.returncode == 0 and ".xyz" in found.stderr, found.stderr


def test_errors_name_the_layout_and_the_file_that_shows_it(tmp_path: Path) -> None:
    (tmp_path / "only").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "only" / "first.png")
    with pytest.raises(AdvcliError) as caught:
        open_dataset(str(tmp_path))
    assert f"'{tmp_path}' is read as folder data because of 'only/first.png'" in caught.value.hint
    table = tmp_path / "images.csv"
    table.write_text("file_name,kind\na.png,cat\n")
    with pytest.raises(AdvcliError) as caught:
        open_dataset(str(table))
    assert f"'{table}' is read as manifest data because of 'images.csv'" in caught.value.hint


# Splits


def class_folders(top: Path, splits: dict[str, int]) -> Path:
    """Write folders of splits, each with two classes of so many images."""
    for split, count in splits.items():
        write(top / split, {f"{kind}/{i}.png": PNG for kind in ("cat", "dog") for i in range(count)})
    return top


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(("train", "test"), ("Training", "Testing"), ("TRAIN", "valid"), ("training_set", "test_set")),
        *(("train", "eval"), ("Train", "holdout"), ("train", "dev"), ("train_images", "test-images")),
        *(("trainset", "testset"), ("TrainData", "ValData"), ("seg_train/seg_train", "seg_test/seg_test")),
        ("cats_dogs_train", "cats_dogs_validation"),
    ],
)
def test_the_folders_of_splits_are_found_by_what_people_call_them(train: str, test: str, tmp_path: Path) -> None:
    data = find(str(class_folders(tmp_path / "data", {train: 3, test: 2})))()
    assert data.labels == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (6, 4)


def test_validation_images_beside_test_images_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = find(str(class_folders(tmp_path / "data", {"val": 3, "test": 2})))()
    assert data.labels == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (0, 4)
    assert "val' is left out" in caplog.text


@pytest.mark.parametrize("names", [("train", "bus", "car"), ("train_station", "test_tube"), ("dev", "ops")])
def test_classes_that_are_called_like_splits_are_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    data = find(str(write(tmp_path, {f"{name}/{i}.png": PNG for name in names for i in range(3)})))()
    assert data.labels == tuple(sorted(names))


def test_likely_splits_are_refused_or_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UsageError, match="splits with unknown names") as refused:
        find(str(class_folders(tmp_path / "a", {"train": 3, "round2": 2})))()
    assert "call them train and test" in refused.value.hint
    data = find(str(class_folders(tmp_path / "b", {"north": 3, "south": 2})))()
    assert data.labels == ("north", "south")
    assert "each has the folders cat, dog: if those are the classes" in caplog.text
