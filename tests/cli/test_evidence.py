"""Requirements, JUnit XML and evidence, from the command line and of a folder that somebody changes."""

import dataclasses
import hashlib
import json
import random
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli.datasets import open_dataset
from advcli.errors import UsageError
from advcli.records import Checked, Gate, Protocol, Record, Requirement, Verified
from advcli.tasks.benchmark.evidence import FILES, MANIFEST, manifest_of, sha256_of
from advcli.tasks.benchmark.junit import junit_xml, printable
from advcli.tasks.benchmark.read_results import read_protocol, write_line
from advcli.tasks.benchmark.request import Execution, Request, Shard
from advcli.tasks.benchmark.run import evaluate
from advcli.tasks.benchmark.verify_evidence import verify_evidence
from benchmark_records import every_kind
from conftest import Command, make_classifier
from evaluations import records, request

EXAMPLE = Path(__file__).parents[2] / "examples" / "requirements.toml"
PLAN = """
[[requirement]]
id = "R1"
perturbation = "clean"
statistic = "accuracy >= 0.5"

[[requirement]]
id = "R2"
perturbation = "brightness"
severity = 1
statistic = "lower95 >= 0.99"
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Logistic regression on handwritten digits, fitted by least squares."""
    classifier = make_classifier("linear", channels=1, classes=10)
    train = open_dataset("digits").train
    pixels = np.stack([train.read(index)[..., :1] for index in range(len(train))]).reshape(len(train), -1) / 255
    inputs = np.column_stack([pixels, np.ones(len(pixels))])
    targets = 8 * np.eye(10)[train.labels]
    solution = np.linalg.solve(inputs.T @ inputs + np.eye(65), inputs.T @ targets)
    kernel, bias = classifier.model.weights
    kernel.assign(solution[:-1])
    bias.assign(solution[-1])
    file = tmp_path_factory.mktemp("digits") / "digits.keras"
    dataclasses.replace(classifier, labels=tuple("0123456789")).save(file)
    return file


def test_the_example_is_met_and_its_evidence_is_verified(advcli: Command, digits: Path, tmp_path: Path) -> None:
    asked = ("benchmark", digits, "--attack", "none", "--requirements", EXAMPLE, "--no-checks", "--batch", "359")
    met = advcli(*asked, "--out", "out.jsonl", "--evidence", "evidence", "--junit", "junit.xml")
    assert met.returncode == 0, met.stderr
    assert "lower95 >= 80%" in met.stdout
    folder = tmp_path / "evidence"
    assert {each.name for each in folder.iterdir()} == set(FILES)
    assert (folder / "requirements.toml").read_bytes() == EXAMPLE.read_bytes()
    assert (folder / "results.jsonl").read_bytes() == (tmp_path / "out.jsonl").read_bytes()
    first = json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0])
    assert first["requirements"] == hashlib.sha256(EXAMPLE.read_bytes()).hexdigest()
    assert (first["data"], first["seed"]) == ("digits", 0)
    page = (folder / "report.html").read_text()
    assert "AML.T0043.000" in page
    assert "does not show that a system complies" in page
    suite = ET.parse(tmp_path / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")
    assert {each.get("name"): each.get("value") for each in suite.iter("property")}["model"] == "digits"
    assert all(float(case.get("time", "")) > 0 for case in suite.iter("testcase"))
    if shutil.which("sha256sum"):
        assert subprocess.run(["sha256sum", "--strict", "-c", MANIFEST], cwd=folder, check=False).returncode == 0
    verified = advcli("benchmark", "--verify", "evidence", "--json")
    assert verified.returncode == 0, verified.stderr
    kinds = [json.loads(line)["type"] for line in verified.stdout.splitlines()]
    assert kinds == ["verified"] * 6 + ["requirement"] * 3
    damaged = folder / "report.html"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    failed = advcli("benchmark", "--verify", "evidence")
    assert failed.returncode == 1
    assert "'report.html' was changed" in failed.stderr


def test_an_unmet_requirement_exits_with_3(advcli: Command, evaluated: Path, tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(PLAN)
    unmet = advcli(
        "benchmark", "first.keras", "--data", "data.npz", "--attack", "none", "--no-checks", "--fail-under", "clean=1",
        "--requirements", tmp_path / "r.toml", "--junit", tmp_path / "j.xml", "--evidence", tmp_path / "evidence",
        "--json", cwd=evaluated,
    )  # fmt: skip
    assert unmet.returncode == 3
    assert "first, requirement R2, brightness 1: lower95" in unmet.stderr
    found = [json.loads(line) for line in unmet.stdout.splitlines()]
    assert [each["met"] for each in found if each["type"] == "requirement"] == [True, False]
    root = ET.parse(tmp_path / "j.xml").getroot()
    assert root.get("failures") == "2"
    assert {each.get("type") for each in root.iter("failure")} == {"unmet"}
    # The folder is whole, and says what was not met.
    verified = advcli("benchmark", "--verify", tmp_path / "evidence")
    assert verified.returncode == 3
    assert "requirement R2" in verified.stderr
    assert "all files are intact" in verified.stdout


def test_wrong_usage_is_found_before_tensorflow_is_imported(evaluated: Path, tmp_path: Path) -> None:
    good = PLAN.replace('"R2"\nperturbation', '"R2"\nseed = 5\nperturbation')
    files = {
        "id.toml": PLAN.replace('id = "R2"', "").encode(),
        "twice.toml": PLAN.replace('"R2"', '"R1"').encode(),
        "unknown.toml": PLAN.replace("brightness", "brightnes").encode(),
        "nonsense.toml": PLAN.replace("lower95 >= 0.99", "good").encode(),
        "latin.toml": PLAN.replace('"R2"', '"R\xe9"').encode("latin-1"),
        "no.toml": b"{}",
        "good.toml": good.encode(),
        "old.xml": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    calls = [["--requirements", name] for name in files if name.endswith(".toml") and name != "good.toml"]
    calls += [
        ["--requirements", "missing.toml"],
        ["--requirements", "good.toml", "--seed", "0"],
        ["--requirements", "good.toml", "--budget", "1s"],
        ["--junit", "old.xml"],
        ["--junit", "new.xml", "--no-checks"],
        ["--junit", "new.xml", "--shard", "1/2"],
        ["--evidence", "full", "--overwrite"],
        ["--evidence", "new", "--report", "new/page.html"],
        ["--evidence", "new", "--shard", "1/2"],
        ["--verify", "full"],
    ]
    code = (
        "import json, sys\n"
        "from advcli.cli import main\n"
        "for call in json.loads(sys.argv[1]):\n"
        "    sys.argv = ['advcli', 'benchmark', *call]\n"
        "    try: main()\n"
        "    except SystemExit as end: print(end.code, flush=True)\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    usual = [str(evaluated / "first.keras"), "--data", str(evaluated / "data.npz"), "--attack", "none"]
    arguments = json.dumps([[*usual, *call] for call in calls] + [["--verify", "missing"]])
    result = subprocess.run(
        [sys.executable, "-c", code, arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["2"] * (len(calls) + 1), result.stderr
    assert "'twice.toml', requirement 'R1', field 'id'" in result.stderr
    assert "'latin.toml': not a text file in UTF-8" in result.stderr
    assert "for seed 5, not 0" in result.stderr
    assert not (tmp_path / "new").exists()


def asked_for(folder: Path, tmp_path: Path, **changes: Any) -> Request:
    """Ask for what takes a moment, of one model."""
    (tmp_path / "r.toml").write_text(PLAN)
    usual = {"models": (str(folder / "first.keras"),), "attacks": (), "noises": (), "corruptions": ("fog",)}
    usual |= {"severities": (5,), "fail_under": ("clean=0.5",), "requirements": tmp_path / "r.toml"}
    return request(folder, **(usual | changes)).with_requirements()


@pytest.fixture(scope="module")
def whole(evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of evidence."""
    made = tmp_path_factory.mktemp("whole")
    records(asked_for(evaluated, made), evidence=made / "evidence")
    return made / "evidence"


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    """A copy of a folder of evidence, to be changed."""
    return Path(shutil.copytree(whole, tmp_path / "evidence"))


def damage(folder: Path) -> dict[str, str]:
    """Return what is wrong with which file."""
    found = [each for each in verify_evidence(folder) if isinstance(each, Record)]
    problems = {each.file: each.problem for each in found if isinstance(each, Verified) and not each.intact}
    assert bool(problems) != any(isinstance(each, Requirement | Gate) for each in found)
    return problems


def seal(folder: Path) -> None:
    """Write the manifest anew, as somebody would who changes a file."""
    names = [each.name for each in folder.iterdir() if each.name != MANIFEST]
    (folder / MANIFEST).write_bytes(manifest_of({name: sha256_of(folder / name) for name in names}))


def test_a_whole_folder_is_verified(folder: Path) -> None:
    assert damage(folder) == {}
    seal(folder)
    assert damage(folder) == {}


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_wherever_it_is(folder: Path, name: str) -> None:
    file = folder / name
    content = file.read_bytes()
    generator = random.Random(name)
    places = {0, len(content) - 1, *(generator.randrange(len(content)) for _ in range(25))}
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << generator.randrange(8)
        file.write_bytes(flipped)
        problems = damage(folder)
        assert name in problems or (name == MANIFEST and any(MANIFEST in each for each in problems.values())), place
    file.write_bytes(content)
    assert damage(folder) == {}


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert "is missing" in damage(folder)[name]
    if name != MANIFEST:
        seal(folder)
        assert name in damage(folder)


def test_a_file_too_many_is_found(folder: Path) -> None:
    (folder / ".hidden").write_text("x")
    (folder / "inner").mkdir()
    assert set(damage(folder)) == {".hidden", "inner"}
    (folder / "inner").rmdir()
    seal(folder)
    assert set(damage(folder)) == {".hidden"}


Change = Callable[[dict[str, Any]], object]
FORGED: dict[str, tuple[str, Change]] = {
    "a score": ("score", lambda each: each.update(correct=each["correct"] + 1)),
    "an accuracy": ("score", lambda each: each.update(accuracy=1.0)),
    "a requirement that is met": ("requirement", lambda each: each.update(met=True, value=1.0)),
    "a lower bound": ("requirement", lambda each: each.update(bound=0.1)),
    "a prediction": ("verdicts", lambda each: each["predicted"].reverse()),
    "a type": ("gate", lambda each: each.update(type="gates")),
}


@pytest.mark.parametrize("what", FORGED)
@pytest.mark.parametrize("checked", [False, True])
def test_results_that_do_not_follow_from_the_batches_are_found(folder: Path, what: str, checked: bool) -> None:
    kind, change = FORGED[what]
    lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
    change(next(each for each in reversed(lines) if each["type"] == kind))
    forged = [_Line(line) for line in lines] if checked else []
    text = b"".join(map(write_line, forged)) if checked else "".join(json.dumps(each) + "\n" for each in lines).encode()  # pyright: ignore[reportArgumentType]  forged records
    (folder / "results.jsonl").write_bytes(text)
    seal(folder)
    assert "results.jsonl" in damage(folder)


class _Line:
    """Fields that are written with the checksum they should have."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = {key: value for key, value in content.items() if key != "checksum"}

    def to_json(self) -> str:
        return json.dumps(self.content, ensure_ascii=False)


def test_a_missing_batch_and_a_missing_requirement_are_found(folder: Path) -> None:
    file = folder / "results.jsonl"
    lines = file.read_bytes().splitlines(keepends=True)
    for kind in (b'"verdicts"', b'"requirement"', b'"score"'):
        gone = next(number for number, line in enumerate(lines) if line.startswith(b'{"type": ' + kind))
        file.write_bytes(b"".join(lines[:gone] + lines[gone + 1 :]))
        seal(folder)
        assert "results.jsonl" in damage(folder), kind


def test_another_plan_is_found(folder: Path) -> None:
    (folder / "requirements.toml").write_text(PLAN.replace("0.99", "0.10"))
    seal(folder)
    assert set(damage(folder)) == {"requirements.toml"}
    (folder / "requirements.toml").write_text(PLAN)
    environment = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps(environment | {"seed": 3}))
    (folder / "protocol.json").write_text("{}")
    seal(folder)
    assert set(damage(folder)) == {"environment.json", "protocol.json"}


def test_interrupted_evidence_is_finished_by_resuming(evaluated: Path, folder: Path, tmp_path: Path) -> None:
    results = folder / "results.jsonl"
    before = results.read_bytes()
    results.write_bytes(b"".join(before.splitlines(keepends=True)[:3]))
    for name in (MANIFEST, "report.html"):
        (folder / name).unlink()
    requirements = folder / "requirements.toml"
    resumed = evaluate(Request(requirements=requirements), Execution(resume=results, evidence=folder))
    assert [each for each in resumed if isinstance(each, Requirement)]
    assert damage(folder) == {}
    with pytest.raises(UsageError, match="output exists"):
        evaluate(Request(), Execution(resume=results, evidence=folder))
    again = asked_for(evaluated, tmp_path, corruptions=(), severities=(1, 2, 3, 4, 5))
    list(evaluate(again, Execution(evidence=folder, overwrite=True)))
    assert damage(folder) == {}
    assert results.read_bytes() != before


def test_merged_shards_are_evidence(evaluated: Path, tmp_path: Path) -> None:
    shards = [tmp_path / f"{number}.jsonl" for number in (1, 2)]
    for number, file in enumerate(shards, 1):
        records(asked_for(evaluated, tmp_path, fail_under=()), out=file, shard=Shard(number, 2))
    how = Execution(merge=True, evidence=tmp_path / "evidence", junit=tmp_path / "junit.xml")
    list(evaluate(Request(models=tuple(map(str, shards))), how))
    assert damage(tmp_path / "evidence") == {}
    assert read_protocol(tmp_path / "evidence" / "results.jsonl").shard is None
    assert ET.parse(tmp_path / "junit.xml").getroot().get("tests") == "2"


def test_evidence_needs_no_requirements(evaluated: Path, tmp_path: Path) -> None:
    asked = dataclasses.replace(asked_for(evaluated, tmp_path), requirements=None, requirements_text="")
    records(asked, evidence=tmp_path / "evidence")
    assert not (tmp_path / "evidence" / "requirements.toml").exists()
    assert damage(tmp_path / "evidence") == {}
    (tmp_path / "evidence" / "requirements.toml").write_text(PLAN)
    seal(tmp_path / "evidence")
    assert set(damage(tmp_path / "evidence")) == {"requirements.toml"}


HOSTILE = 'a<b> & "c" \' ]]> \x00\x07\x1b[31m\x7f\x9b \ud800 \ufffe\uffff \U0001f600 \u202e'


def test_junit_is_well_formed_whatever_the_names_are() -> None:
    found = every_kind((HOSTILE, "robust"), (HOSTILE, "dog"))
    protocol = next(each for each in found if isinstance(each, Protocol))
    gate = next(each for each in found if isinstance(each, Gate) and not each.met)
    suspect = Checked(model=HOSTILE, data="d", seed=0, check=HOSTILE, verdict="SUSPECT", evidence=HOSTILE, remedy="do")
    text = junit_xml(protocol, [*found, suspect])
    root = ET.fromstring(text)
    gates = sum(isinstance(each, Gate) for each in found)
    required = sum(isinstance(each, Requirement) for each in found)
    checks = sum(isinstance(each, Checked) for each in found) + 1
    assert root.get("tests") == str(gates + required + checks) == str(len(list(root.iter("testcase"))))
    failures = list(root.iter("failure"))
    assert {each.get("type") for each in failures} == {"unmet", "suspect"}
    assert any(f"{100 * gate.least:.10g}%" in str(each.get("message")) for each in failures)
    assert "do" in str(next(each for each in failures if each.get("type") == "suspect").text)
    assert len(list(root.iter("failure"))) == int(root.get("failures", ""))
    plain = text.decode()
    assert not any(ord(each) < 32 and each not in "\t\n\r" for each in plain)
    assert "\x7f" not in plain
    assert "\x9b" not in plain
    assert printable(HOSTILE).startswith('a<b> & "c"')
    assert "\\x1b[31m" in printable(HOSTILE)
