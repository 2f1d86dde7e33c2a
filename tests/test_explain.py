import importlib
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import foreign
from advcli import images, png, registry
from advcli.backend import keras
from advcli.data import to_float
from advcli.errors import AdvcliError
from advcli.model import Classifier, wrap
from advcli.records import Explained, Failed, Progress
from advcli.tasks.explain import endings, explain
from advcli.tasks.models import ModelChoice
from advcli.threat import Threat
from conftest import Command, make_classifier

METHODS = ("saliency", "gradcam")
EXPLAINERS = {method: registry.build("explainers", method) for method in METHODS}
PGD = registry.build("attacks", "pgd:steps=10")


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """A network that is easy to fool: its head tells its four classes apart loudly."""
    made = make_classifier("small:width=8", edge=16)
    kernel = made.model.get_layer("logits").kernel
    kernel.assign(np.random.default_rng(5).normal(size=kernel.shape))
    return made


def picture(file: Path, size: tuple[int, int] = (16, 16), channels: int = 3) -> Path:
    pixels = np.random.default_rng(zlib.crc32(file.name.encode())).integers(60, 200, (*size, channels), np.uint8)
    png.write(file, pixels)
    return file


def run(classifier: Classifier, files: list[Path], out: Path, **options: Any) -> list[Any]:
    outputs = {file: out / file.stem for file in files}
    return list(explain(classifier, outputs, options.pop("explainers", EXPLAINERS), **options))


def explained(events: list[Any]) -> list[Explained]:
    return [event for event in events if isinstance(event, Explained)]


def test_every_planned_file_is_written_and_recorded(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "cat.png", (24, 20))
    events = run(classifier, [file], tmp_path / "maps")
    records = explained(events)
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {f"cat{end}" for end in endings(METHODS, False)}
    assert [record.method for record in records] == ["saliency-positive", "saliency-negative", "gradcam"]
    probabilities = classifier.predict(to_float(images.read(file))[None])[0]
    for record in records:
        assert (record.type, record.image, record.view, record.model) == ("explained", str(file), "clean", "small")
        assert record.index == probabilities.argmax()
        assert record.label == classifier.labels[record.index]
        assert record.confidence == pytest.approx(probabilities.max())
        assert [item.index for item in record.top] == list(np.argsort(-probabilities))
        assert images.read(Path(record.output)).shape == (16, 16, 3)
        assert Path(record.sheet).is_file()
        assert record.maximum > 0
        assert json.loads(record.to_json())["layer"] == record.layer
    assert records[0].layer is None
    assert records[2].layer == EXPLAINERS["gradcam"].shown(classifier).layer
    assert [event.done for event in events if isinstance(event, Progress)] == [0, 1]


def test_the_two_parts_of_saliency_share_a_scale(tmp_path: Path, classifier: Classifier) -> None:
    records = explained(run(classifier, [picture(tmp_path / "a.png")], tmp_path / "maps"))
    relevance = EXPLAINERS["saliency"](
        classifier, to_float(images.read(tmp_path / "a.png"))[None], np.array([records[0].index]), 0
    )[0]
    assert records[0].maximum == pytest.approx(relevance.max())
    assert records[1].maximum == pytest.approx(-relevance.min())
    positive, negative = (images.read(Path(record.output)).sum(axis=-1, dtype=int) for record in records[:2])
    dark = positive.min()
    assert (positive[relevance < 0] == dark).all()
    assert (negative[relevance > 0] == dark).all()
    order = np.argsort(np.abs(relevance), axis=None)
    together = np.where(relevance > 0, positive, negative).ravel()[order]
    assert (np.diff(together) >= -6).all(), "equal brightness means equal strength, whatever the sign"


def test_an_attack_adds_the_adversarial_view(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "cat.png")
    records = explained(run(classifier, [file], tmp_path / "maps", search=PGD, threat=Threat(eps=16 / 255)))
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {f"cat{end}" for end in endings(METHODS, True)}
    assert [record.view for record in records] == ["clean"] * 3 + ["adversarial"] * 3
    clean, adversarial = records[0], records[3]
    assert clean.index != adversarial.index, "each view is explained as what the model takes it for"
    assert adversarial.index == adversarial.top[0].index
    with (
        Image.open(clean.sheet) as one,
        Image.open(explained(run(classifier, [file], tmp_path / "alone"))[0].sheet) as alone,
    ):
        assert one.height > 1.7 * alone.height


def test_an_attack_without_a_ball_is_not_cut_to_one(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "a.png")
    spatial = registry.build("attacks", "spatial:stop=false")
    far, near = (
        explained(run(classifier, [file], tmp_path / str(i), search=spatial, threat=Threat(eps=eps)))
        for i, eps in enumerate((0.5, 0.0))
    )
    assert [record.confidence for record in far] == [record.confidence for record in near]
    assert far[3].confidence != far[0].confidence


def test_an_attack_that_fails_is_shown_too(tmp_path: Path, classifier: Classifier) -> None:
    records = explained(
        run(classifier, [picture(tmp_path / "a.png")], tmp_path / "m", search=PGD, threat=Threat(eps=0))
    )
    assert records[0].index == records[3].index
    assert records[0].maximum == pytest.approx(records[3].maximum)


def test_a_class_can_be_chosen(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "a.png")
    for label in (1, 2):
        records = explained(run(classifier, [file], tmp_path / str(label), label=label, search=PGD))
        assert {record.index for record in records} == {label}
    maps = {(tmp_path / str(label) / "a.saliency-positive.png").read_bytes() for label in (1, 2)}
    assert len(maps) == 2


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "a.png")
    for out in ("one", "two"):
        run(classifier, [file], tmp_path / out, search=PGD, seed=3)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_a_bad_file_does_not_stop_the_others(tmp_path: Path, classifier: Classifier) -> None:
    (tmp_path / "bad.png").write_text("no image")
    files = [picture(tmp_path / "a.png"), tmp_path / "bad.png", picture(tmp_path / "c.png")]
    events = run(classifier, files, tmp_path / "maps")
    assert [Path(event.image).name for event in events if isinstance(event, Failed)] == ["bad.png"]
    assert {Path(record.image).name for record in explained(events)} == {"a.png", "c.png"}


def test_a_grey_classifier_explains_grey_and_colour_images(tmp_path: Path) -> None:
    grey = make_classifier("small:width=8", edge=16, channels=1)
    files = [picture(tmp_path / "grey.png", channels=1), picture(tmp_path / "colour.png")]
    assert len(explained(run(grey, files, tmp_path / "maps", search=PGD))) == 12


@pytest.mark.parametrize("shape", ["nested", "sequential without input", "subclassed"])
def test_foreign_models_are_explained(tmp_path: Path, shape: str) -> None:
    foreigner = wrap(foreign.build(shape), "m", input_range=(0, 1))
    records = explained(run(foreigner, [picture(tmp_path / "a.png")], tmp_path / "maps"))
    assert [record.layer for record in records] == [None, None, "relu"]
    assert all(record.maximum > 0 for record in records)


def test_what_cannot_be_explained_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(AdvcliError, match="no feature map"):
        run(make_classifier("linear"), [picture(tmp_path / "a.png")], tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


def test_a_map_that_is_no_numbers_is_an_error(tmp_path: Path) -> None:
    # The root of nothing is nothing, but its slope is infinite.
    image = keras.Input((16, 16, 3))
    rooted = keras.ops.sqrt(keras.ops.relu(image - 2.0))
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(rooted)))
    broken = Classifier("broken", model, ("a", "b", "c", "d"), 16)
    with pytest.raises(AdvcliError, match="saliency map of 'broken' is not all numbers"):
        run(broken, [picture(tmp_path / "a.png")], tmp_path / "maps", explainers={"saliency": EXPLAINERS["saliency"]})


def test_a_class_without_evidence_gives_a_plain_map(tmp_path: Path) -> None:
    model = foreign.build("flat", "logits")
    model.get_layer("scores").kernel.assign(-np.ones((6, 4)))
    against = wrap(model, "m", input_range=(0, 1))
    records = explained(run(against, [picture(tmp_path / "a.png")], tmp_path / "maps"))
    assert records[2].maximum == 0
    shown = images.read(Path(records[2].output)).astype(int)
    assert np.ptp(shown, axis=-1).max() == 0, "nothing but the grey picture"


def test_names_in_any_script_reach_the_sheet(tmp_path: Path, classifier: Classifier) -> None:
    named = replace(classifier, labels=("$x_1$ costs $5", "кот", "模型", "long " * 40))
    file = picture(tmp_path / "图 $a$.png")
    records = explained(run(named, [file], tmp_path / "maps", search=PGD))
    assert records[0].label in named.labels
    assert (tmp_path / "maps" / "图 $a$.explain.png").is_file()


@pytest.mark.parametrize("shape", ["nested", "sequential without input"])
def test_nothing_but_our_own_notes_reaches_standard_error(tmp_path: Path, advcli: Command, shape: str) -> None:
    foreign.build(shape).save(tmp_path / "m.keras")
    picture(tmp_path / "a.png")
    result = advcli(
        "explain", "a.png", "--model", "m.keras", "--input-range", "0,1", "--attack", "pgd:steps=2", "--quiet", "--json"
    )
    assert (result.returncode, result.stderr) == (0, "")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["layer"] for line in lines] == [None, None, "relu"] * 2


OWN_CODE = """
import keras

class Own(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.head = keras.layers.Dense(3, activation="softmax")
        self.mean = keras.layers.GlobalAveragePooling2D()
        self.conv = keras.layers.Conv2D(8, 3, activation="relu", name="feature")

    def build(self, shape):
        self.conv.build(shape)
        self.head.build((None, 8))

    def call(self, inputs):
        return self.head(self.mean(self.conv(inputs)))
"""


def test_own_code_is_found_on_the_python_path(tmp_path: Path, advcli: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "its_network.py").write_text(OWN_CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    model = importlib.import_module("its_network").Own()
    model(foreign.images())
    model.save(tmp_path / "m.keras")
    picture(tmp_path / "a.png")
    command = "explain a.png --model m.keras --input-range 0,1 --unsafe-load --quiet --json"
    result = advcli(*command.split(), env={"PYTHONPATH": str(tmp_path / "code")})
    assert (result.returncode, result.stderr) == (0, "")
    assert [json.loads(line)["layer"] for line in result.stdout.splitlines()] == [None, None, "feature"]


def test_a_photo_is_explained_as_what_it_shows(tmp_path: Path, shared: Path) -> None:
    choice = ModelChoice(
        "mobilenetv2",
        str(shared / "models" / "mobilenet_v2_1.0_224.weights.h5"),
        shared / "models" / "imagenet_class_index.json",
    )
    records = explained(run(choice.load(), [shared / "data" / "photos" / "04546cc5e537d7cd.png"], tmp_path / "maps"))
    assert {record.label for record in records} == {"barn"}
    assert records[2].layer == "out_relu"
    relevance = images.read(Path(records[2].output)).astype(int)
    coloured = np.ptp(relevance, axis=-1) > 60
    # The barn fills the right half, halfway down.
    assert coloured[:, 112:].mean() > 2 * coloured[:, :112].mean()
