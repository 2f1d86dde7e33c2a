"""What advcli reads back of its own files is input like any other: it is right, or refused with its file and field."""

import copy
import json
import logging
import random
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from advcli.backend import tf
from advcli.cli.config import _content as config_content
from advcli.errors import AdvcliError, UsageError
from advcli.files import png
from advcli.model.answer_cache import AnswerCache
from advcli.model.load import load
from advcli.model.own_content import labels_of, recipe_of
from advcli.records import Crafted, Epoch, Protocol, Trusted
from advcli.records.read_back import read_back
from advcli.search.threat_defaults import common_threat
from advcli.tasks.attack.universal_files import pattern_of
from advcli.tasks.benchmark.merge_shards import plan_of
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.read_results import read_contents, read_protocol, read_scores
from advcli.tasks.benchmark.request import Request as Evaluation
from advcli.tasks.benchmark.results_file import Journal
from advcli.tasks.explain.adversarial_pairs import read_pair
from advcli.tasks.explain.check_cache import CHECK_FILE, CheckCache
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.recipe import Recipe, draft
from advcli.tasks.train.request import Request as Training
from advcli.tasks.train.run_folder import Run
from advcli.threat.threat import Norm
from conftest import make_classifier
from tasks.benchmark.test_results_file import BATCHES, PROTOCOL, SCORE


@pytest.fixture(autouse=True)
def no_warnings_in_the_report(caplog: pytest.LogCaptureFixture) -> None:
    """Keep what the mutants say out of the test report, which can hold only what UTF-8 can."""
    caplog.set_level(logging.CRITICAL, logger="advcli")


COMMON = {"model": "m", "data": "files", "seed": 0}


@dataclass(frozen=True)
class Inner:
    norm: Norm
    size: tuple[int, float]


@dataclass(frozen=True)
class Outer:
    inner: Inner | None
    names: tuple[str, ...]
    numbers: dict[str, float]
    way: Literal["squash", "crop"] = "squash"
    good: bool = True
    file: Path | None = None
    seconds: float = 0.0


GOOD: dict[str, Any] = {
    "inner": {"norm": "l2", "size": [3, 4]}, "names": ["a"], "numbers": {"x": 1.5}, "file": "a/b", "seconds": 2,
    "of a newer version": 1,
}  # fmt: skip


def test_a_dataclass_is_read_back() -> None:
    found = read_back(Outer, GOOD, "'f'")
    assert found == Outer(Inner(Norm.L2, (3, 4.0)), ("a",), {"x": 1.5}, file=Path("a/b"), seconds=2.0)
    assert isinstance(found.inner and found.inner.size[1], float)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": 3}, "field 'inner' is 3, not an object"),
        ({"inner": {"norm": "l9", "size": [1, 1]}}, "field 'inner.norm' is 'l9', not one of linf, l2, l1"),
        ({"inner": {"norm": "l2"}}, "field 'inner.size' is missing"),
        ({"inner": {"norm": "l2", "size": [1]}}, "field 'inner.size' has 1 values, not 2"),
        ({"inner": {"norm": "l2", "size": [1.5, 1]}}, r"field 'inner.size\[0\]' is 1.5, not a whole number"),
        ({"inner": {"norm": "l2", "size": [True, 1]}}, r"field 'inner.size\[0\]' is true, not a whole number"),
        ({"names": "a"}, "field 'names' is 'a', not a list"),
        ({"names": ["a", None]}, r"field 'names\[1\]' is null, not a text"),
        ({"names": ["a\0b"]}, r"field 'names\[0\]' holds a null character"),
        ({"numbers": []}, "field 'numbers' is a list, not an object"),
        ({"numbers": {"x": float("nan")}}, "field 'numbers.x' is not a finite number"),
        ({"numbers": {"x": 10**4000}}, "field 'numbers.x' is too large a number"),
        ({"way": "fold"}, "field 'way' is 'fold', not one of squash, crop"),
        ({"way": ["crop"]}, "field 'way' is a list, not one of"),
        ({"good": 1}, "field 'good' is 1, not true or false"),
        ({"seconds": None}, "field 'seconds' is null, not a number"),
        ({"seconds": float("inf")}, "field 'seconds' is not a finite number"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(AdvcliError, match=f"^'f' is damaged: {message}"):
        read_back(Outer, GOOD | change, "'f'")


def test_numbers_that_are_not_finite_are_read_where_they_are_written() -> None:
    found = read_back(Outer, GOOD | {"seconds": None, "numbers": {"x": float("inf")}}, "'f'", finite=False)
    assert np.isnan(found.seconds)
    assert found.numbers == {"x": np.inf}
    with pytest.raises(AdvcliError, match="field 'of a newer version' is unknown"):
        read_back(Outer, GOOD, "'f'", only_known=True)


def places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List every place of a JSON document."""
    yield place
    items = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in items:
        yield from places(value, (*place, key))


DEEP = "a place for what is nested 10,000 deep"
HUGE = "a place for 5,000 digits"
VALUES = (
    None, True, -1, 0, 3, 2**70, 10**4000, 1.5, -0.5, float("nan"), float("inf"), "", "x", "\0", "\ud800", "9" * 5000,
    [], {}, [[]], [None], {"a": {}}, ["x", 1], DEEP, HUGE,
)  # fmt: skip


def mutants(content: Any, count: int, seed: int = 0) -> Iterator[str]:
    """Change one or two places of a JSON document: -> its text."""
    generator = random.Random(seed)
    known = list(places(content))
    for _ in range(count):
        changed = {"": copy.deepcopy(content)}
        for place in generator.sample(known, generator.choice((1, 1, 1, 2))):
            inside: Any = changed
            way = ("", *place)
            try:
                for key in way[:-1]:
                    inside = inside[key]
                if generator.random() < 0.2 and place:
                    del inside[way[-1]]
                else:
                    inside[way[-1]] = generator.choice(VALUES)
            except (TypeError, LookupError):
                continue
        text = json.dumps(changed.get(""))
        text = text.replace(json.dumps(DEEP), "[" * 10_000 + "]" * 10_000).replace(json.dumps(HUGE), "7" * 5000)
        yield text


def refused(read: Callable[[str], object], content: Any, count: int, say: str) -> None:
    """Read mutants; each is read, or refused by an error that names the file."""
    bad = 0
    read(json.dumps(content))
    for text in mutants(content, count):
        try:
            read(text)
        except AdvcliError as error:
            bad += 1
            assert say in error.message or isinstance(error, UsageError), error.message
    assert bad > count // 5


def test_results_of_any_content(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    Journal.begin(file, PROTOCOL).append(*BATCHES, SCORE)
    good = [{k: v for k, v in json.loads(line).items() if k != "checksum"} for line in file.read_text().splitlines()]
    good[0]["options"] = Evaluation(models=("m",), data="digits", threats=(("linf", 0.1),), checks=False).to_json()
    lines = [json.dumps(line) for line in good]

    def read(place: int, text: str) -> None:
        file.write_text("".join(f"{line}\n" for line in (*lines[:place], text, *lines[place + 1 :])))
        protocol = read_protocol(file)
        Evaluation.from_json(protocol.options, "'results.jsonl'")
        results = Results(40)
        contents = read_contents(file, protocol)
        if protocol.images == 40:
            for batch in contents.batches:
                results.add(batch)
            plan_of(protocol, results)
        read_scores(file)

    for place, count in ((0, 120), (1, 40), (20, 20), (21, 40)):
        bad = 0
        for text in mutants(good[place], count, seed=place):
            try:
                read(place, text)
            except AdvcliError as error:
                bad += 1
                assert "results.jsonl" in error.message or isinstance(error, UsageError)
        assert bad or place in (1, 20)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    make_classifier("linear").save(path)
    return path


def test_a_models_own_content_of_any_kind(saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    with zipfile.ZipFile(saved) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    good = json.loads(members["advcli.json"])
    good["recipe"] = {"objective": "pgd-at", "norm": "linf", "eps": 0.1, "data": "digits", "augment": [], "edge": 8}

    def read(text: str) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, text if name == "advcli.json" else content)
        labels_of(file)
        common_threat([recipe_of(file)], None, None)

    refused(read, good, 300, "model.keras")
    for changes in ({"edge": 9}, {"channels": 1}, {"width": 4}, {"labels": ["a"]}):
        read(json.dumps(good | changes))
        with pytest.raises(AdvcliError, match=r"labels|does not take images|class names"):
            load(file, "m")
    read(json.dumps(good))
    assert load(file, "m").recipe["objective"] == "pgd-at"


@pytest.mark.parametrize("member", ["advcli.json", "config.json", "model.weights.h5"])
def test_a_damaged_header_in_a_model_file(saved: Path, tmp_path: Path, member: str) -> None:
    content = saved.read_bytes()
    with zipfile.ZipFile(saved) as archive:
        info = archive.getinfo(member)
    generator = random.Random(0)
    central = content.rindex(member.encode()) - 46
    file = tmp_path / "model.keras"
    for _ in range(60):
        bad = bytearray(content)
        start, size = generator.choice(((info.header_offset, 30), (central, 46), (len(content) - 22, 22)))
        bad[start + generator.randrange(size)] = generator.choice((0, 1, 255, generator.randrange(256)))
        file.write_bytes(bad)
        try:
            recipe_of(file)
            labels_of(file)
        except AdvcliError as error:
            assert "model.keras" in error.message


def test_the_record_of_a_pattern_of_any_content(tmp_path: Path) -> None:
    file = tmp_path / "universal.pattern.png"
    record = Crafted(output="x", attack="universal", norm="linf", eps=0.1, target=None, images=3, seconds=1.0, **COMMON)

    def read(text: str) -> None:
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("advcli", text)
        chunks.add_text("advcli-kind", "pattern")
        Image.new("RGB", (8, 8)).save(file, pnginfo=chunks)
        pattern_of(file, None, None, None, None)

    refused(read, json.loads(record.to_text()), 200, "universal.pattern.png")
    with pytest.raises(AdvcliError, match="names no universal attack"):
        read(json.dumps(json.loads(record.to_text()) | {"attack": "pgd"}))


def test_the_record_of_an_adversarial_image_of_any_content(tmp_path: Path) -> None:
    file = tmp_path / "cat.adv.png"
    clean = np.full((8, 8, 3), 100, np.uint8)

    def read(text: str) -> None:
        chunks = PngImagePlugin.PngInfo()
        chunks.add_text("advcli", text)
        Image.fromarray(clean).save(file, pnginfo=chunks)
        assert isinstance(png.record_in(file), dict)
        assert read_pair(make, clean, file).radius

    make = make_classifier("linear")
    refused(read, {"attack": "pgd", "norm": "linf", "eps": 0.1, "linf": 0.0}, 150, "cat.adv.png")


def test_a_description_of_a_run_of_any_content(tmp_path: Path) -> None:
    part = {"images": 10, "fingerprint": "00ff"}
    recipe = json.loads(json.dumps(draft(Training(data="digits", backbone="small", epochs=2)).to_json() | {"edge": 8}))
    resolved = {"train": part, "validation": part, "parameters": 9}
    (tmp_path / "run").mkdir()
    run = Run(tmp_path / "run")

    def read(text: str) -> None:
        run.description.path.write_text(text)
        Recipe.from_json(run.description.read_recipe(), "'run.json'")
        run.description.refuse_other_data(resolved)
        config_content(run.description.path)

    refused(read, {"recipe": recipe, "resolved": resolved, "versions": {}}, 400, "run")


EPOCH = Epoch(
    epoch=1, of=2, stage=1, stages=1, loss=float("nan"), train_accuracy=0.5, clean=0.5, robust=0.5, single_step=0.5,
    zero_gradients=0.0, ema_clean=None, ema_robust=None, learning_rate=0.1, eps=0.1, guard=("a",), rollbacks=0,
    seconds=1.0, **COMMON,
)  # fmt: skip


def checkpoint_of(folder: Path, state: Checkpoint) -> tuple[Run, list[Any]]:
    variables = [tf.Variable([1.0, 2.0]), tf.Variable(3.0)]
    run = Run(folder)
    (folder / "checkpoint").mkdir(parents=True, exist_ok=True)
    run.checkpoints.save(state, variables)
    return run, variables


def test_a_checkpoint_of_any_content(tmp_path: Path) -> None:
    state = Checkpoint((EPOCH,))
    run, variables = checkpoint_of(tmp_path / "run", state)
    file = tmp_path / "run/checkpoint/state.npz"
    assert repr(run.checkpoints.restore(variables)) == repr(state)

    def read(text: str) -> None:
        np.savez(file, state=np.array(text), variable0=np.ones(2, np.float32), variable1=np.float32(1))
        run.checkpoints.restore(variables)

    refused(read, asdict(state), 200, "state.npz")
    for arrays in (
        {"variable0": np.ones(3), "variable1": np.ones(())},
        {"variable0": np.ones(2), "other": np.ones(())},
        {"variable0": np.array(["a", "b"]), "variable1": np.ones(())},
    ):
        np.savez(file, state=np.array(json.dumps(asdict(state))), **arrays)
        with pytest.raises(AdvcliError, match=r"state\.npz"):
            run.checkpoints.restore(variables)
    good = (checkpoint_of(tmp_path / "run", state), file.read_bytes())[1]
    generator = random.Random(0)
    for _ in range(150):
        bad = bytearray(good)
        for _ in range(generator.choice((1, 4))):
            bad[generator.randrange(len(bad))] = generator.randrange(256)
        file.write_bytes(bad[: generator.choice((len(bad), generator.randrange(len(bad))))])
        try:
            run.checkpoints.restore(variables)
        except AdvcliError as error:
            assert "state.npz" in error.message


def test_a_damaged_half_epoch_costs_no_whole_one(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="advcli")
    run, variables = checkpoint_of(tmp_path / "run", Checkpoint((EPOCH,)))
    variables[1].assign(9.0)
    run.checkpoints.save(Checkpoint((EPOCH,), step=3), variables)
    midway = tmp_path / "run/checkpoint/midway.npz"
    assert run.checkpoints.restore(variables).step == 3
    assert variables[1].numpy() == 9.0
    midway.write_bytes(midway.read_bytes()[:-300])
    assert run.checkpoints.restore(variables).step == 0
    assert variables[1].numpy() == 3.0
    assert "continues from its last whole epoch" in caplog.text


def test_an_earlier_check_of_any_content(tmp_path: Path) -> None:
    record = Trusted(
        method="saliency", images=4, deletion=0.2, insertion=0.9, random_deletion=0.5, random_insertion=0.6,
        randomized=0.3, other_class=0.7, completeness=None, verdict="pass", reasons=("a",), cached=False, seconds=1.0,
        **COMMON,
    )  # fmt: skip
    (tmp_path / "model.keras").write_bytes(b"weights")
    cache = CheckCache(tmp_path, tmp_path / "model.keras", 0)
    cache.put("saliency", record)
    content = json.loads((tmp_path / CHECK_FILE).read_text())
    assert cache.get("saliency", 4, COMMON) == Trusted(**{**vars(record), "cached": True})
    found = []
    for text in mutants(content, 200):
        (tmp_path / CHECK_FILE).write_text(text)
        found.append(cache.get("saliency", 4, COMMON))
    assert found.count(None) > 40
    cache.put("saliency", record)


@pytest.mark.parametrize(
    "text",
    [
        "epochs = " + "7" * 5000,
        "epochs = 0x" + "f" * 5000,
        "epochs = " + "7" * 4000,
        "augment = [[1], [2]]",
        "augment = [{a = 1}]",
        "augment = " + "[" * 10_000 + "]" * 10_000,
        'model = "a\\u0000b"',
        "objective = true",
        "epochs = nan",
        "eps = inf",
        "momentum = nan",
        "deterministic = 1979-05-27",
    ],
)
def test_a_configuration_of_any_content(tmp_path: Path, text: str) -> None:
    from typer.testing import CliRunner

    from advcli.cli import train  # noqa: F401  it registers itself
    from advcli.cli.app import app

    (tmp_path / "config.toml").write_text(text)
    result = CliRunner().invoke(app, ["train", "--config", str(tmp_path / "config.toml"), "--plan"])
    assert isinstance(result.exception, AdvcliError | SystemExit), repr(result.exception)
    assert result.exit_code


def test_the_answers_of_a_damaged_file(tmp_path: Path) -> None:
    file = tmp_path / "answers"
    cache = AnswerCache(file)
    cache.put(b"k" * 16, np.ones(4, np.float32))
    cache.flush()
    whole = file.read_bytes()
    file.write_bytes(whole + b"j" * 16 + b"\xff\xff\xff\xff" + b"abc")
    np.testing.assert_array_equal(AnswerCache(file).get(b"k" * 16), np.ones(4))
    assert file.read_bytes() == whole


def test_every_protocol_field_can_be_read_back() -> None:
    assert read_back(Protocol, json.loads(PROTOCOL.to_json()), "it").classes == PROTOCOL.classes
