"""What an evaluation attacked is kept: the very images that were judged, and 8-bit PNGs with their records."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli.errors import AdvcliError, UsageError
from advcli.files import png
from advcli.model.load import load
from advcli.records import Exported, Progress, Record, Score
from advcli.records.attacking import COUNTED
from advcli.tasks.benchmark.export import folder_names
from advcli.tasks.benchmark.request import Execution
from advcli.tasks.benchmark.run import evaluate
from evaluations import NAMES, lines, records, request

RECHECK = Path(__file__).parent.parent / "examples" / "recheck.py"
PGD = "pgd-steps=3-Linf-0.01"


def asked(folder: Path, **changes: Any) -> Any:
    usual: dict[str, Any] = {
        "noises": (),
        "corruptions": (),
        "attacks": ("fgsm", "pgd:steps=3"),
        "threats": (("linf", 0.01),),
    }
    return request(folder, **(usual | changes))


def recheck(model: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run the example."""
    return subprocess.run([sys.executable, RECHECK, model, folder], capture_output=True, text=True, check=False)


def batches(folder: Path) -> dict[str, np.ndarray]:
    """Read all batches of one attack."""
    files = [np.load(file) for file in sorted(folder.glob("images-*.npz"))]
    return {name: np.concatenate([file[name] for file in files]) for name in ("images", "indices", "predicted")}


@pytest.fixture(scope="module")
def exported(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    folder = tmp_path_factory.mktemp("exported")
    found = records(asked(evaluated), export=folder / "kept", out=folder / "results.jsonl")
    return folder, found


def test_plain_keras_agrees_with_every_verdict_of_the_table(
    evaluated: Path, exported: tuple[Path, list[Record]]
) -> None:
    folder, found = exported
    table = {
        each.perturbation: each.correct
        for each in found
        if isinstance(each, Score) and each.model == "first" and each.perturbation in ("fgsm", "pgd:steps=3")
    }
    agreed = recheck(evaluated / "first.keras", folder / "kept" / "adversarial" / "first")
    assert agreed.returncode == 0, agreed.stdout + agreed.stderr
    seen = {}
    for line in agreed.stdout.splitlines():
        match = re.fullmatch(r"(.+)-Linf-0.01: (\d+) still correct, 0 verdicts differ, (.+) away at most", line)
        assert match, line
        seen[match[1].replace("pgd-", "pgd:")] = int(match[2])
        assert 0.0099 < float(match[3]) <= 0.0101
    assert seen == table
    assert 0 < min(table.values()) < 35
    # Another model does not agree: the check can fail.
    assert recheck(evaluated / "first.keras", folder / "kept" / "adversarial" / "second").returncode == 1


def test_the_images_are_those_whose_verdicts_are_in_the_results(
    evaluated: Path, exported: tuple[Path, list[Record]]
) -> None:
    folder, found = exported
    verdicts = [line for line in lines(folder / "results.jsonl") if line["type"] == "verdicts"]
    classifier = load(evaluated / "first.keras", "first")
    kept = batches(folder / "kept" / "adversarial" / "first" / PGD)
    assert kept["images"].dtype == np.float32
    # Rounded to 8 bits they would be others.
    assert np.abs(kept["images"] * 255 - np.rint(kept["images"] * 255)).max() > 0.1
    judged = {
        index: predicted
        for line in verdicts
        if (line["model"], line["perturbation"], line["eps"]) == ("first", "pgd:steps=3", 0.01)
        for index, predicted in zip(line["indices"], line["predicted"], strict=True)
    }
    assert dict(zip(kept["indices"].tolist(), kept["predicted"].tolist(), strict=True)) == judged
    assert np.array_equal(classifier.classes(kept["images"]), kept["predicted"])
    told = {each.output: each.images for each in found if isinstance(each, Exported)}
    assert told[str(folder / "kept" / "adversarial" / "first" / PGD)] == len(judged)
    # Every batch is a file of its own.
    assert len(list((folder / "kept" / "adversarial" / "first" / PGD).glob("images-*.npz"))) == -(-len(judged) // 8)


def test_each_png_carries_a_record_about_its_own_pixels(evaluated: Path, exported: tuple[Path, list[Record]]) -> None:
    folder, _ = exported
    classifier = load(evaluated / "first.keras", "first")
    pictures = sorted((folder / "kept" / "adversarial" / "first" / PGD).glob("*.adv.png"))
    assert len(pictures) == len(batches(pictures[0].parent)["indices"])
    clean = np.load(evaluated / "data.npz")["x_test"]
    fooled = 0
    for file in pictures:
        pixels, record = png.read(file), png.record_in(file)
        assert png.kind_in(file) == "adversarial"
        assert (record["type"], record["attack"], record["output"]) == ("attacked", "pgd:steps=3", file.name)
        answer = int(classifier.predict(pixels[None] / np.float32(255)).argmax())
        assert json.loads(json.dumps(record["after"]))["label"] == NAMES[answer]
        assert record["fooled"] == (NAMES[answer] != record["label"])
        away = np.abs(pixels.astype(int) - clean[int(file.name.split(".")[0])]).max()
        assert away == round(float(str(record["linf"])) * 255) <= 0.01 * 255
        fooled += bool(record["fooled"])
    assert fooled


def test_the_record_of_a_counted_norm_counts(evaluated: Path, tmp_path: Path) -> None:
    attack, threats = "sparse-rs:queries=40", (("l0", 5.0),)
    records(asked(evaluated, attacks=(attack,), threats=threats), export=tmp_path, out=tmp_path / "results.jsonl")
    clean = np.load(evaluated / "data.npz")["x_test"]
    pictures = sorted((tmp_path / "adversarial" / "first").rglob("*.adv.png"))
    assert pictures
    for file in pictures:
        pixels, record = png.read(file), png.record_in(file)
        changed = int((pixels != clean[int(file.name.split(".")[0])]).any(axis=-1).sum())
        assert (record["norm"], record["l0"], record["lengths"]) == ("l0", changed, COUNTED)
        assert changed <= 5


def interrupt(asked_for: Any, **how: Any) -> None:
    """Carry out an evaluation up to the second batch of its second attack."""
    for event in evaluate(asked_for, Execution(**how)):
        if isinstance(event, Progress) and event.what.startswith("first: pgd:steps=3, Linf 0.01") and event.done:
            return
    pytest.fail("nothing was interrupted")


def test_a_resumed_export_is_that_of_one_call(
    evaluated: Path, exported: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, _ = exported
    part, results = tmp_path / "kept", tmp_path / "results.jsonl"
    interrupt(asked(evaluated), export=part, out=results)
    whole = sorted(file.relative_to(folder / "kept") for file in (folder / "kept").rglob("*.npz"))
    before = sorted(part.rglob("*.npz"))
    assert 0 < len(before) < len(whole)
    # Images were written and the call was killed before their verdicts were: they are attacked again.
    lone = next(file for file in whole if not (part / file).exists() and PGD in str(file))
    shutil.copy(folder / "kept" / lone, part / lone)
    records(asked(evaluated), export=part, resume=results)
    assert sorted(file.relative_to(part) for file in part.rglob("*.npz")) == whole
    for file in whole:
        with np.load(part / file) as own, np.load(folder / "kept" / file) as other:
            assert all(np.array_equal(own[name], other[name]) for name in other.files)


def test_images_attacked_before_that_are_not_there_are_refused(evaluated: Path, tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    interrupt(asked(evaluated), out=results)
    with pytest.raises(AdvcliError, match="are not in") as error:
        records(asked(evaluated), export=tmp_path / "kept", resume=results)
    assert "without --export" in error.value.hint


def test_images_of_another_evaluation_are_refused(
    evaluated: Path, exported: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    folder, _ = exported
    shutil.copytree(folder / "kept", tmp_path / "kept")
    shutil.copy(folder / "results.jsonl", tmp_path / "results.jsonl")
    file = next((tmp_path / "kept").rglob(f"{PGD}/images-*.npz"))
    with np.load(file) as content:
        other = {name: content[name] for name in content.files} | {"predicted": content["predicted"] + 1}
    np.savez(file, **other)
    with pytest.raises(AdvcliError, match="is of another evaluation"):
        records(asked(evaluated), export=tmp_path / "kept", resume=tmp_path / "results.jsonl")
    file.write_bytes(b"no archive")
    with pytest.raises(AdvcliError, match="cannot read"):
        records(asked(evaluated), export=tmp_path / "kept", resume=tmp_path / "results.jsonl")


def test_overwriting_leaves_no_images_of_the_evaluation_before(evaluated: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    quick: dict[str, Any] = {"models": (str(evaluated / "first.keras"),), "attacks": ("fgsm",)}
    list(evaluate(asked(evaluated, **quick), Execution(export=kept)))
    with pytest.raises(UsageError, match="is not empty"):
        evaluate(asked(evaluated, **quick), Execution(export=kept))
    list(evaluate(asked(evaluated, **quick, first=3), Execution(export=kept, overwrite=True)))
    for place in (kept / "adversarial" / "first").iterdir():
        assert batches(place)["indices"].max() < 3
        assert len(list(place.glob("*.png"))) == len(batches(place)["indices"])


def test_a_time_budget_keeps_each_image_once(evaluated: Path, tmp_path: Path) -> None:
    kept, results = tmp_path / "kept", tmp_path / "results.jsonl"
    records(asked(evaluated, attacks=("fgsm",)), export=kept, out=results, budget=1.0)
    # What is left after the time budget is attacked in other batches.
    found = records(asked(evaluated, attacks=("fgsm",)), export=kept, resume=results)
    counts = {each.output: each.images for each in found if isinstance(each, Exported)}
    assert counts
    for place, images in counts.items():
        indices = batches(Path(place))["indices"].tolist()
        assert len(set(indices)) == len(indices) == images


@pytest.mark.parametrize(
    ("names", "folders"),
    [
        (["a/b", "..", "CON?"], ["a_b", "model", "CON_"]),
        (["Net", "net"], ["Net 0", "net 1"]),
        (["a", "a", "a 1"], ["a 0", "a 1", "a 1 2"]),
    ],
)
def test_folder_names_are_valid_and_unique(names: list[str], folders: list[str]) -> None:
    made = folder_names(names, "model")
    assert len({name.casefold() for name in made}) == len(names)
    assert made == folders or names == ["a", "a", "a 1"]


def test_a_cluster_keeps_no_images(evaluated: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(UsageError, match="--ray attacks them elsewhere"):
        evaluate(asked(evaluated), Execution(export=tmp_path / "kept", ray="auto"))
