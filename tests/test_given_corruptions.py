"""Images that were corrupted before: what is read back equals what is made on the fly, image by image."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcli.corruptions import corrupted
from advcli.datasets import find
from advcli.errors import AdvcliError, UsageError
from advcli.files.lock import lock
from advcli.records import CorruptionError, Exported, Gate, Score
from advcli.tasks.benchmark.request import Execution, Request
from advcli.tasks.benchmark.run import evaluate
from evaluations import IMAGES, lines, records, request

NAMES = ("brightness", "gaussian_noise")
Verdict = tuple[str, int, tuple[int, ...], tuple[int, ...]]


def verdicts(file: Path) -> dict[tuple[str, str, int], dict[int, int]]:
    """Return the prediction for each image under each corruption by each model."""
    found: dict[tuple[str, str, int], dict[int, int]] = {}
    for line in lines(file):
        if line["type"] == "verdicts" and line["severity"]:
            place = found.setdefault((line["model"], line["perturbation"], line["severity"]), {})
            place |= dict(zip(line["indices"], line["predicted"], strict=True))
    return found


def scores(found: list[Any]) -> dict[tuple[str, str, int | None], tuple[int, int]]:
    return {
        (each.model, each.perturbation, each.severity): (each.images, each.correct)
        for each in found
        if isinstance(each, Score)
    }


def plain(folder: Path, **changes: Any) -> Request:
    return request(folder, **({"noises": (), "attacks": (), "threats": (), "severities": (1, 2, 3, 4, 5)} | changes))


@pytest.fixture(scope="module")
def made(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation with corruptions made on the fly, and its export."""
    folder = tmp_path_factory.mktemp("made")
    found = records(plain(evaluated), out=folder / "made.jsonl", export=folder / "export")
    assert sum(record.images for record in found if isinstance(record, Exported)) == 10 * IMAGES
    return folder


def arrays(evaluated: Path, folder: Path, repeated: bool = True) -> Path:
    """Write the corrupted images as CIFAR-10-C's arrays."""
    folder.mkdir()
    with np.load(evaluated / "data.npz") as data:
        pixels, labels = data["x_test"].astype(np.float32) / np.float32(255), data["y_test"]
    for name in NAMES:
        parts = [np.rint(corrupted(name, pixels, severity, 0) * 255).astype(np.uint8) for severity in (1, 2, 3, 4, 5)]
        np.save(folder / f"{name}.npy", np.concatenate(parts))
    np.save(folder / "labels.npy", np.tile(labels, 5 if repeated else 1))
    return folder


def test_the_export_reads_back_image_by_image(evaluated: Path, made: Path, tmp_path: Path) -> None:
    alone = records(plain(evaluated, data=str(made / "export"), corruptions=()), out=tmp_path / "alone.jsonl")
    beside = records(plain(evaluated, given=str(made / "export"), corruptions=()), out=tmp_path / "beside.jsonl")
    expected = verdicts(made / "made.jsonl")
    assert len(expected) == 20 and all(len(each) == IMAGES for each in expected.values())
    assert verdicts(tmp_path / "alone.jsonl") == expected
    assert verdicts(tmp_path / "beside.jsonl") == expected
    assert all(each.accuracy_of_clean_correct is None for each in alone if isinstance(each, Score))
    assert {each.perturbation for each in beside if isinstance(each, Score)} == {"clean", *NAMES}
    for found, has_clean in ((alone, False), (beside, True)):
        errors = [each for each in found if isinstance(each, CorruptionError)]
        assert [each.relative_to for each in errors] == ["first", "first"]
        assert errors[1].relative is not None and (errors[1].relative_to_clean is not None) == has_clean
    first, second = (each for each in alone if isinstance(each, CorruptionError))
    on_the_fly = [json.loads(line) for line in (made / "made.jsonl").read_text().splitlines()]
    before = [line for line in on_the_fly if line["type"] == "corruption_error"]
    assert [first.mean, second.mean] == [line["mean"] for line in before]
    assert second.relative == before[1]["relative"]


def test_an_export_of_strengths_of_ones_own_reads_back(evaluated: Path, tmp_path: Path) -> None:
    specs = {
        "defocus:radius=2": "defocus-radius=2",
        "low_light:photons=20+jitter:std=1": "low_light-photons=20+jitter-std=1",
    }
    out, folder = tmp_path / "made.jsonl", tmp_path / "export"
    made = records(plain(evaluated, corruptions=tuple(specs), severities=(3,)), out=out, export=folder)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(specs.values())
    expected = {key: value for key, value in scores(made).items() if key[1] in specs}
    assert len(expected) == 4 and all(severity is None for _, _, severity in expected)
    back = scores(records(plain(evaluated, data=str(folder), corruptions=())))
    # A folder has a severity, and these have none: they stand at the lowest.
    assert back == {(model, specs[spec], 1): counts for (model, spec, _), counts in expected.items()}
    # A results file knows what it has.
    again = records(plain(evaluated, corruptions=tuple(specs), severities=(3,)), out=out, resume=out)
    assert {key: value for key, value in scores(again).items() if key[1] in specs} == expected


def test_an_export_with_attacks_reads_back_too(
    evaluated: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, asked = tmp_path / "export", plain(evaluated, corruptions=("fog",), severities=(2,))
    attacked = replace(asked, attacks=("fgsm",), threats=(("linf", 0.1),))
    made = scores(records(attacked, out=tmp_path / "made.jsonl", export=folder))
    assert list(folder.glob("adversarial/*/*/*.adv.png")) and list(folder.glob("adversarial/*/*/*.npz"))
    expected = {key: counts for key, counts in made.items() if key[1] == "fog"}
    assert len(expected) == 2
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "export")
    for options in ({"data": str(folder)}, {"data": packed}, {"given": str(folder)}):
        caplog.clear()
        back = scores(records(plain(evaluated, corruptions=(), **options)))
        assert {key: counts for key, counts in back.items() if key[1] == "fog"} == expected
        assert "left out" not in caplog.text


def test_arrays_equal_the_numbers_made_on_the_fly(evaluated: Path, made: Path, tmp_path: Path) -> None:
    expected = verdicts(made / "made.jsonl")
    for repeated in (True, False):
        folder = arrays(evaluated, tmp_path / f"arrays{repeated}", repeated)
        records(plain(evaluated, data=str(folder), corruptions=()), out=tmp_path / f"{repeated}.jsonl")
        assert verdicts(tmp_path / f"{repeated}.jsonl") == expected
    # An array whose blocks are in another order is not silently the same.
    shuffled = np.load(folder / "brightness.npy")
    np.save(folder / "brightness.npy", np.roll(shuffled, IMAGES, axis=0))
    records(plain(evaluated, data=str(folder), corruptions=()), out=tmp_path / "other.jsonl")
    assert verdicts(tmp_path / "other.jsonl") != expected


def test_given_and_made_corruptions_stand_side_by_side(evaluated: Path, made: Path) -> None:
    (made / "export" / "brightness").rename(made / "kept")
    try:
        found = records(
            plain(
                evaluated,
                given=str(made / "export"),
                corruptions=("brightness",),
                attacks=("fgsm",),
                threats=(("linf", 0.02),),
                fail_under=("gaussian_noise=0.99",),
            )
        )
    finally:
        (made / "kept").rename(made / "export" / "brightness")
    assert {each.perturbation for each in found if isinstance(each, Score)} == {"clean", "fgsm", "worst", *NAMES}
    assert len([each for each in found if isinstance(each, Gate)]) == 10
    expected = {
        (line["model"], line["perturbation"], line["severity"]): line["correct"]
        for line in lines(made / "made.jsonl")
        if line["type"] == "score"
    }
    for each in found:
        if isinstance(each, Score) and each.severity:
            assert each.correct == expected[each.model, each.perturbation, each.severity]


def test_a_limit_takes_the_same_images_of_each_set(evaluated: Path, made: Path, tmp_path: Path) -> None:
    for limits in ({"limit": 17}, {"first": 9}, {"classes": ("owl", "cat")}):
        records(plain(evaluated, **limits), out=tmp_path / "a.jsonl", overwrite=True)
        for where in ({"data": str(made / "export")}, {"given": str(made / "export")}):
            records(plain(evaluated, corruptions=(), **(limits | where)), out=tmp_path / "b.jsonl", overwrite=True)
            assert verdicts(tmp_path / "b.jsonl") == verdicts(tmp_path / "a.jsonl")


def test_shards_are_merged_and_resumed(evaluated: Path, made: Path, tmp_path: Path) -> None:
    from advcli.tasks.benchmark.request import Shard

    asked = plain(evaluated, data=str(made / "export"), corruptions=())
    for number in (1, 2):
        records(asked, out=tmp_path / f"{number}.jsonl", shard=Shard(number, 2))
    merged = list(
        evaluate(Request(models=(str(tmp_path / "1.jsonl"), str(tmp_path / "2.jsonl"))), Execution(merge=True))
    )
    whole = records(asked, out=tmp_path / "whole.jsonl")
    assert scores(merged) == scores(whole)
    resumed = list(evaluate(Request(), Execution(resume=tmp_path / "whole.jsonl")))
    assert scores(resumed) == scores(whole)


def test_what_needs_clean_images_is_refused_without(evaluated: Path, made: Path) -> None:
    for changes in (
        {"attacks": ("fgsm",), "threats": (("linf", 0.02),)},
        {"corruptions": ("fog",)},
        {"noises": ("gaussian",)},
    ):
        with pytest.raises(UsageError) as error:
            records(plain(evaluated, data=str(made / "export"), **({"corruptions": ()} | changes)))
        assert "no clean images" in error.value.message and "--given" in error.value.hint
    with pytest.raises(UsageError, match="both given and computed"):
        records(plain(evaluated, given=str(made / "export")))
    with pytest.raises(UsageError, match="no corrupted images"):
        records(plain(evaluated, given=str(evaluated / "data.npz"), corruptions=()))


def tree(top: Path, names: tuple[str, ...], images: tuple[str, ...] = ("cat/1", "dog/2", "dog/10")) -> Path:
    for number, name in enumerate(names):
        for image in images:
            file = top / name / f"{image}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number,) * 3).save(file)
    return top


def test_groups_and_clean_images_are_found(tmp_path: Path) -> None:
    top = tree(tmp_path / "c", ("clean", "blur/defocus/1", "blur/defocus/2", "noise/shot/1", "noise/shot/2"))
    data = find(str(top))()
    assert [(each.corruption, each.severity) for each in data.given] == [
        ("defocus", 1), ("defocus", 2), ("shot", 1), ("shot", 2),
    ]  # fmt: skip
    assert data.has_clean and data.labels == ("cat", "dog") and len(data.train) == 0
    assert [split.read(0)[0, 0, 0] for split in (data.test, *(each.split for each in data.given))] == [0, 1, 2, 3, 4]
    stems = [[Path(split.name(i)).stem for i in range(3)] for split in (data.test, data.given[3].split)]
    assert stems[0] == stems[1]
    archive = shutil.make_archive(str(tmp_path / "packed"), "zip", top)
    assert len(find(archive)().given) == 4


def test_sets_of_other_images_are_refused(tmp_path: Path) -> None:
    top = tree(tmp_path, ("fog/1", "snow/1"))
    (tmp_path / "snow" / "1" / "dog" / "10.png").unlink()
    with pytest.raises(UsageError, match=r"'snow' at severity 1 .* lacks 1 images .*dog/10"):
        find(str(top))()
    tree(tmp_path, ("snow/1",), ("dog/10", "dog/11"))
    with pytest.raises(UsageError, match=r"has 1 images more .*dog/11"):
        find(str(top))()


def test_arrays_that_do_not_fit_are_refused(evaluated: Path, tmp_path: Path) -> None:
    folder = arrays(evaluated, tmp_path / "x")
    labels = np.load(folder / "labels.npy")
    labels[-1] += 1
    np.save(folder / "labels.npy", labels)
    with pytest.raises(UsageError, match="other labels at other severities"):
        find(str(folder))()
    np.save(folder / "labels.npy", np.zeros(7, np.int64))
    with pytest.raises(UsageError, match=r"200 images, and labels.npy 7 labels"):
        find(str(folder))()
    np.save(folder / "labels.npy", np.array([{}], dtype=object))
    with pytest.raises(AdvcliError, match=r"not a readable \.npy"):
        find(str(folder))()


def test_mce_needs_the_same_severities(evaluated: Path, made: Path, tmp_path: Path) -> None:
    shutil.copytree(made / "export", tmp_path / "export")
    shutil.rmtree(tmp_path / "export" / "brightness" / "5")
    found = records(plain(evaluated, data=str(tmp_path / "export"), corruptions=()))
    assert not any(isinstance(each, CorruptionError) for each in found)
    assert len(scores(found)) == 18


@pytest.mark.slow
def test_fashion_mnist_as_cifar_10_c(shared: Path, tmp_path: Path) -> None:
    from advcli.backend import keras

    with np.load(shared / "data" / "fashion-mnist.npz") as data:
        pixels, labels = data["x_test"][:300], data["y_test"][:300]
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), layers.Dense(10)])
    model.save(tmp_path / "m.keras")
    names = ("fog", "shot_noise", "motion_blur")
    (tmp_path / "c").mkdir()
    grey = pixels[..., None].astype(np.float32) / np.float32(255)
    for name in names:
        parts = [np.rint(corrupted(name, grey, severity, 0) * 255).astype(np.uint8) for severity in (1, 2, 3, 4, 5)]
        np.save(tmp_path / "c" / f"{name}.npy", np.concatenate(parts)[..., 0])
    np.save(tmp_path / "c" / "labels.npy", np.tile(labels, 5))
    usual: dict[str, Any] = {"models": (str(tmp_path / "m.keras"),), "attacks": (), "threats": (), "checks": False}
    usual["input_range"] = (0.0, 1.0)
    made = f"fashion-mnist:path={shared / 'data' / 'fashion-mnist.npz'}"
    records(Request(**usual, data=made, first=300, corruptions=names), out=tmp_path / "made.jsonl")
    records(Request(**usual, data=str(tmp_path / "c")), out=tmp_path / "given.jsonl")
    assert verdicts(tmp_path / "given.jsonl") == verdicts(tmp_path / "made.jsonl")


def test_what_a_killed_export_left_is_swept_by_the_next_one(evaluated: Path, made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(made / "export", folder)
    image = min(folder.rglob("*.png"))
    left = [image.with_name(f".{image.name}.abcd1234.tmp"), folder / ".classes.json.abcd1234.tmp"]
    others = [image.with_name(".mine.png.abcd1234.tmp"), image.with_name("notes.tmp")]
    written = [image.with_name(f".{image.name}.efgh5678.tmp")]
    for file in (*left, *others, *written):
        file.write_bytes(b"part")
    with written[0].open("rb") as busy:
        assert lock(busy)
        records(plain(evaluated), out=tmp_path / "made.jsonl", export=folder, overwrite=True)
        assert written[0].exists()
    assert not [file for file in left if file.exists()]
    assert all(file.exists() for file in others)
