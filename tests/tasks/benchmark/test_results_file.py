"""A file of results loses no batch, whatever happens to it, and none that was edited is taken for a measurement."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from advcli.errors import UsageError
from advcli.records import Protocol, Record, Score, Smoothed, Verdicts
from advcli.tasks.benchmark.read_results import read_contents, read_protocol, read_scores
from advcli.tasks.benchmark.results_file import Journal

COMMON = {"data": "data", "seed": 0}
PLACE = {"perturbation": "clean", "norm": None, "eps": None, "severity": None}
MODEL = {"name": "m", "fingerprint": "00ff", "edge": 8, "channels": 3, "labels": ["a", "b"], "recipe": {}}
PROTOCOL = Protocol(
    model="m", models=(MODEL,), classes=("a", "b"), images=40, sample="00ff", pixels={"8x8x3": "00ff"},
    perturbations=({"spec": "clean"},), certify=None, shard=None, options={}, environment={}, **COMMON,
)  # fmt: skip
BATCHES: tuple[Verdicts | Smoothed, ...] = (
    *(
        Verdicts(model="m", indices=(2 * i, 2 * i + 1), predicted=(0, 1), labels=(0, 0), seconds=1.5, **PLACE, **COMMON)
        for i in range(18)
    ),
    Smoothed(model="m", indices=(36, 37), predicted=(-1, 1), radii=(0.0, 0.5), seconds=0.5, **COMMON),
    Smoothed(model="m", indices=(38, 39), predicted=(1, 1), radii=(0.25, 0.5), seconds=0.5, **COMMON),
)
SCORE = Score(
    model="m", images=40, correct=20, accuracy=0.5, low=0.4, high=0.6, protocol="", accuracy_of_clean_correct=1.0,
    seconds=1.0, **PLACE, **COMMON,
)  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    Journal.begin(tmp_path / "results.jsonl", PROTOCOL).append(*BATCHES, SCORE)
    return tmp_path / "results.jsonl"


def edit(file: Path, line: int, change: Callable[[bytes], bytes]) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    lines[line - 1] = change(lines[line - 1])
    file.write_bytes(b"".join(lines))


def unchecked(file: Path) -> None:
    """Make a file such as versions without checksums wrote."""
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps({k: v for k, v in x.items() if k != "checksum"}) + "\n" for x in lines))


def resume(file: Path) -> list[Verdicts | Smoothed]:
    return Journal.resume(file, PROTOCOL)[1]


def test_what_is_written_is_read_back(file: Path) -> None:
    assert tuple(resume(file)) == BATCHES
    assert read_protocol(file).models == PROTOCOL.models


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "an edited verdict": lambda line: line.replace(b'"predicted": [0, 1]', b'"predicted": [0, 0]'),
    "another class": lambda line: line.replace(b'"labels": [0, 0]', b'"labels": [1, 0]'),
    "a rotten bit": lambda line: line.replace(b'"data"', b'"dat\xe1"'),
    "no checksum": lambda line: line.partition(b', "checksum"')[0] + b"}\n",
    "half of it": lambda line: line[:40] + b"\n",
    "zeros": lambda line: bytes(len(line) - 1) + b"\n",
    "no record": lambda line: b"[1, 2]\n",
    "an unknown type": lambda line: b'{"type": "energy", "joule": 3}\n',
    "too deep": lambda line: b"[" * 10_000 + b"]" * 10_000 + b"\n",
    "too long a number": lambda line: line.replace(b'"seed": 0', b'"seed": ' + b"1" * 5000),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_damaged_line_costs_its_own_batch(file: Path, name: str, caplog: pytest.LogCaptureFixture) -> None:
    edit(file, 4, CHANGES[name])
    before = file.read_bytes().splitlines(keepends=True)
    journal, found = Journal.resume(file, PROTOCOL)
    assert tuple(found) == BATCHES[:2] + BATCHES[3:]
    assert f"line 4 of '{file}'" in caplog.text
    # Every line stays but the score, which follows from the others.
    assert file.read_bytes().splitlines(keepends=True) == before[:-1]
    journal.append(BATCHES[2], SCORE)
    del journal
    caplog.clear()
    assert sorted(map(repr, resume(file))) == sorted(map(repr, BATCHES))
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("line", "old", "new", "said"),
    [
        (3, b'"indices": [2, 3]', b'"indices": [2, 40]', "indices"),
        (3, b'"indices": [2, 3]', b'"indices": [2, 2]', "indices"),
        (3, b'"indices": [2, 3]', b'"indices": [2]', "predicted"),
        (3, b'"predicted": [0, 1]', b'"predicted": [0, 2]', "predicted"),
        (3, b'"predicted": [0, 1]', b'"predicted": [0, true]', "predicted[1]"),
        (3, b'"labels": [0, 0]', b'"labels": [0]', "labels"),
        (3, b'"seconds": 1.5', b'"seconds": NaN', "seconds"),
        (3, b'"model": "m"', b'"model": "other"', "other"),
        (3, b'"crafted_on"', b'"crafted_onn"', "crafted_onn"),
        (20, b'"radii": [0.0, 0.5]', b'"radii": [0.0]', "radii"),
    ],
)
def test_without_checksums_what_is_impossible_is_still_refused(
    file: Path, line: int, old: bytes, new: bytes, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    unchecked(file)
    edit(file, line, lambda text: text.replace(old, new))
    found = resume(file)
    assert len(found) == len(BATCHES) - 1
    assert "was written without checksums" in caplog.text
    (warning,) = (record.getMessage() for record in caplog.records if f"line {line} of" in record.getMessage())
    assert said in warning


def test_a_file_without_checksums_is_gone_on_with(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    unchecked(file)
    edit(file, 21, lambda line: b"")
    journal, found = Journal.resume(file, PROTOCOL)
    assert tuple(found) == BATCHES[:-1]
    assert [record.getMessage().partition("'")[2] for record in caplog.records] == [
        f"{file}' was written without checksums: a damaged or edited line may not be noticed"
    ]
    journal.append(BATCHES[-1])
    del journal
    assert tuple(resume(file)) == BATCHES
    edit(file, 21, lambda line: line.replace(b'"radii": [0.25', b'"radii": [0.75'))
    assert tuple(resume(file)) == BATCHES[:-1]


def test_an_incomplete_last_line_goes_a_whole_one_stays(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    content = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(content[:5]) + content[5][:-40])
    journal, found = Journal.resume(file, PROTOCOL)
    assert tuple(found) == BATCHES[:4]
    assert "the last line of" in caplog.text
    assert file.read_bytes() == b"".join(content[:5])
    del journal
    # An editor may leave out the last line break.
    file.write_bytes(b"".join(content[:6]).rstrip(b"\n"))
    journal, found = Journal.resume(file, PROTOCOL)
    assert tuple(found) == BATCHES[:5]
    journal.append(BATCHES[5])
    assert file.read_bytes() == b"".join(content[:7])


def test_a_newer_version_is_refused(file: Path) -> None:
    before = file.read_bytes().replace(b'"version": "0.', b'"version": "77.')
    file.write_bytes(before)
    for read in (read_protocol, read_scores, resume):
        with pytest.raises(UsageError, match="newer than this one"):
            read(file)
    assert file.read_bytes() == before
    unchecked(file)
    with pytest.raises(UsageError, match=r"advcli 77\.1\.0, newer than this one"):
        read_protocol(file)


def test_a_damaged_protocol_is_refused_and_nothing_written(file: Path) -> None:
    edit(file, 1, lambda line: line.replace(b'"images": 40', b'"images": 41'))
    before = file.read_bytes()
    with pytest.raises(UsageError, match=r"line 1 of .*its checksum differs"):
        resume(file)
    assert file.read_bytes() == before


def test_an_edited_score_is_no_baseline(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert read_scores(file) == [SCORE]
    edit(file, 22, lambda line: line.replace(b'"correct": 20', b'"correct": 10'))
    with pytest.raises(UsageError, match=r"line 22 of .*its checksum differs"):
        read_scores(file)
    # It follows from the batches, which are whole: it is computed anew.
    journal, found = Journal.resume(file, PROTOCOL)
    assert len(found) == len(BATCHES)
    assert not caplog.records
    journal.append(SCORE)
    assert read_scores(file) == [SCORE]


def test_a_name_that_is_no_utf_8_is_written_and_read(tmp_path: Path) -> None:
    name = "caf\udce9"
    protocol = Protocol(**{**vars(PROTOCOL), "models": ({**MODEL, "name": name},)})
    batch: Record = Verdicts(**{**vars(BATCHES[0]), "model": name})
    Journal.begin(tmp_path / "results.jsonl", protocol).append(batch)
    assert read_contents(tmp_path / "results.jsonl", protocol).batches == [batch]
