import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.data import images
from advcli.data.decoded import to_float
from advcli.errors import AdvcliError
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.records import Attacked, Crafted, Failed, Progress, Record
from advcli.tasks.attack.request import Resolved
from advcli.tasks.attack.run import attack_files
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier
from evaluations import close, untimed


def write(folder: Path, name: str, shape: tuple[int, ...]) -> Path:
    pixels = np.random.default_rng(len(name)).integers(60, 200, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def run(
    classifier: Classifier, files: list[Path], spec: str = "pgd:steps=10", **options: Any
) -> list[Attacked | Failed]:
    return [event for event in events(classifier, files, spec, **options) if isinstance(event, (Attacked, Failed))]


def events(
    classifier: Classifier,
    files: list[Path],
    spec: str = "pgd:steps=10",
    *,
    threat: Threat = Threat(eps=0.03),  # noqa: B008  it is frozen
    pattern: Path | None = None,
    apply: bool = False,
    **options: Any,
) -> list[Record | Progress]:
    outputs = {file: file.with_name(f"{file.stem}-out") for file in files}
    options.setdefault("overwrite", True)
    request = Resolved(spec=spec, threat=threat, **options)
    search = registry.build("attacks", spec)
    return list(attack_files(classifier, outputs, search, request, pattern=pattern, apply=apply))


def only(records: list[Attacked | Failed]) -> Attacked:
    (record,) = records
    assert isinstance(record, Attacked)
    return record


def read_output(record: Attacked) -> np.ndarray:
    assert record.output is not None
    return images.read(Path(record.output))


def test_images_of_one_size_are_attacked_together(linear: Classifier, tmp_path: Path) -> None:
    files = [write(tmp_path, f"{i}.png", (8 + 3 * (i % 2), 8, 3)) for i in range(5)]
    (tmp_path / "bad.png").write_text("no")
    files.insert(2, tmp_path / "bad.png")
    happened = events(linear, files, batch=3)
    records = [event for event in happened if isinstance(event, (Attacked, Failed))]
    assert [Path(record.image).name for record in records] == ["bad.png", "0.png", "2.png", "4.png", "1.png", "3.png"]
    assert isinstance(records[0], Failed)
    assert [event.done for event in happened if isinstance(event, Progress)] == [0, 1, 4, 6]


def test_what_another_process_wrote_in_the_meantime_is_kept(linear: Classifier, tmp_path: Path) -> None:
    files = [write(tmp_path, f"{i}.png", (8, 8, 3)) for i in range(2)]
    (theirs,) = (only(run(linear, [files[0]])),)
    before = read_output(theirs)
    taken, own = run(linear, files, "fgsm", threat=Threat(eps=0.2), overwrite=False)
    assert isinstance(taken, Failed) and "another process has written" in taken.error
    assert isinstance(own, Attacked) and own.eps == pytest.approx(0.2)
    np.testing.assert_array_equal(read_output(theirs), before)
    again = only(run(linear, [files[0]], "fgsm", threat=Threat(eps=0.2)))
    assert (read_output(again) != before).any()


def test_a_photo_turned_by_its_camera_is_with_those_of_its_size(tmp_path: Path) -> None:
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (9, 5)).save(turned, exif=exif)
    assert images.size(turned) == images.read(turned).shape[:2] == (9, 5)


def test_large_images_are_attacked_one_by_one(
    linear: Classifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("advcli.search.image_batches.PIXELS_AT_ONCE", 2 * 8 * 8 + 1)
    files = [write(tmp_path, f"{i}.png", (8, 8, 3)) for i in range(5)]
    happened = events(linear, files)
    assert [event.done for event in happened if isinstance(event, Progress)] == [0, 2, 4, 5]


@pytest.mark.parametrize("threat", [Threat(eps=0.03), Threat(Norm.L2, 0.5)], ids=["linf", "l2"])
def test_what_is_reported_is_what_is_on_disk(linear: Classifier, tmp_path: Path, threat: Threat) -> None:
    file = write(tmp_path, "a.png", (12, 9, 3))
    record = only(run(linear, [file], threat=threat))
    assert record.output is not None
    before, after = images.read(file), read_output(record)
    assert before.shape == after.shape
    difference = (after.astype(int) - before) / 255
    assert record.linf == np.abs(difference).max()
    assert record.l2 == pytest.approx(np.linalg.norm(difference))
    assert (record.linf if threat.norm is Norm.LINF else record.l2) <= threat.eps
    probabilities = linear.predict(to_float(after)[None])[0]
    assert record.after.index == probabilities.argmax()
    assert record.after.confidence == probabilities.max()
    assert record.fooled == (record.after.index != record.before.index)
    assert len(record.after_top) == 4
    with Image.open(record.output) as written:
        said = json.loads(written.info["advcli"])
    # A file found later says all that was reported, but for the time that it took and the folder that it is in.
    reported = {key: value for key, value in json.loads(record.to_json()).items() if key != "seconds"}
    assert said == reported | {"output": Path(record.output).name}


def test_the_attack_does_something(linear: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    (record,) = run(linear, [file])
    assert isinstance(record, Attacked)
    assert record.after_top[0].index != record.before.index or record.after.confidence < record.before.confidence
    assert record.queries == 10


def test_a_target_is_approached(linear: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    before = linear.predict(to_float(images.read(file))[None])[0]
    target = int(before.argsort()[1])
    (record,) = run(linear, [file], threat=Threat(eps=0.1, target=target))
    assert isinstance(record, Attacked)
    assert record.target == linear.labels[target]
    assert record.fooled == (record.after.index == target)
    after = linear.predict(to_float(read_output(record))[None])[0]
    assert after[target] > before[target]


def test_a_label_is_what_the_attack_moves_away_from(linear: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    likeliest = int(linear.predict(to_float(images.read(file))[None])[0].argmax())
    other = (likeliest + 1) % 4
    (record,) = run(linear, [file], away=other)
    assert isinstance(record, Attacked)
    assert record.label == linear.labels[other]
    # It was not seen as that class before, so nothing was fooled.
    assert not record.fooled


def test_what_is_at_its_target_already_is_not_fooled(linear: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    seen = int(linear.predict(to_float(images.read(file))[None])[0].argmax())
    (record,) = run(linear, [file], threat=Threat(eps=0.03, target=seen))
    assert isinstance(record, Attacked)
    assert record.after.index == seen
    assert not record.fooled


@pytest.mark.parametrize("spec", ["pgd:steps=10", "noise"])
def test_the_same_seed_gives_the_same_pixels_alone_or_among_others(
    spec: str, linear: Classifier, tmp_path: Path
) -> None:
    files = [write(tmp_path, f"{name}.png", (8, 8, 3)) for name in ("a", "bb", "ccc")]

    def attacked(among: list[Path], spec: str = spec, seed: int = 4) -> tuple[np.ndarray, dict[str, Any]]:
        found = run(linear, among, spec, seed=seed)[among.index(files[1])]
        assert isinstance(found, Attacked)
        return read_output(found), untimed([found])[0]

    together, said = attacked(files)
    alone, said_alone = attacked(files[1:2])
    np.testing.assert_array_equal(alone, together)
    assert said_alone == close(said)
    again, said_again = attacked(files[1:2])
    np.testing.assert_array_equal(again, alone)
    assert said_again == said_alone
    # The model is linear: where PGD ends does not depend on where it starts.
    other, _ = attacked(files[1:2], spec="noise", seed=5)
    assert (other != together).any()


def test_resizing_first(linear: Classifier, tmp_path: Path) -> None:
    (record,) = run(linear, [write(tmp_path, "a.png", (20, 30, 3))], resize=True)
    assert isinstance(record, Attacked)
    assert read_output(record).shape == (8, 8, 3)


def test_a_smallest_perturbation_survives_rounding(linear: Classifier, tmp_path: Path) -> None:
    files = [write(tmp_path, f"{'x' * i}.png", (8, 8, 3)) for i in range(1, 7)]
    records = run(linear, files, spec="deepfool:overshoot=0.000001", threat=Threat(Norm.L2, 3.0))
    assert all(isinstance(record, Attacked) and record.fooled for record in records)
    assert max(record.l2 for record in records if isinstance(record, Attacked)) < 1


def test_all_three_pictures_are_written_and_the_difference_says_how_much_it_is_enlarged(
    linear: Classifier, tmp_path: Path
) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    record = only(run(linear, [file], save=("difference", "adversarial", "clean")))
    assert record.clean_output is not None
    assert record.difference_output is not None
    clean, difference = (images.read(Path(path)) for path in (record.clean_output, record.difference_output))
    np.testing.assert_array_equal(clean, images.read(file))
    change = read_output(record).astype(int) - clean
    assert record.difference_times == 127 // np.abs(change).max() == 127 // 7
    np.testing.assert_array_equal(difference, 128 + record.difference_times * change)
    for path in (record.output, record.clean_output, record.difference_output):
        assert png.record_in(Path(str(path)))["image"] == str(file)
    assert png.kind_in(Path(record.difference_output)) == "difference"


def test_without_the_adversarial_image_the_report_is_the_same(linear: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    written = only(run(linear, [file]))
    unwritten = only(run(linear, [file], save=("clean",)))
    assert unwritten.output is None
    assert (unwritten.after, unwritten.linf, unwritten.l2) == (written.after, written.linf, written.l2)


def test_the_text_in_a_file_is_latin_whatever_the_names(linear: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "\u732b.png", (8, 8, 3))
    record = only(run(linear, [file]))
    content = Path(str(record.output)).read_bytes()
    assert b"tEXtadvcli" in content
    assert b"iTXt" not in content


@pytest.fixture
def two_classes() -> Classifier:
    """A linear model of two classes: the way to the boundary is the same everywhere."""
    classifier = make_classifier("linear", classes=2)
    kernel, _ = classifier.model.weights
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return classifier


def smallest_radius_by_formula(two_classes: Classifier, pixels: np.ndarray) -> int:
    """The least k with which a step of k/255 along the signs crosses the boundary."""
    kernel = np.asarray(two_classes.model.weights[0], np.float64)
    height = abs((pixels / 255).reshape(-1) @ (kernel[:, 1] - kernel[:, 0]))
    return int(np.floor(255 * height / np.abs(kernel[:, 1] - kernel[:, 0]).sum())) + 1


def test_the_smallest_radius_of_a_linear_model(two_classes: Classifier, tmp_path: Path) -> None:
    files = [write(tmp_path, f"{'x' * i}.png", (8, 8, 3)) for i in range(1, 9)]
    records = run(two_classes, files, threat=Threat(eps=100 / 255), minimal=True)
    expected = [smallest_radius_by_formula(two_classes, images.read(file)) for file in files]
    assert len(set(expected)) > 3
    for steps, record in zip(expected, records, strict=True):
        assert isinstance(record, Attacked)
        assert record.fooled
        assert record.minimal
        assert record.eps == pytest.approx(steps / 255)
        assert record.linf == pytest.approx(steps / 255)


def test_no_radius_is_smallest_where_nothing_fools(two_classes: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    most = smallest_radius_by_formula(two_classes, images.read(file)) - 1
    assert most > 0
    record = only(run(two_classes, [file], threat=Threat(eps=most / 255), minimal=True))
    assert not record.fooled
    assert record.eps == pytest.approx(most / 255)
    assert record.linf == pytest.approx(most / 255)


def test_an_image_that_is_wrong_already_needs_no_radius(two_classes: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    seen = int(two_classes.predict(to_float(images.read(file))[None])[0].argmax())
    record = only(run(two_classes, [file], minimal=True, away=1 - seen))
    assert (record.eps, record.linf, record.fooled, record.queries) == (0.0, 0.0, False, 1)


@pytest.mark.parametrize("norm", [Norm.L2, Norm.L1])
def test_a_file_proves_its_own_distance(two_classes: Classifier, tmp_path: Path, norm: Norm) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    record = only(run(two_classes, [file], threat=Threat(norm, 30.0), minimal=True))
    assert record.fooled
    assert record.eps == pytest.approx(record.l2 if norm is Norm.L2 else record.l1)
    kernel = np.asarray(two_classes.model.weights[0], np.float64)
    way = kernel[:, 1] - kernel[:, 0]
    height = abs((images.read(file) / 255).reshape(-1) @ way)
    exact = height / (np.linalg.norm(way) if norm is Norm.L2 else np.abs(way).max())
    assert record.eps is not None
    assert exact <= record.eps < 1.3 * exact + 2 / 255


def test_a_perturbation_of_less_than_half_a_grey_level_grows_until_it_is_seen(
    two_classes: Classifier, tmp_path: Path
) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    kernel, bias = two_classes.model.weights
    pixels = images.read(file) / 255
    height = pixels.reshape(-1) @ (np.asarray(kernel)[:, 1] - np.asarray(kernel)[:, 0])
    # The boundary is a hundredth of a grey level away.
    bias.assign([height - 0.01 / 255 * np.abs(np.asarray(kernel)[:, 1] - np.asarray(kernel)[:, 0]).sum(), 0.0])
    record = only(run(two_classes, [file], "deepfool", threat=Threat(Norm.L2, 0.5)))
    assert record.fooled
    assert 0 < record.l2 < 0.2


def test_a_large_difference_is_shrunk_to_fit(linear: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "a.png", (16, 16, 3))
    record = only(run(linear, [file], "spatial:stop=false", save=("adversarial", "clean", "difference")))
    change = read_output(record).astype(int) - images.read(file)
    assert np.abs(change).max() > 127
    assert record.difference_times is not None
    assert record.difference_times < 1
    shown = images.read(Path(str(record.difference_output)))
    np.testing.assert_array_equal(shown, np.rint(128 + record.difference_times * change))


def test_each_image_has_its_own_count_of_queries(linear: Classifier, tmp_path: Path) -> None:
    files = [write(tmp_path, f"{'x' * i}.png", (8, 8, 3)) for i in range(1, 7)]
    spec, threat = "square:queries=60", Threat(eps=0.05)
    records = run(linear, files, spec, threat=threat)
    together = {record.image: record.queries for record in records if isinstance(record, Attacked)}
    alone = {str(file): only(run(linear, [file], spec, threat=threat)).queries for file in files}
    assert together == alone
    assert len(set(alone.values())) > 1


@pytest.mark.parametrize(("spec", "ending"), [("universal:steps=20", 3), ("patch:steps=20,size=0.6", 4)])
def test_a_pattern_is_crafted_kept_and_put_on_other_images(
    linear: Classifier, tmp_path: Path, spec: str, ending: int
) -> None:
    files = [write(tmp_path, f"{'x' * i}.png", (8 + i % 3, 9, 3)) for i in range(1, 7)]
    pattern = tmp_path / "it.pattern.png"
    threat = Threat(eps=20 / 255)
    happened = events(linear, files, spec, threat=threat, pattern=pattern, batch=2)
    (crafted,) = [event for event in happened if isinstance(event, Crafted)]
    attacked = [event for event in happened if isinstance(event, Attacked)]
    assert crafted.images == 6
    assert sum(record.fooled for record in attacked) >= 2
    assert png.read(pattern).shape[2] == ending
    assert png.record_in(pattern)["attack"] == spec
    first = {record.image: read_output(record) for record in attacked}
    again = run(linear, files, spec, threat=threat, pattern=pattern, apply=True)
    for record in again:
        assert isinstance(record, Attacked)
        assert record.pattern == str(pattern)
        np.testing.assert_array_equal(read_output(record), first[record.image])
        assert record.eps == (20 / 255 if "universal" in spec else None)


def test_a_pattern_of_other_channels_is_refused(linear: Classifier, tmp_path: Path) -> None:
    png.write(tmp_path / "grey.pattern.png", np.full((8, 8, 1), 128, np.uint8))
    with pytest.raises(AdvcliError, match="channels"):
        run(
            linear,
            [write(tmp_path, "a.png", (8, 8, 3))],
            "universal",
            pattern=tmp_path / "grey.pattern.png",
            apply=True,
        )


def test_a_spatial_attack_has_no_radius(linear: Classifier, tmp_path: Path) -> None:
    record = only(run(linear, [write(tmp_path, "a.png", (16, 16, 3))], "spatial"))
    assert (record.norm, record.eps) == (None, None)
    assert record.linf > 0.03
