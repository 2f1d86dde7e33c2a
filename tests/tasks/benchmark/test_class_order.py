"""A model without class names on folders whose alphabetical order is not their natural one."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcli.backend import keras
from advcli.data.class_order import ClassOrder
from advcli.datasets import find
from advcli.errors import AdvcliError, UsageError
from advcli.records import Checked, Score
from advcli.tasks.benchmark.merge_shards import merge
from advcli.tasks.benchmark.request import Execution, Request, Shard
from conftest import Command
from evaluations import records

FOLDERS = tuple(map(str, range(11)))
EACH = 10


def grey(number: int) -> int:
    return 20 + 20 * number


def write_model(file: Path, order: tuple[str, ...]) -> str:
    """Write a model without class names whose output k is high where images are as grey as those of the k-th name."""
    image = keras.Input((8, 8, 3))
    scores = keras.layers.Dense(len(order))
    model = keras.Model(image, scores(keras.layers.GlobalAveragePooling2D()(image)))
    centres = np.array([grey(int(name)) / 255 for name in order])
    # The nearest centre c of a grey m has the largest 2cm - c^2.
    scores.set_weights([np.tile(200 * centres, (3, 1)) / 3, -100 * centres**2])
    model.save(file)
    return str(file)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("numbered")
    for name in FOLDERS:
        for part in ("train", "test"):
            folder = made / "data" / part / name
            folder.mkdir(parents=True)
            for number in range(EACH):
                Image.new("RGB", (8, 8), (grey(int(name)) + number - 5,) * 3).save(folder / f"{name}-{number}.png")
    write_model(made / "natural.keras", FOLDERS)
    write_model(made / "keras.keras", tuple(sorted(FOLDERS)))
    return made


def asked(place: Path, model: str = "natural.keras", **changes: Any) -> Request:
    usual: dict[str, Any] = {
        "models": (str(place / model),), "data": str(place / "data"), "input_range": (0.0, 1.0), "checks": False,
        "threats": (("linf", 0.01),), "attacks": ("fgsm",),
    }  # fmt: skip
    return Request(**(usual | changes))


def clean(found: list) -> Score:
    return next(record for record in found if isinstance(record, Score) and record.perturbation == "clean")


def test_names_are_sorted_by_characters_or_by_number() -> None:
    names = ["b2", "a10", "10", "a2", "1", "a2b10", "a2b9", "2", "01"]
    assert ClassOrder.ALPHABETICAL.arrange(names) == ("01", "1", "10", "2", "a10", "a2", "a2b10", "a2b9", "b2")
    assert ClassOrder.NATURAL.arrange(names) == ("01", "1", "2", "10", "a2", "a2b9", "a2b10", "a10", "b2")


def test_the_order_numbers_the_classes_and_leaves_the_images(place: Path, tmp_path: Path) -> None:
    whole, natural = find(str(place / "data"))(), find(str(place / "data"), ClassOrder.NATURAL)()
    assert (whole.labels, natural.labels) == (tuple(sorted(FOLDERS)), FOLDERS)
    for dataset in (whole, natural):
        for split in (dataset.train, dataset.test):
            assert [dataset.labels[label] for label in split.labels] == [
                Path(split.name(i)).parent.name for i in range(len(split))
            ]
    # The same fifth is set aside, or a model would be tested on what it was trained on.
    for name in FOLDERS:
        folder = tmp_path / "loose" / name
        folder.mkdir(parents=True)
        for number in range(EACH):
            Image.new("RGB", (8, 8)).save(folder / f"{number}.png")
    one, other = find(str(tmp_path / "loose"))().test, find(str(tmp_path / "loose"), ClassOrder.NATURAL)().test
    assert [one.name(i) for i in range(len(one))] == [other.name(i) for i in range(len(other))]
    with pytest.raises(UsageError, match="numbers its classes itself"):
        find("digits", ClassOrder.NATURAL)
    with pytest.raises(UsageError, match="no order 'numerical'"):
        find(f"folder:path={place / 'data'},order=numerical")


def test_the_wrong_order_stops_before_any_attack(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    with pytest.raises(AdvcliError, match=r"clean accuracy is 18\.2%, and 100\.0% in natural order") as stopped:
        records(asked(place), out=file)
    assert "--class-order natural" in stopped.value.hint
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line.get("perturbation") for line in lines if line["type"] == "verdicts"} == {"clean"}
    # The other way round, too; and a part of the images is enough.
    with pytest.raises(AdvcliError, match=r"100\.0% in alphabetical order"):
        records(asked(place, "keras.keras", data=f"folder:path={place / 'data'},order=natural"))
    with pytest.raises(AdvcliError, match=r"100\.0% in natural order"):
        records(asked(place), shard=Shard(2, 3))


def test_an_order_that_was_asked_for_is_kept(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    correct = records(asked(place, class_order=ClassOrder.NATURAL))
    assert (clean(correct).correct, clean(correct).class_order) == (110, "natural")
    assert "in natural order (0, 1, 2, 3, ...), not in alphabetical (0, 1, 10, 2, ...)" in caplog.text
    assert "may not be" not in caplog.text
    wrong = records(asked(place, class_order=ClassOrder.ALPHABETICAL))
    assert (clean(wrong).correct, clean(wrong).class_order) == (20, "alphabetical")
    assert "may not be the class folders in alphabetical order: clean accuracy is 18.2%, and 100.0%" in caplog.text


def test_the_default_is_kerass_order_and_is_said(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = records(asked(place, "keras.keras"))
    assert (clean(found).correct, clean(found).class_order) == (110, "alphabetical")
    (note,) = [record for record in caplog.records if "class folders" in record.getMessage()]
    assert note.levelno == logging.WARNING
    assert "in alphabetical order (0, 1, 10, 2, ...)" in note.getMessage()
    assert "--class-order" in note.getMessage()


def test_a_model_that_knows_nothing_is_no_question_of_order(place: Path, tmp_path: Path) -> None:
    shuffled = tuple(np.random.default_rng(4).permutation(FOLDERS))
    model = write_model(tmp_path / "shuffled.keras", shuffled)
    assert clean(records(asked(place, models=(model,)))).accuracy < 0.3


def test_few_classes_that_move_among_many_are_seen(place: Path, tmp_path: Path) -> None:
    # Three of nine classes have another number, so that clean accuracy differs by a third only.
    names = ("a1", "a2", "a10", "b", "c", "d", "e", "f", "g")
    for number, name in enumerate(names):
        folder = tmp_path / "data" / "test" / name
        folder.mkdir(parents=True)
        for each in range(EACH):
            Image.new("RGB", (8, 8), (grey(number),) * 3).save(folder / f"{each}.png")
    model = write_model(tmp_path / "natural.keras", FOLDERS[: len(names)])
    with pytest.raises(AdvcliError, match=r"clean accuracy is 77\.8%, and 100\.0% in natural order"):
        records(asked(place, models=(model,), data=str(tmp_path / "data")))


def test_names_of_the_model_decide(place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "names.txt").write_text("\n".join(FOLDERS))
    named = asked(place, labels=tmp_path / "names.txt")
    assert (clean(records(named)).correct, clean(records(named)).class_order) == (110, None)
    assert "class folders" not in caplog.text
    with pytest.raises(UsageError, match="the models have class names, which decide"):
        records(asked(place, labels=tmp_path / "names.txt", class_order=ClassOrder.NATURAL))


def test_results_of_two_orders_are_not_mixed(place: Path, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.jsonl" for number in (1, 2)]
    for number, (file, order) in enumerate(zip(files, ("natural", "alphabetical"), strict=True), 1):
        records(asked(place, class_order=ClassOrder(order)), out=file, shard=Shard(number, 2))
    with pytest.raises(UsageError, match="class_order"):
        list(merge(files, asked(place, class_order=ClassOrder.NATURAL), Execution()))
    with pytest.raises(UsageError, match="class_order natural"):
        records(asked(place, class_order=ClassOrder.ALPHABETICAL), shard=Shard(1, 2), resume=files[0])
    records(asked(place, class_order=ClassOrder.NATURAL), out=files[1], shard=Shard(2, 2))
    whole = tmp_path / "whole.jsonl"
    merged = list(merge(files, asked(place, class_order=ClassOrder.NATURAL), Execution(out=whole)))
    assert clean(merged).class_order == "natural"
    mixed = asked(place, class_order=ClassOrder.ALPHABETICAL, baseline=whole)
    with pytest.raises(UsageError, match="the baseline took the class folders of 'natural' in natural order"):
        records(mixed)
    assert clean(records(asked(place, class_order=ClassOrder.NATURAL, baseline=whole))).correct == 110


def test_the_command_says_what_to_give(advcli: Command, place: Path) -> None:
    usual = ("natural.keras", "--data", "data", "--input-range", "0,1", "--attack", "none", "--no-checks", "--json")
    stopped = advcli("benchmark", *usual, cwd=place)
    assert stopped.returncode == 1
    assert "advcli: warning: 'natural' has no class names" in stopped.stderr
    assert "hint: give --class-order natural" in stopped.stderr
    given = advcli("benchmark", *usual, "--class-order", "natural", cwd=place)
    assert given.returncode == 0, given.stderr
    assert json.loads(given.stdout.splitlines()[0])["accuracy"] == 1.0
    for arguments, message in (
        (("--class-order", "numerical"), "numerical"),
        (("--class-order", "natural", "--classes", "1,2"), "--class-order has no effect"),
        (("--class-order", "natural", "--data", "digits"), "--class-order has no effect"),
    ):
        refused = advcli("benchmark", *usual, *arguments, cwd=place)
        assert refused.returncode == 2
        assert message in refused.stderr
    export = ("--data", "data", "--corruptions", "fog", "--export", "out", "--class-order", "natural")
    assert advcli("benchmark", *export, cwd=place).returncode == 2


def test_the_names_of_outputs_are_told_and_checked(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Names whose two orders are equal: only the predictions show that the model has another one.
    for number, name in enumerate(sorted(FOLDERS, key=int)):
        shutil.copytree(place / "data" / "test" / name, tmp_path / "data" / f"{'badcfehgjik'[number]}-name")
    request = asked(place, data=str(tmp_path / "data"), checks=True)
    with caplog.at_level(logging.INFO):
        found = records(request)
    assert "taken as the classes in their order (a-name, b-name, c-name, d-name, ...)" in caplog.text
    checked = {record.check: record for record in found if isinstance(record, Checked)}
    assert checked["order-of-classes"].verdict == "SUSPECT"
    assert "--labels" in checked["order-of-classes"].remedy


def test_a_generic_name_is_no_true_class(place: Path) -> None:
    from advcli.model.load import load
    from advcli.tasks.explain.views import true_class

    classifier = load(place / "natural.keras", "natural", input_range=(0, 1))
    # Whoever counts from one has another class in it.
    assert classifier.labels[1] == "class 1"
    assert true_class(classifier, Path("class_1/x.png"), None) is None
    assert true_class(classifier, Path("class_1/x.png"), "class 1") == 1
