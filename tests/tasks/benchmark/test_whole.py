"""An evaluation as a whole: what it says, what its file holds, and that it goes on where it was stopped."""

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from advcli import registry
from advcli.backend import keras, tf
from advcli.data.decoded import to_float
from advcli.errors import UsageError
from advcli.model.load import load
from advcli.records import Calibration, Progress, Record, Score, Verdicts
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.benchmark import measure as evaluation
from advcli.tasks.benchmark.merge_shards import merge
from advcli.tasks.benchmark.request import Execution, Shard
from advcli.tasks.benchmark.run import evaluate, run
from advcli.threat.threat import Norm, Threat
from conftest import Command
from evaluations import IMAGES, close, lines, records, request, untimed


@pytest.fixture(scope="module")
def whole(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], Path]:
    """An evaluation with everything, never stopped, and its file."""
    file = tmp_path_factory.mktemp("whole") / "whole.jsonl"
    asked = request(evaluated, transfer=True, certify="sigma=0.1,n=20,n0=5", per_class=True)
    return records(asked, out=file), file


def everything(evaluated: Path):
    return request(evaluated, transfer=True, certify="sigma=0.1,n=20,n0=5", per_class=True)


def score(found: list[Record], model: str, perturbation: str, eps: float | None = None, severity: int | None = None):
    (one,) = [
        record
        for record in found
        if isinstance(record, Score)
        and (record.model, record.perturbation, record.eps, record.severity) == (model, perturbation, eps, severity)
    ]
    return one


def test_scores_are_what_attacks_and_models_say(evaluated: Path, whole: tuple[list[Record], Path]) -> None:
    found, _ = whole
    content = np.load(evaluated / "data.npz")
    pixels, labels = to_float(content["x_test"]), content["y_test"]
    classifier = load(evaluated / "first.keras", "first").inference_copy
    correct = classifier.predict(pixels).argmax(axis=1) == labels
    assert score(found, "first", "clean").correct == correct.sum() == IMAGES - IMAGES // 8
    pgd = dataclasses.replace(registry.build("attacks", "pgd:steps=3"), stop=True)
    adversarial, _ = CompiledAttack(classifier, pgd, Threat(eps=0.05))(pixels, labels.astype(np.int32))
    still = correct & (classifier.predict(adversarial).argmax(axis=1) == labels)
    assert still.sum() < correct.sum()
    assert score(found, "first", "pgd:steps=3", 0.05).correct == still.sum()
    assert score(found, "first", "pgd:steps=3", 0.0).correct == correct.sum()
    brighter = np.floor(np.clip(pixels + 0.05, 0, 1) * 255) / 255
    seen = (classifier.predict(brighter.astype(np.float32)).argmax(axis=1) == labels).sum()
    # Brightness is the V of HSV, which is not the same on every channel; but near it.
    assert abs(score(found, "first", "brightness", severity=1).correct - seen) <= 4


def test_the_worst_case_is_never_better_than_any_attack(whole: tuple[list[Record], Path]) -> None:
    found, _ = whole
    for model in ("first", "second"):
        for eps in (0.0, 0.05):
            each = [score(found, model, spec, eps).correct for spec in ("fgsm", "pgd:steps=3")]
            assert score(found, model, "worst", eps).correct <= min(each)


def test_a_perturbation_is_made_once_for_all_models_of_one_size(
    evaluated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    original = evaluation.changed

    def counted(perturbation, seed: int) -> Callable[[np.ndarray], np.ndarray]:
        change = original(perturbation, seed)

        def noted(pixels: np.ndarray) -> np.ndarray:
            made.append(perturbation.spec)
            return change(pixels)

        return noted

    monkeypatch.setattr(evaluation, "changed", counted)
    records(request(evaluated, attacks=(), noises=(), corruptions=("brightness",), severities=(3,)))
    assert made.count("brightness") == made.count("clean") == IMAGES // 8


def test_the_file_holds_the_protocol_every_batch_and_the_records(whole: tuple[list[Record], Path]) -> None:
    found, file = whole
    content = lines(file)
    assert content[0]["type"] == "protocol"
    kinds = [line["type"] for line in content]
    assert {"verdicts", "smoothed", "score", "compared", "class_score", "transferred", "certified"} <= set(kinds)
    assert content[-len(found) :] == untimed(found)
    clean = [line for line in content if line["type"] == "verdicts" and line["perturbation"] == "clean"]
    assert sorted(i for line in clean if line["model"] == "first" for i in line["indices"]) == list(range(IMAGES))


@pytest.mark.parametrize("stopped_after", [0, 33, 101])
def test_a_stopped_evaluation_goes_on_to_the_same_file(
    evaluated: Path, whole: tuple[list[Record], Path], tmp_path: Path, stopped_after: int
) -> None:
    _, file = whole
    content = file.read_bytes().splitlines(keepends=True)
    assert len(content) > 120
    stopped = tmp_path / "stopped.jsonl"
    # Cut in the middle of a line.
    stopped.write_bytes(b"".join(content[: 1 + stopped_after]) + content[1 + stopped_after][:25])
    records(everything(evaluated), resume=stopped)
    assert lines(stopped) == lines(file)


def test_nothing_is_measured_twice(evaluated: Path, whole: tuple[list[Record], Path], tmp_path: Path) -> None:
    _, file = whole
    again = tmp_path / "again.jsonl"
    again.write_bytes(file.read_bytes())
    records(everything(evaluated), resume=again)
    # Every time is as it was: nothing was measured anew.
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"attacks": ("fgsm", "pgd:steps=4")}, "pgd:steps=3"),
        ({"seed": 1}, "seed: 0 there, 1 here"),
        ({"threats": (("linf", 0.02),)}, "perturbations"),
        ({"severities": (1, 4)}, "severity 5"),
        ({"first": 30}, "images: 40 there, 30 here"),
        ({"certify": "sigma=0.2,n=20,n0=5"}, "sigma=0.2"),
    ],
)
def test_results_of_something_else_are_refused(
    evaluated: Path, whole: tuple[list[Record], Path], changes: dict, difference: str
) -> None:
    _, file = whole
    before = file.read_bytes()
    asked = dataclasses.replace(everything(evaluated), **changes)
    with pytest.raises(UsageError, match="is of another evaluation") as refused:
        records(asked, resume=file)
    assert difference in refused.value.message
    assert file.read_bytes() == before


def test_results_of_another_model_or_other_images_are_refused(
    evaluated: Path, whole: tuple[list[Record], Path], tmp_path: Path
) -> None:
    _, file = whole
    for name in ("first.keras", "second.keras", "data.npz"):
        (tmp_path / name).write_bytes((evaluated / name).read_bytes())
    content = dict(np.load(evaluated / "data.npz"))
    content["x_test"][0, 0, 0, 0] ^= 1
    np.savez(tmp_path / "data.npz", **content)
    with pytest.raises(UsageError, match="pixels"):
        records(everything(tmp_path), resume=file)
    (tmp_path / "data.npz").write_bytes((evaluated / "data.npz").read_bytes())
    classifier = load(tmp_path / "second.keras", "second")
    classifier.model.weights[1].assign_add(tf.ones(4) * 1e-3)
    classifier.save(tmp_path / "second.keras")
    with pytest.raises(UsageError, match=r"models: name second fingerprint \w+"):
        records(everything(tmp_path), resume=file)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def error_by_definition(probabilities: np.ndarray, labels: np.ndarray) -> float:
    confidence, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    parts = np.array_split(np.argsort(confidence), 15)
    return sum(len(part) * abs(confidence[part].mean() - correct[part].mean()) for part in parts) / len(labels)


@pytest.mark.parametrize(("perturbation", "eps"), [("clean", None), ("pgd:steps=3", 0.05), ("worst", 0.05)])
def test_calibration_is_that_of_the_keras_model_on_the_very_pixels(
    evaluated: Path, whole: tuple[list[Record], Path], perturbation: str, eps: float | None
) -> None:
    (found,) = [
        record
        for record in whole[0]
        if isinstance(record, Calibration)
        and (record.model, record.perturbation, record.eps) == ("first", perturbation, eps)
    ]
    content = np.load(evaluated / "data.npz")
    pixels, labels = to_float(content["x_test"]), content["y_test"].astype(np.int32)
    model = keras.saving.load_model(evaluated / "first.keras")
    clean = softmax(np.asarray(model(pixels, training=False), np.float64))
    correct = clean.argmax(axis=1) == labels
    attacks = {"clean": (), "worst": ("fgsm", "pgd:steps=3")}.get(perturbation, (perturbation,))
    candidates = []
    for spec in attacks:
        attack = registry.build("attacks", spec).verdict_only()
        classifier = load(evaluated / "first.keras", "first").inference_copy
        adversarial, _ = CompiledAttack(classifier, attack, Threat(eps=0.05))(pixels[correct], labels[correct])
        answers = clean.copy()
        answers[correct] = softmax(np.asarray(model(adversarial, training=False), np.float64))
        candidates.append(answers)
    believed = clean.copy()
    for image, label in enumerate(labels):
        # The attack that fools the model, of several the one with the largest loss.
        ranked = [
            ((each[image].argmax() != label), -each[image, label], number) for number, each in enumerate(candidates)
        ]
        if ranked:
            believed[image] = candidates[max(ranked)[2]][image]
    if attacks:
        assert error_by_definition(believed, labels) > error_by_definition(clean, labels) + 0.05
    predicted, confidence = believed.argmax(axis=1), believed.max(axis=1)
    assert found.images == IMAGES
    assert found.ece == pytest.approx(error_by_definition(believed, labels), abs=2e-6)
    assert found.nll == pytest.approx(log_loss(labels, believed, labels=range(4)), rel=2e-5)
    assert found.brier == pytest.approx(np.square(believed - np.eye(4)[labels]).sum(axis=1).mean(), rel=2e-5)
    assert found.confidence_when_wrong == pytest.approx(confidence[predicted != labels].mean(), rel=2e-5)
    right = predicted == labels
    assert found.auroc == (pytest.approx(roc_auc_score(right, confidence)) if right.any() else None)
    surest = np.argsort(-confidence)[: int(0.9 * IMAGES)]
    assert found.accuracy_at_90_coverage == pytest.approx((predicted == labels)[surest].mean())


def test_results_without_confidences_are_still_read(
    evaluated: Path, whole: tuple[list[Record], Path], tmp_path: Path
) -> None:
    found, file = whole
    older = tmp_path / "older.jsonl"
    dropped = {"confidence", "log_loss", "squared_error", "checksum"}
    content = [json.loads(line) for line in file.read_text().splitlines()]
    older.write_text("".join(json.dumps({k: v for k, v in x.items() if k not in dropped}) + "\n" for x in content))
    merged = [event for event in merge([older], everything(evaluated), Execution()) if isinstance(event, Record)]
    assert untimed(merged) == [line for line in untimed(found) if line["type"] != "calibration"]


def shards(evaluated: Path, folder: Path, of: int) -> list[Path]:
    files = [folder / f"{number}.jsonl" for number in range(1, of + 1)]
    for number, file in enumerate(files, 1):
        records(everything(evaluated), out=file, shard=Shard(number, of))
    return files


def test_shards_are_joined_where_the_models_are_not(evaluated: Path, tmp_path: Path, advcli: Command) -> None:
    for name in ("first.keras", "second.keras", "data.npz"):
        shutil.copy(evaluated / name, tmp_path)
    quick = ("first.keras", "second.keras", "--data", "data.npz", "--attack", "fgsm", "--eps", "0.05", "--no-checks")
    for number in (1, 2):
        found = advcli("benchmark", *quick, "--shard", f"{number}/2", "--out", f"{number}.jsonl")
        assert found.returncode == 0, found.stderr
    for name in ("first.keras", "second.keras"):
        (tmp_path / name).unlink()
    merged = advcli("benchmark", "--merge", "1.jsonl", "2.jsonl", "--relative-to", "first", "--json")
    assert merged.returncode == 0, merged.stderr
    scores = [line for line in map(json.loads, merged.stdout.splitlines()) if line["type"] == "score"]
    assert {(line["model"], line["perturbation"], line["images"]) for line in scores} >= {
        (model, name, 40) for model in ("first", "second") for name in ("clean", "fgsm")
    }
    refused = advcli("benchmark", "--merge", "1.jsonl", "2.jsonl", "--relative-to", "frist")
    assert refused.returncode == 2 and "did you mean 'first'" in refused.stderr


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"attacks": (), "eps": ("2/255",), "threats": None}, "--eps has no effect"),
        ({"attacks": (), "norms": (Norm.L2,), "threats": None}, "--norm has no effect"),
        ({"attacks": (), "surrogate": "first"}, "--surrogate has no effect"),
        ({"attacks": (), "transfer": True}, "--transfer has no effect"),
        ({"corruptions": (), "severities": (3,)}, "--severity has no effect"),
        ({"corruptions": (), "severities": (1, 2, 3, 4, 5), "relative_to": "first"}, "--relative-to has no effect"),
    ],
)
def test_what_would_have_no_effect_is_refused(evaluated: Path, changes: dict[str, Any], fault: str) -> None:
    if changes.get("surrogate"):
        changes = {**changes, "surrogate": str(evaluated / "first.keras")}
    with pytest.raises(UsageError, match=fault):
        evaluate(request(evaluated, **changes), Execution())


def test_shards_join_to_the_whole(evaluated: Path, whole: tuple[list[Record], Path], tmp_path: Path) -> None:
    found, file = whole
    files = shards(evaluated, tmp_path, 3)
    joined = tmp_path / "joined.jsonl"
    asked = everything(evaluated)
    merged = [
        event
        for event in merge([files[2], files[0], files[1]], asked, Execution(out=joined))
        if isinstance(event, Record)
    ]
    assert untimed(merged) == close(untimed(found))
    # What was joined is of the same images as the whole, can be gone on with, and joined again.
    assert lines(joined)[0] == lines(file)[0]
    records(everything(evaluated), resume=joined)
    assert untimed(merged) == lines(joined)[-len(merged) :]
    again = [event for event in merge([joined], asked, Execution()) if isinstance(event, Record)]
    assert untimed(again) == untimed(merged)
    with pytest.raises(UsageError, match="shards are missing: 2"):
        list(merge([files[0], files[2]], asked, Execution()))
    with pytest.raises(UsageError, match="are the same shard 1/3"):
        list(merge([files[0], files[0], files[1], files[2]], asked, Execution()))
    cut = files[1].read_bytes().splitlines(keepends=True)
    files[1].write_bytes(b"".join(cut[:9]))
    with pytest.raises(UsageError, match="there are no results of"):
        list(merge(files, asked, Execution()))
    other = tmp_path / "other.jsonl"
    records(request(evaluated), out=other, shard=Shard(2, 3))
    with pytest.raises(UsageError, match="is of another evaluation"):
        list(merge([files[0], other, files[2]], asked, Execution()))


def test_progress_says_which_model_and_perturbation(evaluated: Path) -> None:
    events = run(request(evaluated, noises=(), severities=(5,)), Execution())
    said = {event.what for event in events if isinstance(event, Progress)}
    assert {"first: clean", "second: brightness 5", "second: pgd:steps=3, Linf 0.05"} <= said


def test_batches_are_kept_one_by_one(evaluated: Path, tmp_path: Path) -> None:
    file = tmp_path / "kept.jsonl"
    events = run(request(evaluated, models=(str(evaluated / "first.keras"),)), Execution(out=file))
    seen = set()
    for event in events:
        if isinstance(event, Progress) and event.what == "first: pgd:steps=3, Linf 0.05":
            kept = [json.loads(line) for line in file.read_text().splitlines()]
            done = [
                line for line in kept if line["perturbation" if "perturbation" in line else "type"] == "pgd:steps=3"
            ]
            seen.add(len([line for line in done if line["eps"] == 0.05]))
    assert seen == set(range(len(seen)))
    assert len(seen) > 3


def test_a_file_is_written_by_one_process(evaluated: Path, whole: tuple[list[Record], Path], tmp_path: Path) -> None:
    _, done = whole
    file = tmp_path / "shared.jsonl"
    file.write_bytes(done.read_bytes())
    events = run(everything(evaluated), Execution(resume=file))
    while isinstance(next(events), Progress):
        pass
    for how in ("resume", "out"):
        with pytest.raises(UsageError, match="another process is writing"):
            records(everything(evaluated), **{how: file})
    del events


def test_a_damaged_line_costs_its_own_batch(evaluated: Path, whole: tuple[list[Record], Path], tmp_path: Path) -> None:
    found, done = whole
    damaged = tmp_path / "damaged.jsonl"
    content = done.read_bytes().splitlines(keepends=True)
    content[4] = content[4][:30] + b"\n"
    damaged.write_bytes(b"".join(content))
    assert untimed(records(everything(evaluated), resume=damaged)) == untimed(found)
    again = damaged.read_bytes().splitlines(keepends=True)
    verdicts = sum(json.loads(line)["type"] in ("protocol", "verdicts", "smoothed") for line in done.open())
    assert again[:verdicts] == content[:verdicts]
    anew = {key: value for key, value in json.loads(again[verdicts]).items() if key not in ("seconds", "checksum")}
    assert anew == lines(done)[4]


def test_images_that_cannot_be_read_are_left_out_of_all(evaluated: Path, tmp_path: Path) -> None:
    from PIL import Image

    content = np.load(evaluated / "data.npz")
    for number, (pixels, label) in enumerate(zip(content["x_test"], content["y_test"], strict=True)):
        for part in ("train", "test"):
            place = tmp_path / "photos" / part / ("cat", "dog", "owl", "fox")[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{number:02}.png")
    broken = next((tmp_path / "photos" / "test" / "dog").iterdir())
    broken.write_bytes(b"no image")
    asked = request(evaluated, data=str(tmp_path / "photos"), skip_bad=True, noises=(), corruptions=())
    file = tmp_path / "left.jsonl"
    found = [event for event in run(asked, Execution(out=file, junit=tmp_path / "j.xml")) if isinstance(event, Record)]
    assert score(found, "first", "clean").images == IMAGES - 1
    assert f'name="images" value="{IMAGES - 1}"' in (tmp_path / "j.xml").read_text()
    indices = [i for line in lines(file) if line["type"] == Verdicts.type for i in line["indices"]]
    assert len(set(indices)) == IMAGES - 1
    assert max(indices) == IMAGES - 1


def suite(found: list[Record]) -> Score:
    (one,) = [record for record in found if isinstance(record, Score) and record.perturbation.startswith("autoattack")]
    return one


def test_what_each_member_of_a_suite_fooled_outlives_a_stop_and_shards(evaluated: Path, tmp_path: Path) -> None:
    asked = request(
        evaluated, models=(str(evaluated / "first.keras"),), threats=(("linf", 0.01),), noises=(), corruptions=(),
        attacks=("autoattack:version=rand,eot=1",), first=20, batch=4,
    )  # fmt: skip
    file = tmp_path / "whole.jsonl"
    whole = suite(records(asked, out=file))
    clean = score(records(dataclasses.replace(asked, attacks=())), "first", "clean").correct
    assert whole.fooled_by is not None
    assert list(whole.fooled_by) == ["apgd:loss=ce", "apgd:loss=dlr"]
    assert sum(whole.fooled_by.values()) == clean - whole.correct > 0
    content = file.read_bytes().splitlines(keepends=True)
    stopped = tmp_path / "stopped.jsonl"
    # The protocol, five batches of clean images, two of five batches under attack.
    stopped.write_bytes(b"".join(content[:8]))
    assert untimed([suite(records(asked, resume=stopped))]) == untimed([whole])
    parts = [tmp_path / f"{number}.jsonl" for number in (1, 2)]
    for number, part in enumerate(parts, 1):
        records(asked, out=part, shard=Shard(number, 2))
    merged = suite([event for event in merge(parts, asked, Execution()) if isinstance(event, Record)])
    assert untimed([merged]) == untimed([whole])
    # Files from before this was kept say nothing of it.
    old = [json.loads(line) for line in content]
    stopped.write_text(
        "".join(
            json.dumps({k: v for k, v in line.items() if k not in ("members", "checksum")}) + "\n" for line in old[:8]
        )
    )
    assert suite(records(asked, resume=stopped)).fooled_by is None
