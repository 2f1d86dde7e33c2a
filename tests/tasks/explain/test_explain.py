import base64
import importlib
import io
import json
import re
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import foreign
from advcli import registry
from advcli.backend import keras
from advcli.data import images
from advcli.data.decoded import to_float
from advcli.errors import AdvcliError
from advcli.explainers import Explainer, enlarge_maps
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.model.load import wrap
from advcli.model.model_choice import ModelChoice
from advcli.records import Attacked, Explained, Failed, Flipped, Progress, Shift, Shifted
from advcli.search.image_batches import Picture
from advcli.tasks.attack.request import Resolved
from advcli.tasks.attack.run import attack_files
from advcli.tasks.explain.explain_model import ExplainedModel, explain_images
from advcli.tasks.explain.request import Request, endings
from advcli.tasks.explain.run import explain_files
from advcli.threat.threat import Threat
from conftest import Command, make_classifier

METHODS = ("saliency", "gradcam")
EXPLAINERS = {method: registry.build("explainers", method) for method in METHODS}
FGSM = registry.build("attacks", "fgsm")
OCCLUSION = registry.build("explainers", "occlusion")


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


def run(classifier: Classifier | list[Classifier], files: list[Path], out: Path, **options: Any) -> list[Any]:
    """Explain files, with all maps as separate files unless told otherwise."""
    outputs = {file: out / file.stem for file in files}
    explainers, search = options.pop("explainers", EXPLAINERS), options.pop("search", None)
    report, adversarial = options.pop("report", None), options.pop("adversarial", {})
    attack = None if search is None else "fgsm"
    request = Request(
        **{"separate": True, "attack": attack, "adversarial": Path("made") if adversarial else None} | options
    )
    models = classifier if isinstance(classifier, list) else [classifier]
    explained_models = [ExplainedModel(model, explainers, request, search, adversarial) for model in models]
    return list(explain_files(explained_models, outputs, request, report=report))


def numbers(shift: Shift | None) -> list[float]:
    """Return the four numbers of a shift, for tests that allow for rounding."""
    assert shift is not None
    return [shift.spearman, shift.ssim, shift.overlap, shift.distance]


def output(record: Explained) -> Path:
    """Return the file of a map."""
    assert record.output is not None
    return Path(record.output)


def explained(events: list[Any]) -> list[Explained]:
    return [event for event in events if isinstance(event, Explained)]


def test_every_planned_file_is_written_and_recorded(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "cat.png", (24, 20))
    events = run(classifier, [file], tmp_path / "maps")
    records = explained(events)
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {
        f"cat{end}" for end in endings(Request(separate=True), EXPLAINERS)
    }
    assert [record.method for record in records] == ["saliency-positive", "saliency-negative", "gradcam"]
    probabilities = classifier.predict(to_float(images.read(file))[None])[0]
    for record in records:
        assert (record.type, record.image, record.view, record.model) == ("explained", str(file), "clean", "small")
        assert record.index == probabilities.argmax()
        assert record.label == classifier.labels[record.index]
        assert record.confidence == pytest.approx(probabilities.max())
        assert [item.index for item in record.top] == list(np.argsort(-probabilities))
        assert images.read(output(record)).shape == (19, 16, 3), "as high and wide as the image, 24 x 20"
        assert Path(record.sheet).is_file()
        assert record.maximum > 0
        assert json.loads(record.to_json())["layer"] == record.layer
    assert records[0].layer is None
    assert records[2].layer == EXPLAINERS["gradcam"].shown(classifier).layer
    assert [event.done for event in events if isinstance(event, Progress)] == [0, 1]


def test_a_sheet_of_another_process_is_kept(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "cat.png", (24, 20))
    (tmp_path / "maps").mkdir()
    sheet = tmp_path / "maps" / "cat.explain.png"
    sheet.write_text("theirs")
    events = run(classifier, [file], tmp_path / "maps", separate=False)
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert "another process has written" in failed.error
    assert sheet.read_text() == "theirs"
    assert explained(run(classifier, [file], tmp_path / "maps", separate=False, overwrite=True))
    assert images.read(sheet).size


def test_the_two_parts_of_saliency_share_a_scale(tmp_path: Path, classifier: Classifier) -> None:
    png.write(tmp_path / "a.png", np.full((16, 16, 3), 120, np.uint8))
    records = explained(run(classifier, [tmp_path / "a.png"], tmp_path / "maps"))
    relevance = EXPLAINERS["saliency"](
        classifier, to_float(images.read(tmp_path / "a.png"))[None], np.array([records[0].index]), 0
    )[0]
    assert records[0].maximum == pytest.approx(relevance.max())
    assert records[1].maximum == pytest.approx(-relevance.min())
    positive, negative = (images.read(output(record)).astype(int) for record in records[:2])
    for part, sign in ((positive, 1), (negative, -1)):
        assert (part[sign * relevance < 0] == 48).all(), "the picture is dimmed where the map has the other sign"
    order = np.argsort(np.abs(relevance), axis=None)
    together = np.where(relevance[..., None] > 0, positive, negative).reshape(-1, 3)[order]
    assert together[-1].sum() > 500, "the strongest pixel is the brightest"
    near = np.diff(np.abs(relevance).ravel()[order]) < 0.01 * np.abs(relevance).max()
    steps = np.abs(np.diff(together, axis=0)).max(axis=1)
    assert steps[near].max() < 30, "equal colours mean equal strength, whatever the sign"


def test_an_attack_adds_the_adversarial_views(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "cat.png")
    events = run(classifier, [file], tmp_path / "maps", search=FGSM, threat=Threat(eps=24 / 255))
    records = explained(events)
    planned = endings(Request(separate=True, attack="fgsm"), EXPLAINERS)
    assert {path.name for path in (tmp_path / "maps").iterdir()} == {f"cat{end}" for end in planned}
    assert [record.view for record in records] == ["clean"] * 3 + ["adversarial"] * 6
    assert [record.role for record in records] == ["predicted"] * 6 + ["original"] * 3
    clean, wrong, original = records[0], records[3], records[6]
    assert clean.index == original.index != wrong.index
    assert wrong.index == wrong.top[0].index == original.top[0].index
    assert clean.shift is clean.noise_floor is None
    for record in records[3:]:
        assert record.shift is not None
        assert record.noise_floor is not None
        assert -1 <= record.shift.spearman < 1
        assert record.noise_floor == records[3 if "saliency" in record.method else 5].noise_floor
    (flip,) = (event for event in events if isinstance(event, Flipped))
    assert (flip.before.index, flip.after.index) == (clean.index, wrong.index)
    assert flip.margin_before < 0 < flip.margin_after
    assert flip.completeness < 0.02
    assert flip.restored is not None
    assert flip.restored.index == clean.index
    assert 0 < (flip.restored_share or 0) <= 1
    assert (flip.attack, flip.norm, flip.linf) == ("fgsm", "linf", pytest.approx(24 / 255))
    with (
        Image.open(clean.sheet) as one,
        Image.open(explained(run(classifier, [file], tmp_path / "alone"))[0].sheet) as alone,
    ):
        assert one.height > 2.5 * alone.height
        assert one.width > alone.width


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
        run(classifier, [picture(tmp_path / "a.png")], tmp_path / "m", search=FGSM, threat=Threat(eps=0))
    )
    assert len(records) == 6, "the original class is the predicted one"
    assert records[0].index == records[3].index
    assert records[0].maximum == pytest.approx(records[3].maximum)
    for shift in (records[3].shift, records[3].noise_floor):
        assert numbers(shift) == pytest.approx([1, 1, 1, 0], abs=1e-6)


def test_a_map_is_compared_with_the_clean_one_of_its_class(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "a.png")
    seen = to_float(images.read(file))[None]
    true = int(classifier.predict(seen)[0].argsort()[1])
    request = Request(attack="fgsm", threat=Threat(eps=24 / 255), label=str(true))
    model = ExplainedModel(classifier, EXPLAINERS, request, FGSM)
    (explanation,) = explain_images(model, [Picture(file, images.read(file))])
    assert not isinstance(explanation, str)
    attacked = [found for found in explanation.maps if found.target.view == "adversarial"]
    assert true in {found.target.index for found in attacked}
    for found in attacked:
        index = found.target.index
        if index in (true, explanation.views[0].predicted):
            assert found.clean is not None
            expected = enlarge_maps(EXPLAINERS[found.method](classifier, seen, np.array([index]), 0), (16, 16))[0]
            np.testing.assert_allclose(found.clean, expected, atol=1e-5)
        else:
            assert found.clean is None, "it was not computed"


def test_a_class_can_be_chosen(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "a.png")
    records = explained(run(classifier, [file], tmp_path / "m", classes=("1", "kind 2"), search=FGSM))
    assert [(record.view, record.index) for record in records[::3]] == [
        ("clean", 1),
        ("adversarial", 1),
        ("clean", 2),
        ("adversarial", 2),
    ]
    assert {record.role for record in records} == {"chosen"}
    maps = {output(record).read_bytes() for record in records}
    assert len(maps) == len(records), "every class and view has its own maps"


def test_words_stand_for_classes(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "kind_3" / "a.png")
    order = np.argsort(-classifier.predict(to_float(images.read(file))[None])[0])
    records = explained(run(classifier, [file], tmp_path / "m", classes=("second", "true", "predicted")))
    assert [record.index for record in records[::3]] == [order[1], 3, order[0]][: len(records) // 3]
    assert {record.true for record in records} == {"kind 3"}
    ranked = explained(run(classifier, [file], tmp_path / "top", top=3))
    assert [record.index for record in ranked[::3]] == order[:3].tolist()
    assert [record.role for record in ranked[::3]] == ["top 1", "top 2", "top 3"]
    given = explained(run(classifier, [file], tmp_path / "given", classes=("true",), label="kind 0"))
    assert {(record.index, record.true) for record in given} == {(0, "kind 0")}


def test_a_true_class_that_nobody_knows_is_an_error_of_that_image(tmp_path: Path, classifier: Classifier) -> None:
    files = [picture(tmp_path / "somewhere" / "a.png"), picture(tmp_path / "kind 1" / "b.png")]
    events = run(classifier, files, tmp_path / "m", classes=("true",))
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert failed.image == str(files[0])
    assert "true class is not known" in failed.error
    assert {record.image for record in explained(events)} == {str(files[1])}


def test_a_contrast_is_the_difference_of_two_maps(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "a.png")
    saliency = {"saliency": EXPLAINERS["saliency"]}
    run(classifier, [file], tmp_path / "m", contrast=("0", "2"), classes=("0", "2"), raw=True, explainers=saliency)
    with np.load(tmp_path / "m" / "a.explain.npz") as values:
        assert set(values.files) == {"clean", "clean.0.saliency", "clean.2.saliency", "clean.0-2.saliency"}
        difference = values["clean.0.saliency"] - values["clean.2.saliency"]
        np.testing.assert_allclose(values["clean.0-2.saliency"], difference, atol=1e-5)
        np.testing.assert_allclose(values["clean"], to_float(images.read(file)), atol=1e-6)


@pytest.mark.parametrize("method", ["gradcam", "gradcam-plus-plus", "layercam", "scorecam"])
def test_raw_maps_of_a_layer_have_its_size(tmp_path: Path, classifier: Classifier, method: str) -> None:
    file = picture(tmp_path / "a.png")
    explainers = {method: registry.build("explainers", f"{method}:layer=relu0"), "occlusion": OCCLUSION}
    (record, _) = explained(run(classifier, [file], tmp_path / "m", raw=True, explainers=explainers))
    assert record.map_size == (8, 8)
    with np.load(tmp_path / "m" / "a.explain.npz") as values:
        found = values[f"clean.{record.index}.{method}"]
        assert found.shape == (8, 8)
        seen = to_float(images.read(file))[None]
        expected = explainers[method](classifier, seen, np.array([record.index]), 0)[0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        assert values[f"clean.{record.index}.occlusion"].shape == (16, 16), "computed on the pixels"
    assert images.read(output(record)).shape == (16, 16, 3)


def test_the_sheet_alone_is_written_unless_asked_for_more(tmp_path: Path, classifier: Classifier) -> None:
    records = explained(run(classifier, [picture(tmp_path / "a.png")], tmp_path / "m", separate=False))
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["a.explain.png"]
    assert {record.output for record in records} == {record.raw for record in records} == {None}


def test_maps_on_one_scale_are_darker_where_they_are_weaker(tmp_path: Path) -> None:
    weak = make_classifier("small:width=8", edge=16)
    kernel = weak.model.get_layer("logits").kernel
    kernel.assign(kernel.numpy() * [0.1, 1, 1, 1])
    file = picture(tmp_path / "a.png")
    saliency = {"saliency": EXPLAINERS["saliency"]}
    light = {}
    for shared in (False, True):
        out = tmp_path / str(shared)
        records = explained(run(weak, [file], out, classes=("0", "1"), shared_scale=shared, explainers=saliency))
        dimmed = 0.4 * images.read(file).mean(axis=-1, keepdims=True)
        light[shared] = [np.abs(images.read(output(record)) - dimmed).mean() for record in records]
    assert light[True][0] < 0.5 * light[False][0]
    assert max(light[True]) == pytest.approx(max(light[False]), rel=0.3)


def test_an_adversarial_image_from_a_file_is_explained(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "a.png", (24, 20))
    request = Resolved(spec="fgsm", threat=Threat(eps=24 / 255))
    (made,) = (
        event
        for event in attack_files(classifier, {file: tmp_path / "a"}, FGSM, request)
        if isinstance(event, Attacked)
    )
    found = Path(made.output or "")
    events = run(classifier, [file], tmp_path / "m", adversarial={file: found})
    (flip,) = (event for event in events if isinstance(event, Flipped))
    assert (flip.attack, flip.norm, flip.eps) == ("fgsm", "linf", 24 / 255)
    assert (flip.before.index, flip.after.index) == (made.before.index, made.after.index)
    assert flip.linf == pytest.approx(made.linf)
    other = picture(tmp_path / "b.png", (24, 20))
    (failed,) = (
        event
        for event in run(classifier, [other], tmp_path / "n", adversarial={other: found})
        if isinstance(event, Failed)
    )
    assert "was not made from this image" in failed.error
    small = picture(tmp_path / "c.png", (10, 30))
    (failed,) = (
        event
        for event in run(classifier, [small], tmp_path / "o", adversarial={small: found})
        if isinstance(event, Failed)
    )
    assert "has 20 x 24 pixels, but its clean image has 30 x 10" in failed.error


def test_a_folder_ends_with_the_statistics_of_its_groups(tmp_path: Path, classifier: Classifier) -> None:
    files = [picture(tmp_path / f"kind {i % 4}" / f"{i}.png") for i in range(8)]
    events = run(classifier, files, tmp_path / "m", search=FGSM, threat=Threat(eps=2 / 255), batch=3)
    shifted = [event for event in events if isinstance(event, Shifted)]
    groups: dict[str, list[Explained]] = {}
    for record in explained(events):
        if record.view == "adversarial" and record.method == "gradcam" and record.role == "predicted":
            before = next(r for r in explained(events) if r.image == record.image and r.view == "clean")
            right = before.label == record.true
            groups.setdefault(
                "wrong" if not right else "right" if record.label == record.true else "fooled", []
            ).append(record)
    assert "wrong" in groups
    for group, records in groups.items():
        (row,) = (r for r in shifted if (r.method, r.group, r.explained) == ("gradcam", group, "predicted"))
        moved = [record.shift.spearman for record in records if record.shift]
        assert row.images + row.flat == len(records)
        assert row.spearman == pytest.approx(np.median(moved))
        assert row.truth == "known"
    assert [event.done for event in events if isinstance(event, Progress)] == [0, 3, 6, 8]


def test_an_image_is_explained_alike_whatever_stands_beside_it(tmp_path: Path, classifier: Classifier) -> None:
    files = [picture(tmp_path / f"{i}.png") for i in range(3)]
    together = explained(run(classifier, files, tmp_path / "m", search=FGSM, threat=Threat(eps=24 / 255)))
    alone = explained(run(classifier, files[1:2], tmp_path / "n", search=FGSM, threat=Threat(eps=24 / 255)))
    beside = [record for record in together if record.image == str(files[1])]
    for one, other in zip(alone, beside, strict=True):
        assert one.maximum == pytest.approx(other.maximum, rel=1e-4)
        assert (one.noise_floor is None) == (one.view == "clean")
        if one.noise_floor is not None:
            assert numbers(one.noise_floor) == pytest.approx(numbers(other.noise_floor), abs=1e-3)


def test_models_are_compared_on_the_same_image(tmp_path: Path, classifier: Classifier) -> None:
    other = replace(make_classifier("small:width=4", edge=24), name="other")
    file = picture(tmp_path / "a.png")
    events = run([classifier, other], [file], tmp_path / "m", search=FGSM, threat=Threat(eps=24 / 255))
    records = explained(events)
    assert list(dict.fromkeys(record.model for record in records)) == ["small", "other"]
    assert len({record.sheet for record in records}) == 1
    written = [record.output for record in records if record.output]
    assert len(set(written)) == len(written)
    assert {images.read(Path(record.output)).shape[0] for record in records if record.output} == {16, 24}


def test_the_page_holds_everything_and_needs_nothing(tmp_path: Path, classifier: Classifier) -> None:
    named = replace(classifier, labels=("<script>alert(1)</script>", "b & c", "模型", "d"))
    files = [picture(tmp_path / f"{name}.png") for name in ("a", "<b>", "c")]
    page = tmp_path / "m" / "index.html"
    run(named, files, tmp_path / "m", search=FGSM, threat=Threat(eps=24 / 255), report=page)
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text), "nothing is loaded"
    assert text.count("<article") == 3
    for number in (1, 2, 3):
        assert f'href="#image-{number}"' in text
        assert f'id="image-{number}"' in text
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
    assert len(pictures) >= 3 * 6
    for content in pictures:
        Image.open(io.BytesIO(base64.b64decode(content))).load()
    run(named, files, tmp_path / "n", search=FGSM, threat=Threat(eps=24 / 255), report=tmp_path / "n" / "index.html")
    assert page.read_bytes() == (tmp_path / "n" / "index.html").read_bytes()


def test_the_page_tells_the_outcome_of_each_model(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "a.png")
    other = replace(make_classifier("small:width=4", edge=16), name="other")
    page = tmp_path / "m" / "index.html"
    classes = [int(model.predict(to_float(images.read(file))[None]).argmax()) for model in (classifier, other)]
    label = next(index for index in range(4) if index not in classes)
    options = {"search": FGSM, "threat": Threat(eps=1 / 255), "label": str(label)}
    run([classifier, other], [file], tmp_path / "m", report=page, **options)
    text = re.sub(r"\s*</?bdi[^>]*>", "", page.read_text(encoding="utf-8"))
    for name, index in zip(("small", "other"), classes, strict=True):
        assert re.search(rf"outcome of {name}\W.{{,80}}1 wrong", text, re.DOTALL)
        assert re.search(rf'class="wrong">kind {index} [\d.]+%</span>, is <span class="original">kind {label}<', text)
    assert not re.search(r'class="original">kind \d [\d.]+%', text), "nobody is right"


def test_a_sum_that_misses_much_is_warned_of(
    tmp_path: Path, classifier: Classifier, caplog: pytest.LogCaptureFixture
) -> None:
    file = picture(tmp_path / "a.png")
    for steps in (1, 64):
        caplog.clear()
        coarse = {"integrated-gradients": registry.build("explainers", f"integrated-gradients:steps={steps}")}
        (record,) = explained(run(classifier, [file], tmp_path / str(steps), explainers=coarse))
        assert record.completeness is not None
        warned = [each.message for each in caplog.records if each.levelname == "WARNING"]
        assert (record.completeness > 0.05) == bool(warned) == (steps == 1)
        assert all(f"sum off by {record.completeness:.1%}" in message for message in warned)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, classifier: Classifier) -> None:
    file = picture(tmp_path / "a.png")
    for out in ("one", "two"):
        run(classifier, [file], tmp_path / out, search=FGSM, seed=3)
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
    records = explained(run(grey, files, tmp_path / "maps", search=FGSM))
    assert len(records) in (12, 15, 18), "three maps of each view, and three more where one is fooled"
    assert {record.image for record in records} == set(map(str, files))


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


@dataclass(frozen=True)
class NoNumbers(Explainer):
    """Returns maps that are not numbers."""

    def __call__(self, classifier: Any, images: Any, classes: Any, seed: int, against: Any = None) -> np.ndarray:
        return np.full(images.shape[:3], np.nan)


def test_a_map_that_is_no_numbers_is_an_error_of_that_image(tmp_path: Path, small: Classifier) -> None:
    broken = replace(small, name="broken")
    events = run(broken, [picture(tmp_path / "a.png")], tmp_path / "maps", explainers={"saliency": NoNumbers()})
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert "saliency map of 'broken' contains NaN" in failed.error
    assert not (tmp_path / "maps").exists()


def test_a_gradient_that_is_no_number_counts_as_zero(tmp_path: Path) -> None:
    # The root of nothing is nothing, but its slope is infinite.
    image = keras.Input((16, 16, 3))
    rooted = keras.ops.sqrt(keras.ops.relu(image - 2.0))
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(rooted)))
    classifier = Classifier("rooted", model, ("a", "b", "c", "d"), (16, 16))
    saliency = {"saliency": EXPLAINERS["saliency"]}
    records = explained(run(classifier, [picture(tmp_path / "a.png")], tmp_path / "maps", explainers=saliency))
    assert [record.evidence for record in records] == [False, False]


def test_a_map_without_evidence_is_said_and_not_drawn(tmp_path: Path) -> None:
    model = foreign.build("flat", "logits")
    model.get_layer("scores").kernel.assign(-np.ones((6, 4)))
    against = wrap(model, "m", input_range=(0, 1))
    records = explained(run(against, [picture(tmp_path / "a.png")], tmp_path / "maps"))
    assert (records[2].maximum, records[2].evidence, records[2].output) == (0, False, None)
    assert records[0].evidence
    assert not (tmp_path / "maps" / "a.gradcam.png").exists()


def test_a_model_that_ignores_its_input_gives_no_evidence(tmp_path: Path) -> None:
    model = foreign.build("flat", "logits")
    model.get_layer("scores").kernel.assign(np.zeros((6, 4)))
    blind = wrap(model, "m", input_range=(0, 1))
    records = explained(run(blind, [picture(tmp_path / "a.png")], tmp_path / "maps", search=FGSM))
    assert not any(record.evidence for record in records)
    assert {record.shift for record in records} == {None}
    assert [path.name for path in (tmp_path / "maps").iterdir()] == ["a.explain.png"]


@pytest.mark.parametrize("size", [(7, 40), (40, 7), (1, 1)])
def test_an_image_too_small_is_an_error_of_that_image(
    tmp_path: Path, classifier: Classifier, size: tuple[int, int]
) -> None:
    events = run(classifier, [picture(tmp_path / "a.png", size), picture(tmp_path / "b.png", (8, 8))], tmp_path / "m")
    (failed,) = (event for event in events if isinstance(event, Failed))
    assert failed.error == f"an image of {size[1]} x {size[0]} pixels is too small to explain: 8 at least"
    assert len(explained(events)) == 3


def test_a_model_of_tiny_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AdvcliError, match="takes images of 4 pixels a side: too small"):
        run(make_classifier("linear", edge=4), [picture(tmp_path / "a.png")], tmp_path / "m")


def test_names_in_any_script_reach_the_sheet(tmp_path: Path, classifier: Classifier) -> None:
    named = replace(classifier, labels=("$x_1$ costs $5", "кот", "模型", "long " * 40))
    file = picture(tmp_path / "图 $a$.png")
    records = explained(run(named, [file], tmp_path / "maps", search=FGSM))
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
    maps = [line for line in lines if line["type"] == "explained"]
    assert [line["layer"] for line in maps[:6]] == [None, None, "relu"] * 2


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
    relevance = images.read(output(records[2])).astype(int)
    coloured = np.ptp(relevance, axis=-1) > 60
    # The barn fills the right half, halfway down.
    assert coloured[:, 112:].mean() > 2 * coloured[:, :112].mean()
