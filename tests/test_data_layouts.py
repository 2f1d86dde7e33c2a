"""The same images in every layout give the same verdicts, image by image."""

import csv
import importlib
import io
import json
import logging
import os
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.backend import tf
from advcli.cli.tables.benchmark import benchmark_tables
from advcli.data.class_order import generic_names
from advcli.data.decoded import decode
from advcli.datasets import find
from advcli.errors import AdvcliError, UsageError
from advcli.model.classifier import Classifier
from advcli.records import Gate, Score, SliceScore
from advcli.tasks.benchmark.class_matching import class_indices
from advcli.tasks.benchmark.request import Execution, Request
from advcli.tasks.benchmark.run import evaluate
from conftest import make_classifier
from evaluations import lines, records, untimed

IDS = ("n01440764", "n01443537", "n02077923", "n03874599")
NAMES = ("tench", "goldfish", "sea_lion", "padlock")


@dataclass(frozen=True)
class Picture:
    """One image: its file name, its PNG, its class number."""

    name: str
    content: bytes
    label: int


Labels = tuple[tuple[str, ...], tuple[str, ...]]


def write_folders(pictures: list[Picture], names: tuple[str, ...], top: Path) -> Path:
    for picture in pictures:
        folder = top / names[picture.label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / picture.name).write_bytes(picture.content)
    return top


def by_id(pictures: list[Picture], ids: tuple[str, ...], top: Path) -> Path:
    return write_folders(pictures, ids, top / "data")


def by_index(pictures: list[Picture], ids: tuple[str, ...], top: Path) -> Path:
    return write_folders(pictures, tuple(map(str, range(len(ids)))), top / "data")


def zipped(pictures: list[Picture], ids: tuple[str, ...], top: Path) -> Path:
    folder = by_id(pictures, ids, top)
    with zipfile.ZipFile(top / "data.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, file.relative_to(top))
    return top / "data.zip"


def manifest(pictures: list[Picture], ids: tuple[str, ...], top: Path) -> Path:
    (top / "images").mkdir(parents=True)
    with (top / "data.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file_name", "label", "light"])
        for number, picture in enumerate(pictures):
            (top / "images" / picture.name).write_bytes(picture.content)
            table.writerow([f"images/{picture.name}", ids[picture.label], "night" if number % 2 else "day"])
    return top / "data.csv"


def image_folder(pictures: list[Picture], ids: tuple[str, ...], top: Path) -> Path:
    """Write Hugging Face's imagefolder with metadata.jsonl."""
    folder = top / "data" / "test"
    folder.mkdir(parents=True)
    rows = []
    for picture in pictures:
        (folder / picture.name).write_bytes(picture.content)
        rows.append(json.dumps({"file_name": picture.name, "label": ids[picture.label], "score": 0.5}))
    (folder / "metadata.jsonl").write_text("\n".join(rows) + "\n")
    return top / "data"


def parquet(pictures: list[Picture], ids: tuple[str, ...], top: Path) -> Path:
    pyarrow = pytest.importorskip("pyarrow")
    writer = importlib.import_module("pyarrow.parquet")
    (top / "data" / "data").mkdir(parents=True)
    features = {"label": {"names": list(ids), "_type": "ClassLabel"}, "image": {"_type": "Image"}}
    for part, count in ((0, 7), (1, None)):
        chosen = pictures[:7] if part == 0 else pictures[7:count]
        table = pyarrow.table(
            {
                "image": [{"bytes": picture.content, "path": picture.name} for picture in chosen],
                "label": [picture.label for picture in chosen],
            }
        ).replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
        writer.write_table(table, top / "data" / "data" / f"test-0000{part}-of-00002.parquet", row_group_size=3)
    return top / "data"


def tfds(pictures: list[Picture], ids: tuple[str, ...], top: Path) -> Path:
    folder = top / "photos" / "1.0.0"
    folder.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "photos-test.tfrecord-00000-of-00001")) as file:
        for picture in pictures:
            feature = {
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[picture.content])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[picture.label])),
                "id": tf.train.Feature(bytes_list=tf.train.BytesList(value=[picture.name.encode()])),
            }
            file.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    content = {"image": {"image": {"encodingFormat": "png"}}, "label": {"classLabel": {"numClasses": str(len(ids))}}}
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": content}}))
    (folder / "label.labels.txt").write_text("\n".join(ids) + "\n")
    return top / "photos"


LAYOUTS: tuple[Callable[[list[Picture], tuple[str, ...], Path], Path], ...] = (
    by_id, by_index, zipped, manifest, image_folder, parquet, tfds,
)  # fmt: skip


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    draw = np.random.default_rng(5)
    pixels = (draw.uniform(0.2, 0.8, (22, 8, 8, 3)) * 255).astype(np.uint8)
    return [Picture(f"{i:03}.png", png(image), min(i // 5, 3)) for i, image in enumerate(pixels)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A linear model that knows its classes by name and by WordNet id."""
    folder = tmp_path_factory.mktemp("model")
    replace(named(), name="linear").save(folder / "linear.keras")
    return folder / "linear.keras"


def named() -> Classifier:
    classifier = make_classifier("linear")
    draw = np.random.default_rng(2)
    kernel, bias = classifier.model.weights
    kernel.assign(draw.normal(size=kernel.shape))
    bias.assign(draw.normal(size=bias.shape))
    return replace(classifier, labels=NAMES, wordnet_ids=IDS)


def measure(data: Path, folder: Path, **options: Any) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the scores, and the verdicts image by image."""
    usual: dict[str, Any] = {"attacks": ("fgsm",), "threats": (("linf", 0.02),), "checks": False, "data": str(data)}
    out = folder / "results.jsonl"
    found = [record for record in records(Request(**(usual | options)), out=out) if isinstance(record, Score)]
    scores = [{k: v for k, v in json.loads(each.to_json()).items() if k not in ("seconds", "data")} for each in found]
    verdicts = [line for line in lines(out) if line["type"] == "verdicts"]
    return scores, [(each["perturbation"], each["indices"], each["predicted"], each["labels"]) for each in verdicts]


@pytest.mark.parametrize("write", LAYOUTS[1:], ids=lambda write: write.__name__)
def test_every_layout_gives_the_same_verdicts(
    write: Callable[..., Path], pictures: list[Picture], model: Path, tmp_path: Path
) -> None:
    expected = measure(by_id(pictures, IDS, tmp_path / "plain"), tmp_path, models=(str(model),))
    found = measure(write(pictures, IDS, tmp_path / "other"), tmp_path / "other", models=(str(model),))
    assert expected[0][0]["images"] == 22 and 0 < expected[0][0]["correct"] < 22
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("write", LAYOUTS[1:], ids=lambda write: write.__name__)
def test_photos_in_every_layout(shared: Path, write: Callable[..., Path], tmp_path: Path) -> None:
    with (shared / "data" / "photos" / "labels.csv").open(newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: (row["wnid"], row["file"]))
    index = json.loads((shared / "models" / "imagenet_class_index.json").read_text())
    ids = tuple(index[str(i)][0] for i in range(1000))
    photos = [
        Picture(row["file"], (shared / "data" / "photos" / row["file"]).read_bytes(), int(row["class_index"]))
        for row in rows
    ]
    options = {
        "models": (str(shared / "models" / "efficientnet_lite0_imagenet.keras"),),
        "labels": shared / "models" / "imagenet_class_index.json",
        "attacks": (),
        "threats": (),
    }
    if write is by_index:
        # The folders are sorted as text, so the images are in another order: the scores are the same.
        assert (
            measure(write(photos, ids, tmp_path / "x"), tmp_path / "x", **options)[0]
            == (measure(by_id(photos, ids, tmp_path / "plain"), tmp_path, **options)[0])
        )
        return
    expected = measure(by_id(photos, ids, tmp_path / "plain"), tmp_path, **options)
    assert expected[0][0]["images"] == 40 and expected[0][0]["correct"] >= 33
    assert measure(write(photos, ids, tmp_path / "x"), tmp_path / "x", **options) == expected


# Names of classes


def test_wordnet_ids_and_indices_number_the_outputs(pictures: list[Picture], tmp_path: Path) -> None:
    classifier = named()
    some = [picture for picture in pictures if picture.label in (1, 3)]
    for data in (by_id(some, IDS, tmp_path / "ids"), by_index(some, IDS, tmp_path / "indices")):
        assert class_indices(classifier, find(str(data))()).tolist() == [1, 3]
    with pytest.raises(AdvcliError) as error:
        class_indices(replace(classifier, wordnet_ids=()), find(str(tmp_path / "ids" / "data"))())
    assert "--labels imagenet_class_index.json" in error.value.hint
    nameless = replace(classifier, labels=tuple(f"class {i}" for i in range(4)), wordnet_ids=())
    assert class_indices(nameless, find(str(tmp_path / "indices" / "data"))()).tolist() == [1, 3]
    with pytest.raises(UsageError, match="without names"):
        class_indices(nameless, find(str(write_folders(some, ("1", "2", "3", "4"), tmp_path / "beyond")))())


def test_a_model_whose_names_are_numbers_keeps_them(pictures: list[Picture], tmp_path: Path) -> None:
    classifier = replace(named(), labels=("3", "1", "2", "0"), wordnet_ids=())
    assert class_indices(classifier, find(str(by_index(pictures, IDS, tmp_path)))()).tolist() == [3, 1, 2, 0]


def test_wordnet_ids_travel_in_the_model_file(model: Path, tmp_path: Path) -> None:
    from advcli.model.model_choice import ModelChoice

    assert ModelChoice.read(str(model)).load().wordnet_ids == IDS
    replace(named(), wordnet_ids=(), labels=NAMES).save(tmp_path / "bare.keras")
    index = {str(i): [IDS[i], NAMES[i]] for i in range(4)}
    (tmp_path / "index.json").write_text(json.dumps(index))
    (tmp_path / "names.txt").write_text("\n".join(NAMES))
    assert ModelChoice.read(str(tmp_path / "bare.keras")).load().wordnet_ids == ()
    assert ModelChoice.read(str(tmp_path / "bare.keras"), labels=tmp_path / "index.json").load().wordnet_ids == IDS
    assert ModelChoice.read(str(tmp_path / "bare.keras"), labels=tmp_path / "names.txt").load().wordnet_ids == ()


def test_only_the_classes_of_the_data_count(pictures: list[Picture], model: Path, tmp_path: Path) -> None:
    some = [picture for picture in pictures if picture.label in (1, 3)]
    data = by_id(some, IDS, tmp_path)
    every, _ = measure(data, tmp_path, models=(str(model),))
    masked, verdicts = measure(data, tmp_path / "data", models=(str(model),), classes_only=True)
    logits = named().logits_of(decode(find(str(data))().measured_whole().test, (8, 8), 3).pixels / np.float32(255))
    labels = np.array([picture.label for picture in some])
    assert every[0]["correct"] == (logits.argmax(axis=1) == labels).sum()
    two = np.array([1, 3])[logits[:, [1, 3]].argmax(axis=1)]
    assert masked[0]["correct"] == (two == labels).sum() > every[0]["correct"]
    assert set(np.concatenate([each[2] for each in verdicts])) <= {0, 1}
    assert [each["classes_only"] for each in (every[0], masked[0])] == [None, 2]
    scores = named().restricted_to([1, 3]).predict(np.full((1, 8, 8, 3), 0.5, np.float32))
    assert scores.shape == (1, 2) and scores.sum() == pytest.approx(1)


def test_chosen_classes_keep_their_outputs_of_a_model_without_names(pictures: list[Picture], tmp_path: Path) -> None:
    write_folders(pictures, NAMES, tmp_path / "data")
    nameless = replace(named(), labels=generic_names(4))
    order = sorted(NAMES)
    data = find(str(tmp_path / "data"))().restrict([order[3], order[1]])
    assert class_indices(nameless, data).tolist() == [3, 1]
    assert class_indices(nameless, data.restrict([order[1], order[3]])).tolist() == [1, 3]
    with pytest.raises(UsageError, match="3 classes without names"):
        class_indices(replace(named(), labels=generic_names(3)), data)


# Manifests


def table(top: Path, text: str, name: str = "metadata.csv") -> Path:
    top.mkdir(parents=True, exist_ok=True)
    for file in ("a.png", "b.png", "c.png", "d.png"):
        (top / file).write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    (top / name).write_text(text)
    return top


def refused(data: Path, *words: str) -> None:
    with pytest.raises(UsageError) as error:
        find(str(data))()
    for word in words:
        assert word in f"{error.value.message} {error.value.hint}"


def test_rows_without_a_class_are_counted_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = "".join(f"{i}.png,{label}\n" for i, label in enumerate(["cat", "dog", "", "cat", "dog", "", "cat", "dog"]))
    (tmp_path / "0.png").touch()
    dataset = find(str(table(tmp_path, "file_name,label\n" + rows)))()
    assert len(dataset.train) + len(dataset.test) == 6
    assert ("unlabelled", 2) in [(each.reason, each.files) for each in dataset.left_out]
    (said,) = (record.getMessage() for record in caplog.records if "no class" in record.getMessage())
    assert "2 images" in said
    assert "2.png" in said


def test_a_manifest_says_splits_and_columns(tmp_path: Path) -> None:
    rows = (
        "file_name;Class;Split;light\na.png;cat;train;day\nb.png;dog;train;night\nc.png;cat;val;day\nd.png;dog;test;\n"
    )
    dataset = find(str(table(tmp_path, rows)))()
    assert (dataset.labels, len(dataset.train)) == (("cat", "dog"), 2)
    # Both val and test have labels: test is measured, and the image left over is named.
    assert dataset.test.labels.tolist() == [1] and [each.files for each in dataset.left_out] == [1]
    assert dataset.train.columns["light"].tolist() == ["day", "night"]
    assert dataset.train.take(np.array([1])).columns["light"].tolist() == ["night"]


def test_numbers_as_classes_are_sorted_by_value(tmp_path: Path) -> None:
    rows = "".join(
        f'{{"file_name": "{name}.png", "label": {label}}}\n' for name, label in zip("abcd", (10, 2, 0, 1), strict=True)
    )
    dataset = find(str(table(tmp_path, rows, "metadata.jsonl")))()
    assert dataset.labels == ("0", "1", "2", "10") and dataset.indexed


def test_a_manifest_without_classes_takes_the_folders(tmp_path: Path) -> None:
    write_folders(
        [Picture(f"{i}.png", png(np.zeros((8, 8, 3), np.uint8)), i % 2) for i in range(6)], ("x", "y"), tmp_path
    )
    rows = "".join(f"{'xy'[i % 2]}/{i}.png,{i}\n" for i in range(4))
    (tmp_path / "metadata.csv").write_text("file_name,size\n" + rows)
    dataset = find(str(tmp_path))()
    assert dataset.labels == ("x", "y") and dataset.whole is not None and len(dataset.whole) == 4
    assert [(each.files, "not listed" in each.reason) for each in dataset.left_out] == [(2, True)]


def test_mistakes_in_a_manifest_are_named(tmp_path: Path) -> None:
    refused(table(tmp_path, "picture,label\na.png,cat\n"), "metadata.csv", "column of file names", "picture, label")
    refused(table(tmp_path, "file_name,kind\na.png,cat\n"), "metadata.csv", "class of 'a.png'", "file_name, kind")
    refused(table(tmp_path, "file_name,label\na.png,cat\na.png,dog\n"), "names 'a.png' twice")
    refused(table(tmp_path, "file_name,label\na.png,cat\nb.png\n"), "not as many fields", "b.png")
    refused(table(tmp_path, "file_name,label,split\na.png,cat,x\nb.png,dog,x\n"), "split 'x'", "train")
    refused(table(tmp_path, "file_name,label\n"), "no rows")
    refused(table(tmp_path, "file_name,label\na.png,cat\nb.png,cat\n"), "only one class, 'cat'", "metadata.csv")
    listed = table(tmp_path, "file_name,label\nx/a.png,cat\nx/b.png,dog\n", "list.csv") / "list.csv"
    refused(listed, "none of the files", "'x/a.png'", f"relative to the folder of the table, '{tmp_path}'")
    (tmp_path / "metadata.csv").unlink()
    refused(table(tmp_path, '{"file_name": "a.png",\n', "metadata.jsonl"), "metadata.jsonl", "cannot be read")
    with pytest.raises(UsageError, match="no column 'nme'"):
        find(f"manifest:path={table(tmp_path / 'x', 'file_name,name' + chr(10) + 'a.png,b')},label=nme")()


@pytest.mark.parametrize("column", ["split", "Set", "fold"])
def test_a_column_of_splits_is_known_by_its_values(
    column: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = "a.png,cat,train,x\nb.png,dog,train,test\nc.png,cat,test,x\nd.png,dog,Test,x\n"
    with caplog.at_level(logging.INFO):
        dataset = find(str(table(tmp_path, f"file_name,label,{column},other\n{rows}")))()
    assert (len(dataset.train), len(dataset.test), dataset.whole) == (2, 2, None)
    assert [Path(dataset.test.name(i)).name for i in range(2)] == ["c.png", "d.png"]
    assert (f"the splits are in its column '{column}'" in caplog.text) == (column != "split")


def test_columns_that_are_the_classes_number_them_in_their_order(tmp_path: Path) -> None:
    rows = "a.png,0,1,0.5\nb.png,1,0,1\nc.png,0.0,1.0,0\nd.png,1,0,1\n"
    dataset = find(str(table(tmp_path, f"image,NV,MEL,age\n{rows}")))()
    assert dataset.labels == ("NV", "MEL") and dataset.whole is not None
    assert dataset.whole.labels.tolist() == [1, 0, 1, 0]
    assert set(dataset.whole.columns) == {"age"}
    # Several marks in a row are no classes.
    refused(table(tmp_path / "many", f"image,NV,MEL\n{'a.png,1,1' + chr(10) + 'b.png,0,1'}\n"), "class of 'a.png'")
    # Where folders differ, they are the classes, and the columns are properties.
    (tmp_path / "folders" / "cat").mkdir(parents=True)
    (tmp_path / "folders" / "dog").mkdir()
    for file in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / "folders" / file).write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
    rows = "cat/1.png,1,0\ncat/2.png,0,1\ndog/1.png,1,0\ndog/2.png,0,1\n"
    (tmp_path / "folders" / "metadata.csv").write_text(f"file_name,day,night\n{rows}")
    assert find(str(tmp_path / "folders"))().labels == ("cat", "dog")


@pytest.mark.skipif(os.name != "posix", reason="links need no permission on POSIX")
def test_links_to_missing_images_are_unreadable_images(tmp_path: Path) -> None:
    for number in range(10):
        for name in ("cat", "dog"):
            (tmp_path / name).mkdir(exist_ok=True)
            file = tmp_path / name / f"{number}.png"
            if number < 6:
                file.write_bytes(png(np.zeros((8, 8, 3), np.uint8)))
            else:
                file.symlink_to(f"/nowhere/{name}/{number}.png")
    whole = find(str(tmp_path))().measured_whole().test
    assert len(whole) == 20
    with pytest.raises(AdvcliError, match="8 of 20 images are unreadable"):
        decode(whole, (8, 8), 3)


def test_a_listed_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    data = table(tmp_path, "file_name,label\na.png,cat\nb.png,dog\nz.png,dog\n")
    whole = find(str(data))().measured_whole().test
    with pytest.raises(AdvcliError, match="1 of 3 images are unreadable"):
        decode(whole, (8, 8), 3)


def test_accuracy_by_a_column(pictures: list[Picture], model: Path, tmp_path: Path) -> None:
    data = manifest(pictures, IDS, tmp_path)
    usual: dict[str, Any] = {"models": (str(model),), "data": str(data), "attacks": ("fgsm",), "checks": False}
    asked = Request(**usual, threats=(("linf", 0.02),), by=("light",), fail_under=("clean@light=0.99",))
    found = records(asked, out=tmp_path / "r.jsonl", report=tmp_path / "r.html")
    slices = [each for each in found if isinstance(each, SliceScore)]
    assert {(each.perturbation, each.value) for each in slices} == {
        (name, value) for name in ("clean", "fgsm", "worst") for value in ("day", "night")
    }
    score = next(each for each in found if isinstance(each, Score) and each.perturbation == "clean")
    worst, best = slices[:2]
    assert worst.correct + best.correct == score.correct
    assert (worst.worst, best.worst) == (True, False) and worst.accuracy <= best.accuracy
    # Two values are one comparison seen from both sides.
    assert worst.corrected_p_value == best.corrected_p_value == worst.p_value == best.p_value
    gates = [each for each in found if isinstance(each, Gate)]
    assert {(each.value, each.met) for each in gates} == {("day", False), ("night", False)}
    assert "Accuracy by value" in (tmp_path / "r.html").read_text()
    assert any(str(drawn.title) == "Accuracy by value, the lowest first" for drawn in benchmark_tables(found))
    resumed = list(evaluate(Request(by=("light",)), Execution(resume=tmp_path / "r.jsonl")))
    assert untimed(each for each in resumed if isinstance(each, SliceScore)) == untimed(slices)
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"by": ("lihgt",)}, "did you mean 'light'"),
        ({"fail_under": ("clean@light=1",)}, "--by light"),
    ]
    for changes, said in mistakes:
        with pytest.raises(UsageError) as error:
            list(evaluate(Request(**usual, **changes)))
        assert said in error.value.hint


def test_holms_correction() -> None:
    from statsmodels.stats.multitest import multipletests

    from advcli.tasks.benchmark.slices import holm

    draw = np.random.default_rng(0)
    for count in (1, 2, 5, 9):
        p_values = draw.random(count) ** 3
        corrected = multipletests(p_values, method="holm")[1]
        assert corrected is not None
        np.testing.assert_allclose(holm(p_values.tolist()), corrected)


# Containers


def test_damaged_containers_are_errors(pictures: list[Picture], tmp_path: Path) -> None:
    folder = tfds(pictures, IDS, tmp_path)
    file = next(folder.rglob("*.tfrecord*"))
    content = file.read_bytes()
    file.write_bytes(content[:-5])
    with pytest.raises(AdvcliError, match="damaged or cut off"):
        find(str(folder))()
    file.write_bytes(struct.pack("<Q", 2**60) + content[8:])
    with pytest.raises(AdvcliError, match="damaged or cut off"):
        find(str(folder))()
    pytest.importorskip("pyarrow")
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + bytes(40))
    refused(tmp_path / "x.parquet", "not a readable Parquet file")


def test_parquet_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "x.parquet").touch()
    refused(tmp_path / "x.parquet", "pyarrow", 'pip install "advcli[parquet]"')


def test_sources_of_paths_are_components() -> None:
    assert {"folder", "manifest", "parquet", "tfrecord"} <= set(registry.names("datasets"))


@pytest.mark.parametrize("features", [{"image": 0}, 7, None, {"image": None, "label": {"classLabel": 1}}, ["image"]])
def test_features_that_are_none(tmp_path: Path, pictures: list[Picture], features: Any) -> None:
    folder = tfds(pictures, IDS, tmp_path)
    (folder / "1.0.0" / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    refused(folder, "features.json", "cannot be read")


_READ = """
import resource, sys
from advcli.datasets import find
split = find(sys.argv[1])().measured_whole().test
total = sum(int(split.read(i)[0, 0, 0]) for i in range(len(split)))
print(len(split), total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("write", [by_id, zipped, manifest, parquet, tfds], ids=lambda write: write.__name__)
def test_memory_does_not_grow_with_the_images(write: Callable[..., Path], tmp_path: Path) -> None:
    """Read images of 30 kB one by one: a tenth of them at once would be seen."""
    import subprocess
    import sys

    content = png(np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8))
    used = []
    for count in (1_000, 50_000):
        pictures = [Picture(f"{i:05}.png", content, i % 4) for i in range(count)]
        data = write(pictures, IDS, tmp_path / str(count))
        found = subprocess.run([sys.executable, "-c", _READ, str(data)], capture_output=True, text=True, check=True)
        images, _, megabytes = map(int, found.stdout.split())
        assert images == count
        used.append(megabytes)
    # A tenth of the images takes 147 MB; the directory of a .zip takes 1.3 KB an image.
    assert used[1] - used[0] < 100, used


@pytest.mark.parametrize(
    "column", ["label", "labels", "Target", "class_id", "species", "ground_truth", "category_name"]
)
def test_the_column_of_classes_is_found_by_what_people_call_it(column: str, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(f"file_name,name,{column}\nbatch_1/1.png,x,cat\nbatch_2/2.png,y,dog\n")
    for name in ("batch_1/1.png", "batch_2/2.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert find(str(tmp_path / "list.csv"))().labels == ("cat", "dog")
    (tmp_path / "list.tsv").write_text((tmp_path / "list.csv").read_text().replace(",", "\t"))
    assert find(str(tmp_path / "list.tsv"))().labels == ("cat", "dog")


def test_a_table_that_does_not_say_its_classes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    table = tmp_path / "list.csv"
    table.write_text("file_name,diagnosis\na/1.png,ill\nb/2.png,well\n")
    assert find(str(table))().labels == ("a", "b")
    assert (
        "does not say which of its columns has the classes: diagnosis: the classes are the folders a, b" in caplog.text
    )
    assert find(f"manifest:path={table},label=diagnosis")().labels == ("ill", "well")
    table.write_text("file_name,diagnosis\na/1.png,ill\na/2.png,well\n")
    with pytest.raises(UsageError, match="does not say which") as refused:
        find(str(table))()
    assert "label=diagnosis" in refused.value.hint
    caplog.clear()
    table.write_text("file_name,name,label\na/1.png,1,ill\nb/2.png,2,well\n")
    caplog.set_level("INFO")
    assert find(str(table))().labels == ("ill", "well")
    assert "in its column 'label', not in 'name'" in caplog.text


def test_class_folders_beside_another_table_are_named(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/2.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    (tmp_path / "labels.csv").write_text("ClassId,Name\n0,cat\n1,dog\n")
    with pytest.raises(UsageError, match="no column of file names") as refused:
        find(str(tmp_path))()
    assert f"folder:path={tmp_path}" in refused.value.hint
    assert find(f"folder:path={tmp_path}")().labels == ("cat", "dog")
