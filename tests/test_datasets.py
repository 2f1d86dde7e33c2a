import gzip
import io
import logging
import os
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.data.dataset import Dataset
from advcli.data.decoded import decode
from advcli.datasets import find
from advcli.errors import AdvcliError, UsageError

REAL = Path(os.environ.get("ADVCLI_TEST_DATA", "")) / "data"
needs_real_data = pytest.mark.skipif(
    "ADVCLI_TEST_DATA" not in os.environ, reason="ADVCLI_TEST_DATA does not name a folder with real data"
)


@pytest.fixture(autouse=True)
def no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCLI_OFFLINE", "1")
    monkeypatch.setenv("ADVCLI_CACHE", str(tmp_path / "empty-cache"))


def paint(path: Path, colour: int, side: int = 40) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (side + 8, side), (colour, colour, colour)).save(path)


def refused(source: Callable[[], object], *words: str) -> UsageError:
    """Check that a mistake is a usage error which names what matters."""
    with pytest.raises(UsageError) as error:
        source()
    for word in words:
        assert word in error.value.message + error.value.hint
    return error.value


# The choice of a source


def test_a_folder_with_nothing_but_test_is_measured_whole(tmp_path: Path) -> None:
    for label in ("cat", "dog"):
        (tmp_path / "test" / label).mkdir(parents=True)
        for number in range(3):
            pixels = np.full((8, 8, 3), 40 * number, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "test" / label / f"{number}.png")
    dataset = find(str(tmp_path))()
    assert (dataset.labels, len(dataset.train), len(dataset.test)) == (("cat", "dog"), 0, 6)


def test_every_source_is_described() -> None:
    for name in registry.names("datasets"):
        summary = registry.summary("datasets", name)
        assert summary.endswith(".") and len(summary) <= 102


def test_find_reads_names_specs_and_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paint(tmp_path / "mnist" / "a" / "1.png", 0)
    (tmp_path / "x.npz").touch()
    (tmp_path / "x.zip").touch()
    assert find("digits") == registry.build("datasets", "digits")
    assert find("Fashion_MNIST") == registry.build("datasets", "fashion-mnist")
    assert find("mnist:path=some.npz") == registry.component("datasets", "mnist")(path="some.npz")
    assert find("tiny-imagenet:path=some.zip") == registry.component("datasets", "tiny-imagenet")(path="some.zip")
    assert type(find("./mnist")).__name__ == "Folder"
    assert type(find("mnist")).__name__ == "Mnist"
    assert type(find("x.npz")).__name__ == "Npz"
    assert type(find("x.zip")).__name__ == "TinyImageNet"


def test_a_folder_wins_over_a_source_that_reads_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find("tiny-imagenet") == registry.component("datasets", "tiny-imagenet")(path="")
    paint(tmp_path / "tiny-imagenet" / "a" / "1.png", 0)
    assert type(find("tiny-imagenet")).__name__ == "Folder"


def test_find_refuses_what_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "unknown.bin").write_bytes(bytes(range(256)))
    refused(lambda: find(str(tmp_path / "unknown.bin")), "cannot recognise", ".npz")
    (tmp_path / "notes.txt").write_text("to do")
    refused(lambda: find(str(tmp_path / "notes.txt")), "is a text file, not a data set")
    refused(lambda: find("digit"), "did you mean 'digits'")
    refused(lambda: find("folder"), "needs its option 'path'")
    refused(lambda: find("digits:path=x"), "no option")
    refused(find("npz:path=nowhere.npz"), "nowhere.npz")


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar10", "cifar100", "tiny-imagenet"])
def test_without_a_network_the_file_to_give_is_named(name: str) -> None:
    with pytest.raises(AdvcliError, match="--offline") as error:
        find(name)()
    assert "give a local copy: --data" in error.value.hint
    refused(find(f"{name}:path=nowhere"), "nowhere", "give a local copy")


def test_digits() -> None:
    digits = find("digits")()
    assert (len(digits.train), len(digits.test), digits.channels) == (1438, 359, 1)
    images = decode(digits.test, (digits.edge, digits.edge), digits.channels)
    assert images.pixels.shape == (359, 32, 32, 1) and images.pixels.max() == 255


# Folders


def folder_of_classes(top: Path, count: int = 10) -> Path:
    for number, label in enumerate(("cat", "dog", "eel")):
        for index in range(count):
            paint(top / label / f"{index}.png", 10 * number + index)
    return top


def test_folder_is_parted_by_class(tmp_path: Path) -> None:
    top = folder_of_classes(tmp_path / "pets")
    paint(top / "cat" / "deeper" / "x.jpg", 0)
    for hidden in (".ipynb_checkpoints/1.png", "cat/.cache/1.png", "cat/._0.png"):
        paint(top / hidden, 0)
    pets = find(str(top))()
    assert (pets.name, pets.labels, pets.channels) == ("pets", ("cat", "dog", "eel"), 3)
    assert pets.eps == 8 / 255 and pets.edge == 40
    assert len(pets.train) == 25 and len(pets.test) == 6
    assert Counter(pets.test.labels.tolist()) == {0: 2, 1: 2, 2: 2}
    names = [split.name(i) for split in (pets.train, pets.test) for i in range(len(split))]
    assert len(set(names)) == 31 and not any("/." in name.removeprefix(str(tmp_path)) for name in names)
    for split in (pets.train, pets.test):
        for i in range(len(split)):
            assert f"/pets/{pets.labels[split.labels[i]]}/" in Path(split.name(i)).as_posix()
            stem = Path(split.name(i)).stem
            assert split.read(i)[0, 0, 0] == (0 if stem == "x" else 10 * split.labels[i] + int(stem))
    again = find(str(top))()
    assert [again.test.name(i) for i in range(6)] == [pets.test.name(i) for i in range(6)]


@pytest.mark.parametrize("name", ["val", "test", "validation", "Test"])
def test_folder_with_its_own_splits(tmp_path: Path, name: str) -> None:
    folder_of_classes(tmp_path / "train", count=2)
    paint(tmp_path / name / "eel" / "1.png", 99)
    (tmp_path / name / "dog").mkdir()
    pets = find(str(tmp_path))()
    assert pets.labels == ("cat", "dog", "eel") and len(pets.train) == 6
    assert pets.test.labels.tolist() == [2] and pets.test.read(0)[0, 0, 0] == 99


def test_folder_tests_on_the_split_that_has_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder_of_classes(tmp_path / "train", count=2)
    folder_of_classes(tmp_path / "val", count=1)
    paint(tmp_path / "test" / "images" / "1.png", 0)
    with caplog.at_level(logging.WARNING):
        assert len(find(str(tmp_path))().test) == 3
    assert "test' is left out" in caplog.text
    folder_of_classes(tmp_path / "test", count=4)
    refused(find(str(tmp_path))().refuse_faults, "class 'images'")


def test_folder_refuses_what_has_no_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = find(str(tmp_path))
    refused(source, "no images in it", "one sub-folder a class")
    paint(tmp_path / "loose.png", 0)
    refused(source, "directly in it", "one sub-folder a class", "metadata.csv")
    paint(tmp_path / "cat" / "1.png", 0)
    paint(tmp_path / "cat" / "2.png", 0)
    (tmp_path / "dog").mkdir()
    refused(source, "only one class, 'cat'")
    paint(tmp_path / "dog" / "1.png", 0)
    single = source()
    single.refuse_faults()
    refused(lambda: single.refuse_faults(training=True), "class 'dog' has only one image")
    paint(tmp_path / "dog" / "2.png", 0)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        source()
    assert "1 images directly in" in caplog.text
    refused(find(f"folder:path={tmp_path / 'loose.png'}"), "not a folder")


def test_folder_names_the_class_that_is_not_trained_on(tmp_path: Path) -> None:
    folder_of_classes(tmp_path / "train", count=1)
    paint(tmp_path / "test" / "emu" / "1.png", 0)
    data = find(str(tmp_path))()
    refused(data.refuse_faults, "class 'emu'")
    # A class that is left out is nobody's concern.
    few = data.restrict(("cat", "dog"))
    few.refuse_faults(training=True)
    assert few.labels == ("cat", "dog")


def test_folder_in_a_folder_is_pointed_to(tmp_path: Path) -> None:
    folder_of_classes(tmp_path / "top" / "train", count=2)
    refused(find(str(tmp_path / "top")), str(tmp_path / "top" / "train"))


@pytest.mark.parametrize(("side", "edge"), [(8, 32), (100, 100), (160, 224), (300, 224)])
def test_folder_chooses_a_size(tmp_path: Path, side: int, edge: int) -> None:
    for label in "ab":
        for index in range(3):
            paint(tmp_path / label / f"{index}.png", 0, side)
        (tmp_path / label / "broken.png").write_bytes(b"no image")
    assert find(str(tmp_path))().edge == edge


# Tiny ImageNet

WNIDS = ("n03", "n01", "n02")
WORDS = "n00\tentity\nn01\tcrane, a bird\nn02\tgoldfish, Carassius auratus\nn03\tcrane\nn04\tother\n"


def tiny(top: Path) -> Path:
    """Write data with the layout of Tiny ImageNet: the colour of an image tells its class."""
    top.mkdir(parents=True)
    (top / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (top / "words.txt").write_text(WORDS)
    rows = []
    for number in (1, 2, 3):
        for index in range(4):
            paint(top / "train" / f"n0{number}" / "images" / f"n0{number}_{index}.JPEG", 50 * number, 64)
        (top / "train" / f"n0{number}" / f"n0{number}_boxes.txt").write_text("x\t0\t0\t1\t1\n")
    for index, number in enumerate((2, 3, 1, 2, 1, 3)):
        paint(top / "val" / "images" / f"val_{index}.JPEG", 50 * number, 64)
        rows.append(f"val_{index}.JPEG\tn0{number}\t0\t32\t44\t62\n")
    (top / "val" / "val_annotations.txt").write_text("".join(rows))
    paint(top / "test" / "images" / "test_0.JPEG", 0, 64)
    return top


def pack(folder: Path, path: Path) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder, f"{folder.name}/")
        for file in sorted(folder.rglob("*"), reverse=True):
            archive.write(file, Path(folder.name) / file.relative_to(folder))
    return path


def check_tiny(data: Dataset) -> None:
    assert data.labels == ("crane (n01)", "goldfish", "crane (n03)")
    assert (data.edge, data.channels, data.eps) == (64, 3, 4 / 255)
    assert data.train.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert data.test.labels.tolist() == [1, 2, 0, 1, 0, 2]
    for split in (data.train, data.test):
        for index, label in enumerate(split.labels):
            assert abs(int(split.read(index)[9, 9, 0]) - 50 * (int(label) + 1)) <= 2
    assert data.test.name(0).endswith("val_0.JPEG")


def test_tiny_imagenet_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tiny(tmp_path / "down" / "tiny-imagenet-200")
    monkeypatch.chdir(top)
    for value in (str(top), str(top.parent), ".", f"tiny-imagenet:path={top}", str(pack(top, tmp_path / "some.zip"))):
        check_tiny(find(value)())
    assert find(".")().name == "tiny-imagenet-200"
    assert find(str(tmp_path / "some.zip"))().name == "some"


def test_tiny_imagenet_with_images_beside_the_boxes(tmp_path: Path) -> None:
    top = tiny(tmp_path / "tiny")
    for folder in (top / "train").iterdir():
        for file in (folder / "images").iterdir():
            file.rename(folder / file.name)
        (folder / "images").rmdir()
    check_tiny(find(str(top))())


@pytest.mark.parametrize("inner", ["", "images"])
@pytest.mark.parametrize("keeps_annotations", [False, True])
def test_tiny_imagenet_with_validation_folders(tmp_path: Path, inner: str, keeps_annotations: bool) -> None:
    top = tiny(tmp_path / "tiny")
    for row in (top / "val" / "val_annotations.txt").read_text().splitlines():
        name, wnid = row.split("\t")[:2]
        (top / "val" / wnid / inner).mkdir(parents=True, exist_ok=True)
        (top / "val" / "images" / name).rename(top / "val" / wnid / inner / name)
    (top / "val" / "images").rmdir()
    if not keeps_annotations:
        (top / "val" / "val_annotations.txt").unlink()
    check_tiny(find(str(top))())
    if keeps_annotations:
        misplaced = top / "val" / "n02" / inner / "val_0.JPEG"
        misplaced.rename(top / "val" / "n01" / inner / "val_0.JPEG")
        refused(find(str(top)), "val_0.JPEG", "another label")


def test_tiny_imagenet_never_guesses_validation_labels(tmp_path: Path) -> None:
    top = tiny(tmp_path / "tiny")
    source = find(str(top))
    annotations = top / "val" / "val_annotations.txt"
    rows = annotations.read_text()
    annotations.write_text(rows.replace("n01", "n77"))
    refused(source, "'val_2.JPEG'", "'n77'")
    annotations.write_text(rows + "val_9.JPEG\tn01\t0\t0\t1\t1\n")
    refused(source, "no image for 'val_9.JPEG'")
    annotations.write_text(rows.replace("val_4.JPEG", "val_3.JPEG"))
    refused(source, "twice")
    annotations.write_text("".join(rows.splitlines(keepends=True)[1:]))
    refused(source, "no label for 'val_0.JPEG'")
    annotations.unlink()
    refused(source, "val_annotations.txt")
    for image in (top / "val" / "images").iterdir():
        image.unlink()
    refused(source, "no validation images")


def test_tiny_imagenet_needs_its_training_images(tmp_path: Path) -> None:
    top = tiny(tmp_path / "tiny")
    source = find(str(top))
    (top / "wnids.txt").write_text("n01\nn02\nn03\nn04\n")
    refused(source, "no training images of class 'n04'")
    (top / "wnids.txt").write_text("n01\nn02\n")
    refused(source, "'n03'", "not in wnids.txt")
    (top / "wnids.txt").write_text("n01\n")
    refused(source, "fewer than two classes")


def test_tiny_imagenet_archives_that_are_none(tmp_path: Path) -> None:
    folder_of_classes(tmp_path / "pets", count=1)
    packed = pack(tmp_path / "pets", tmp_path / "pets.zip")
    refused(find(f"tiny-imagenet:path={packed}"), "no wnids.txt")
    (tmp_path / "half.zip").write_bytes((tmp_path / "pets.zip").read_bytes()[:200])
    refused(find(str(tmp_path / "half.zip")), "not a readable .zip")


def test_tiny_imagenet_damaged_image_in_an_archive(tmp_path: Path) -> None:
    path = pack(tiny(tmp_path / "tiny"), tmp_path / "tiny.zip")
    with zipfile.ZipFile(path) as archive:
        start = archive.getinfo("tiny/val/images/val_0.JPEG").header_offset
    content = bytearray(path.read_bytes())
    content[start + 120 : start + 140] = bytes(20)
    path.write_bytes(content)
    with pytest.raises(AdvcliError, match="damaged"):
        find(str(path))().test.read(0)


# Arrays


def arrays(**changes: np.ndarray | None) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    plain = {
        "x_train": generator.integers(0, 256, (9, 30, 40, 3), dtype=np.uint8),
        "y_train": np.arange(9) % 3,
        "x_test": generator.integers(0, 256, (6, 30, 40, 3), dtype=np.uint8),
        "y_test": np.arange(6) % 3,
    }
    return {key: value for key, value in (plain | changes).items() if value is not None}


def npz(path: Path, **changes: np.ndarray | None) -> Path:
    np.savez(path, **arrays(**changes))
    return path


def test_npz(tmp_path: Path) -> None:
    data = find(str(npz(tmp_path / "v1.0-cells.npz")))()
    assert (data.name, data.labels, data.edge, data.channels) == ("v1.0-cells", ("0", "1", "2"), 40, 3)
    assert (len(data.train), len(data.test), data.eps) == (9, 6, 8 / 255)
    np.testing.assert_array_equal(data.train.read(4), arrays()["x_train"][4])
    assert data.test.labels.tolist() == [0, 1, 2, 0, 1, 2] and data.test.labels.dtype == np.int32
    assert data.test.name(3) == "x_test[3]"
    assert decode(data.test, (28, 28), 3).pixels.shape == (6, 28, 28, 3)


@pytest.mark.parametrize("name", ["x_train", "y_test", "labels"])
def test_an_npz_whose_member_is_no_array(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for key, array in (arrays() | {"labels": np.array(["cat", "dog", "owl"])}).items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{key}.npy", b"none" if key == name else file.getvalue())
    refused(find(str(tmp_path / "a.npz")), f"'{name}' is not an array")


@pytest.mark.parametrize("sign", [b"(", b"'", b"\n", b"=", b"\0"])
def test_an_npz_with_a_damaged_header_of_an_array(tmp_path: Path, sign: bytes) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for key, array in arrays().items():
            file = io.BytesIO()
            np.save(file, array)
            archive.writestr(f"{key}.npy", file.getvalue().replace(b"), }", sign + b", }"))
    refused(find(str(tmp_path / "a.npz")), "not a readable .npz")


@pytest.mark.parametrize(
    ("convert", "dtype"),
    [
        (lambda x: x.astype(np.int64), np.uint8),
        (lambda x: x.astype(np.uint16), np.uint8),
        (lambda x: x / 255, np.float32),
        (lambda x: (x / 255).astype(np.float16), np.float32),
        (lambda x: x / 255 * 1.0001, np.float32),
        (lambda x: x.astype(np.float64), np.float32),
    ],
    ids=["int64", "uint16", "unit", "unit in float16", "a trace above 1", "float in 0..255"],
)
def test_npz_value_ranges(tmp_path: Path, convert: Callable[[np.ndarray], np.ndarray], dtype: type) -> None:
    plain = arrays()["x_test"]
    data = find(str(npz(tmp_path / "a.npz", x_train=convert(arrays()["x_train"]), x_test=convert(plain))))()
    image = data.test.read(2)
    assert image.dtype == dtype and image.max() <= (255 if dtype is np.uint8 else 1)
    values = image / (255 if dtype is np.uint8 else 1)
    np.testing.assert_allclose(values, plain[2] / 255, atol=3e-4)


@pytest.mark.parametrize("y", [np.arange(6)[:, None] % 3, np.eye(3)[np.arange(6) % 3], np.arange(6) % 3.0])
def test_npz_label_forms(tmp_path: Path, y: np.ndarray) -> None:
    assert find(str(npz(tmp_path / "a.npz", y_test=y)))().test.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_npz_grey_names_and_validation(tmp_path: Path) -> None:
    plain = arrays()
    changes = {
        "x_train": plain["x_train"][..., 0],
        "x_val": plain["x_test"][:, :9, :9, :1],
        "y_val": plain["y_test"],
        "x_test": None,
        "y_test": None,
        "labels": np.array(["cat", "dog", "eel", "emu"]),
    }
    data = find(str(npz(tmp_path / "a.npz", **changes)))()
    assert (data.channels, data.labels, len(data.test)) == (1, ("cat", "dog", "eel", "emu"), 6)
    assert data.train.read(0).shape == (30, 40, 1) and data.test.read(0).shape == (9, 9, 1)


@pytest.mark.parametrize(
    ("keys", "train", "test", "whole"),
    [
        ("x_train y_train x_test y_test", 9, 6, None),
        ("X_train Y_train X_test Y_test", 9, 6, None),
        ("train_images train_labels test_images test_labels", 9, 6, None),
        ("trainX trainY testX testY", 9, 6, None),
        ("training_data training_targets eval_data eval_targets", 9, 6, None),
        ("train_images train_labels val_images val_labels", 9, 6, None),
        ("x_val y_val x_test y_test", 0, 6, None),
        ("x_test y_test", 0, 6, None),
        ("val_images val_labels", 0, 6, None),
        ("x y", 7, 2, 9),
        ("X y", 7, 2, 9),
        ("images labels", 7, 2, 9),
    ],
)
def test_npz_with_other_names(tmp_path: Path, keys: str, train: int, test: int, whole: int | None) -> None:
    plain = arrays()
    x, y, *more = keys.split()
    parts = {x: plain["x_train"], y: plain["y_train"]}
    if more or not whole:
        last = dict(zip(more or (x, y), (plain["x_test"], plain["y_test"]), strict=True))
        parts |= last
    np.savez(tmp_path / "a.npz", **parts, ids=np.arange(9))
    data = find(str(tmp_path / "a.npz"))()
    assert (len(data.train), len(data.test)) == (train, test)
    assert (None if data.whole is None else len(data.whole)) == whole
    assert data.indexed and data.labels == ("0", "1", "2")
    if whole is None:
        np.testing.assert_array_equal(data.test.read(5), plain["x_test"][5])
    else:
        np.testing.assert_array_equal(data.measured_whole().test.read(8), plain["x_train"][8])
        assert data.measured_whole().test.labels.tolist() == plain["y_train"].tolist()


def test_npz_whose_class_names_are_numbers(tmp_path: Path) -> None:
    data = find(str(npz(tmp_path / "a.npz", labels=np.array([3, 5, 7]))))()
    assert data.labels == ("3", "5", "7") and not data.indexed


def test_npz_of_which_a_class_has_one_image(tmp_path: Path) -> None:
    plain = arrays()
    np.savez(tmp_path / "a.npz", x=plain["x_test"][:4], y=plain["y_test"][:4])
    data = find(str(tmp_path / "a.npz"))()
    assert [fault.label for fault in data.faults] == ["1", "2"]
    data.refuse_faults()
    with pytest.raises(UsageError, match="class '1' has only one image"):
        data.refuse_faults(training=True)


def test_npz_whose_labels_are_classes_and_whose_names_are_elsewhere(tmp_path: Path) -> None:
    plain = arrays()
    names = np.array(["cat", "dog", "eel"])
    np.savez(tmp_path / "a.npz", images=plain["x_test"], labels=plain["y_test"], class_names=names)
    data = find(str(tmp_path / "a.npz"))()
    assert data.labels == ("cat", "dog", "eel") and not data.indexed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"x_train": None, "y_train": None, "y_test": None}, ("no y_test in",)),
        ({"x_test": None, "y_test": None}, ("no x_test, y_test in",)),
        ({"train_images": np.zeros((9, 8, 8))}, ("both x_train and train_images",)),
        ({"y_train": None, "x_test": None}, ("no y_train, x_test in",)),
        ({"x_test": np.full((6, 8, 8), -0.5)}, ("x_test", "-0.5", "0..1")),
        ({"x_test": np.full((6, 8, 8), np.nan)}, ("x_test", "NaN")),
        ({"x_test": np.full((6, 8, 8), np.inf)}, ("x_test", "inf")),
        ({"x_test": np.full((6, 8, 8), 1j)}, ("x_test", "complex numbers")),
        ({"y_test": np.full(6, 10**9)}, ("y_test", "not class numbers")),
        ({"x_test": np.full((6, 8, 8), 300)}, ("x_test", "300", "0..255")),
        ({"x_test": np.ones((6, 8, 8), np.uint8)}, ("x_test", "almost black")),
        ({"x_test": np.zeros((6, 3, 8, 8))}, ("x_test", "(6, 3, 8, 8)", "colours come last")),
        ({"x_test": np.zeros((6, 8, 8, 4))}, ("x_test", "(6, 8, 8, 4)")),
        ({"x_test": np.zeros((0, 8, 8, 3)), "y_test": np.zeros(0)}, ("x_test", "(0, 8, 8, 3)")),
        ({"x_test": np.zeros((6, 8, 8))}, ("in colour",)),
        ({"x_test": np.array(["a"] * 6)[:, None, None]}, ("x_test", "not numbers")),
        ({"y_test": np.arange(5)}, ("6 images", "5 labels")),
        ({"y_test": -np.arange(6)}, ("y_test",)),
        ({"y_test": np.arange(6) / 2}, ("y_test",)),
        ({"y_test": np.array(list("abcdef"))}, ("y_test", "not numbers")),
        ({"y_test": np.full((6, 3), 0.3)}, ("y_test", "one-hot")),
        ({"labels": np.array(["cat", "dog"])}, ("3 different class names",)),
        ({"labels": np.array(["cat", "dog", "cat"])}, ("3 different class names",)),
        ({"y_train": np.zeros(9, int), "y_test": np.zeros(6, int)}, ("only one class",)),
        ({"x_train": np.array([object()] * 9)}, ("plain arrays",)),
    ],
)
def test_npz_refuses(tmp_path: Path, changes: dict[str, np.ndarray | None], words: tuple[str, ...]) -> None:
    refused(find(str(npz(tmp_path / "a.npz", **changes))), *words)


def test_npz_damaged(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz")
    content = path.read_bytes()
    for broken in (b"", b"text", content[: len(content) // 2], content[:3000] + bytes(500) + content[3500:]):
        path.write_bytes(broken)
        refused(find(str(path)), "not a readable .npz")
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    refused(find(str(path)), "single array")


# Data sets with a name


def digits_like(count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(count)
    return generator.integers(0, 256, (count, 28, 28), dtype=np.uint8), np.arange(count, dtype=np.uint8) % 10


@pytest.mark.parametrize(("name", "eps"), [("mnist", 0.3), ("fashion-mnist", 0.1)])
def test_mnist_from_npz(tmp_path: Path, name: str, eps: float) -> None:
    x, y = digits_like(20)
    path = npz(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:10], y_test=y[:10])
    data = find(f"{name}:path={path}")()
    assert (data.name, len(data.labels), data.edge, data.channels, data.eps) == (name, 10, 28, 1, eps)
    np.testing.assert_array_equal(data.test.read(3)[..., 0], x[3])
    refused(find(f"{name}:path={npz(path)}"), f"not {name}", "(30, 40, 3)")
    npz(path, x_train=x, y_train=y + 1, x_test=x, y_test=y)
    refused(find(f"{name}:path={path}"), f"not {name}", "label is 10")


def test_fashion_mnist_from_its_files(tmp_path: Path) -> None:
    for prefix, count in (("train", 30), ("t10k", 20)):
        x, y = digits_like(count)
        lengths = np.array(x.shape, ">u4").tobytes()
        (tmp_path / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"\0\0\x08\3" + lengths + x.tobytes()))
        labels = tmp_path / f"{prefix}-labels-idx1-ubyte.gz"
        labels.write_bytes(gzip.compress(b"\0\0\x08\1" + lengths[:4] + y.tobytes()))
    source = find(f"fashion-mnist:path={tmp_path}")
    data = source()
    assert data.labels[5] == "Sandal" and (len(data.train), len(data.test)) == (30, 20)
    np.testing.assert_array_equal(data.test.read(7)[..., 0], digits_like(20)[0][7])
    assert data.test.labels.tolist() == digits_like(20)[1].tolist()
    for broken in (
        b"",
        labels.read_bytes()[:-9],
        gzip.compress(b"\0\0\x0d\1"),
        gzip.compress(b"\0\0\x08\1\0\0\0\7abc"),
    ):
        labels.write_bytes(broken)
        refused(source, "t10k-labels-idx1-ubyte.gz")
    labels.unlink()
    refused(source, "t10k-labels-idx1-ubyte.gz")


def cifar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar-binary/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def records(pixels: np.ndarray, *labels: np.ndarray) -> bytes:
    """Pack (N, 32, 32, 3) pixels: the labels, then all red, all green and all blue values of an image."""
    planes = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    return np.concatenate([*(label[:, None] for label in labels), planes], axis=1).astype(np.uint8).tobytes()


PICTURES = np.random.default_rng(4).integers(0, 256, (10, 32, 32, 3), dtype=np.uint8)


def test_cifar10(tmp_path: Path) -> None:
    labels = np.arange(10)
    batches = {f"data_batch_{i}.bin": records(PICTURES, (labels + i) % 10) for i in range(1, 6)}
    path = cifar(tmp_path / "a.tar.gz", batches | {"test_batch.bin": records(PICTURES, labels), "readme.html": b""})
    data = find(f"cifar10:path={path}")()
    assert (data.labels[3], data.edge, data.channels, data.eps) == ("cat", 32, 3, 8 / 255)
    assert (len(data.train), len(data.test)) == (50, 10)
    np.testing.assert_array_equal(data.test.read(6), PICTURES[6])
    np.testing.assert_array_equal(data.train.read(13), PICTURES[3])
    assert data.train.labels[13] == 5 and data.test.labels.tolist() == list(range(10))
    refused(find(f"cifar10:path={cifar(path, batches)}"), "no test_batch.bin", "binary version")
    refused(find(f"cifar10:path={cifar(path, batches | {'test_batch.bin': bytes(3000)})}"), "3000 bytes")
    wrong = records(PICTURES, labels + 1)
    refused(find(f"cifar10:path={cifar(path, batches | {'test_batch.bin': wrong})}"), "a label is 10")
    path.write_bytes(path.read_bytes()[:5000])
    refused(find(f"cifar10:path={path}"), "not a readable .tar.gz")


def test_cifar100(tmp_path: Path) -> None:
    coarse, fine = np.full(10, 3), np.arange(10) * 11
    names = "".join(f"maple_tree_{i}\n" for i in range(100)).encode()
    files = {"train.bin": records(PICTURES, coarse, fine), "test.bin": records(PICTURES[:4], coarse[:4], fine[:4])}
    data = find(f"cifar100:path={cifar(tmp_path / 'a.tar.gz', files | {'fine_label_names.txt': names})}")()
    assert len(data.labels) == 100 and data.labels[7] == "maple tree 7"
    assert data.train.labels.tolist() == fine.tolist() and len(data.test) == 4
    np.testing.assert_array_equal(data.train.read(9), PICTURES[9])
    files["fine_label_names.txt"] = names[:-14]
    refused(find(f"cifar100:path={cifar(tmp_path / 'a.tar.gz', files)}"), "99 class names")


# Real data


@needs_real_data
def test_real_tiny_imagenet() -> None:
    data = find(str(REAL / "tiny-imagenet-10.zip"))()
    assert data.labels[:3] == ("goldfish", "jellyfish", "king penguin")
    assert np.bincount(data.train.labels).tolist() == [500] * 10
    assert np.bincount(data.test.labels).tolist() == [50] * 10
    images = decode(data.restrict(["goldfish", "obelisk"]).test, (data.edge, data.edge), data.channels)
    assert images.pixels.shape == (100, 64, 64, 3)
    # Goldfish are redder than obelisks, if the labels are right.
    redness = images.pixels[..., 0].mean(axis=(1, 2)) - images.pixels[..., 2].mean(axis=(1, 2))
    assert redness[images.labels == 0].mean() > redness[images.labels == 1].mean() + 20


@needs_real_data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_real_mnist(name: str) -> None:
    data = find(f"{name}:path={REAL / name}.npz")()
    assert (len(data.train), len(data.test)) == (60000, 10000)
    # The first test images are a seven and an ankle boot.
    assert data.test.labels[0] == {"mnist": 7, "fashion-mnist": 9}[name]
