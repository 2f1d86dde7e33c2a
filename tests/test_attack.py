import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli import images, registry
from advcli.data import to_float
from advcli.model import Classifier
from advcli.records import Attacked, Failed
from advcli.tasks.attack import attack
from advcli.threat import Norm, Threat


def write(folder: Path, name: str, shape: tuple[int, ...]) -> Path:
    pixels = np.random.default_rng(len(name)).integers(60, 200, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def run(
    classifier: Classifier, files: list[Path], spec: str = "pgd:steps=10", **options: object
) -> list[Attacked | Failed]:
    threat = options.pop("threat", Threat(eps=0.03))
    outputs = {file: file.with_name(f"{file.stem}-out") for file in files}
    events = attack(classifier, outputs, registry.build("attacks", spec), threat, spec=spec, **options)  # type: ignore[arg-type]
    return [event for event in events if isinstance(event, (Attacked, Failed))]


def test_records_come_in_order_whatever_the_sizes(linear: Classifier, tmp_path: Path) -> None:
    files = [write(tmp_path, f"{i}.png", (8 + 3 * (i % 2), 8, 3)) for i in range(5)]
    (tmp_path / "bad.png").write_text("no")
    files.insert(2, tmp_path / "bad.png")
    records = run(linear, files, batch=2)
    assert [Path(record.image).name for record in records] == [file.name for file in files]
    assert isinstance(records[2], Failed)


@pytest.mark.parametrize("threat", [Threat(eps=0.03), Threat(Norm.L2, 0.5)], ids=["linf", "l2"])
def test_what_is_reported_is_what_is_on_disk(linear: Classifier, tmp_path: Path, threat: Threat) -> None:
    file = write(tmp_path, "a.png", (12, 9, 3))
    (record,) = run(linear, [file], threat=threat)
    assert isinstance(record, Attacked)
    before, after = images.read(file), images.read(Path(record.output))
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
        assert json.loads(written.text["advcli"])["attack"] == "pgd:steps=10"  # type: ignore[attr-defined]


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
    after = linear.predict(to_float(images.read(Path(record.output)))[None])[0]
    assert after[target] > before[target]


def test_a_label_is_what_the_attack_moves_away_from(linear: Classifier, tmp_path: Path) -> None:
    file = write(tmp_path, "a.png", (8, 8, 3))
    likeliest = int(linear.predict(to_float(images.read(file))[None])[0].argmax())
    other = (likeliest + 1) % 4
    (record,) = run(linear, [file], label=other)
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


def test_the_same_seed_gives_the_same_file_alone_or_among_others(linear: Classifier, tmp_path: Path) -> None:
    files = [write(tmp_path, f"{name}.png", (8, 8, 3)) for name in ("a", "bb", "ccc")]
    run(linear, files, seed=4)
    together = (tmp_path / "bb-out.adv.png").read_bytes()
    run(linear, files[1:2], seed=4)
    assert (tmp_path / "bb-out.adv.png").read_bytes() == together
    run(linear, files[1:2], spec="pgd:steps=1", seed=5)
    assert (tmp_path / "bb-out.adv.png").read_bytes() != together


def test_resizing_first(linear: Classifier, tmp_path: Path) -> None:
    (record,) = run(linear, [write(tmp_path, "a.png", (20, 30, 3))], resize=True)
    assert isinstance(record, Attacked)
    assert images.read(Path(record.output)).shape == (8, 8, 3)


def test_a_smallest_perturbation_survives_rounding(linear: Classifier, tmp_path: Path) -> None:
    files = [write(tmp_path, f"{'x' * i}.png", (8, 8, 3)) for i in range(1, 7)]
    records = run(linear, files, spec="deepfool:overshoot=0.000001", threat=Threat(Norm.L2, 3.0))
    assert all(isinstance(record, Attacked) and record.fooled for record in records)
    assert max(record.l2 for record in records if isinstance(record, Attacked)) < 1
