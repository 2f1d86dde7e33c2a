"""Read files of results: the protocol, the finished batches, the scores.

A line ends with a checksum of its other fields without ``seconds``, so that an edited or damaged line is not taken for
a measurement. What cannot be used is reported by its line number; it costs its own batch.
"""

import hashlib
import json
import logging
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import advcli.records
from advcli import __version__
from advcli.errors import AdvcliError, UsageError
from advcli.files.bounded import TEXT, open_file, parse_json, refuse_special
from advcli.files.wrong_kind import refuse_missing, refuse_other_kind
from advcli.records import MeasuredModel, Protocol, Record, Score, Smoothed, Verdicts
from advcli.records.base import Fields, Json
from advcli.records.read_back import read_back

log = logging.getLogger(__name__)

# The records of finished batches, by their types.
BATCHES: Mapping[str, type[Verdicts] | type[Smoothed]] = {kind.type: kind for kind in (Verdicts, Smoothed)}
# Those that are computed from them.
_SUMMARIES = {
    kind.type for kind in vars(advcli.records).values() if isinstance(kind, type) and issubclass(kind, Record)
}
_SUMMARIES -= {*BATCHES, Protocol.type, ""}

_FILE, _LINE, _SHOWN = 1 << 40, 8 * TEXT, 10
# The most images of an evaluation.
_IMAGES = 10**8
_TYPE = re.compile(rb'\{"type": "(\w{1,40})"')


@dataclass(frozen=True)
class _Line:
    """A line of a results file.

    Args:
        number: its number, from one.
        end: the place in the file behind it.
        whole: whether it ends with a line break.
        type: what it is, as far as that can be read.
        content: its fields.
        problem: why it cannot be used; empty if it can.
    """

    number: int
    end: int
    whole: bool
    type: str
    content: Fields
    problem: str = ""


@dataclass(frozen=True)
class Contents:
    """What a results file holds.

    Args:
        batches: the finished batches that can be used.
        end: the place behind the last line to keep: behind it are summaries and an incomplete line.
        whole: whether there is a line break before that place.
    """

    batches: Sequence[Verdicts | Smoothed]
    end: int
    whole: bool


def write_line(record: Record) -> bytes:
    """Return a record as a line of a results file."""
    text = record.to_json()
    checked = f'{text[:-1]}, "checksum": "{_checksum(json.loads(text))}"}}\n'
    # File names that are not UTF-8 become lone surrogates, whose escape is that of JSON.
    return checked.encode(errors="backslashreplace")


def read_line(line: str | bytes) -> Verdicts | Smoothed:
    """Read one finished batch."""
    content = parse_json(line)
    return read_back(BATCHES[content["type"]], content, "a finished batch")


def read_protocol(path: Path) -> Protocol:
    """Read the protocol of a results file.

    Raises:
        UsageError: there is no such file, it is no results file, or a newer version wrote it.
    """
    first = next(_lines(path, "write one with --out FILE, then continue it"), None)
    hint = "benchmark --out FILE writes one"
    if first is None or first.type != Protocol.type:
        refuse_other_kind(path, ("text",), "a file of results", hint)
        raise UsageError(f"'{path}' is not a file of results: its first line is not a protocol", hint)
    if first.problem:
        raise UsageError(f"line 1 of '{path}', its protocol, {first.problem}", "measure again with --out")
    try:
        protocol = read_back(Protocol, first.content, f"line 1 of '{path}'")
        models = models_of(protocol, f"line 1 of '{path}'")
        if not 1 <= protocol.images <= _IMAGES or not models or len({model.name for model in models}) < len(models):
            raise AdvcliError(f"line 1 of '{path}' is damaged: its images and models are impossible")
        for size, digest in protocol.pixels.items():
            if not re.fullmatch("[0-9a-f]{1,16}", digest):
                raise AdvcliError(f"line 1 of '{path}' is damaged: field 'pixels.{size[:60]}' is no hash")
    except AdvcliError as error:
        raise UsageError(error.message, hint) from error
    return protocol


def models_of(protocol: Protocol, source: str = "the protocol") -> list[MeasuredModel]:
    """Return the models of an evaluation.

    Raises:
        AdvcliError: they are not described as they are written.
    """
    return [
        read_back(MeasuredModel, model, source, within=f"models[{number}]")
        for number, model in enumerate(protocol.models)
    ]


def read_contents(path: Path, protocol: Protocol) -> Contents:
    """Read a results file, and report each line that cannot be used.

    Raises:
        UsageError: a newer version wrote it.
    """
    batches: list[Verdicts | Smoothed] = []
    problems: list[str] = []
    end, whole = 0, True
    classes = {model.name: len(model.labels) for model in models_of(protocol)}
    for line in _lines(path):
        if line.problem and not line.whole:
            log.warning("the last line of '%s' is incomplete: its batch is not used", path)
            break
        problem = line.problem
        if not problem and line.type in BATCHES:
            source = f"line {line.number} of '{path}'"
            try:
                record = read_back(BATCHES[line.type], line.content, source, only_known=True)
                problem = _misfit(record, protocol, classes)
                if not problem:
                    batches.append(record)
            except AdvcliError as error:
                problem = error.message.removeprefix(f"{source} ")
        elif not problem and line.number > 1 and line.type not in _SUMMARIES:
            problem = f"is of the unknown type '{line.type[:40]}'"
        if problem and line.type not in _SUMMARIES:
            problems.append(f"line {line.number} of '{path}' {problem}")
        if line.type not in _SUMMARIES:
            end, whole = line.end, line.whole
        if line.number == 1 and "checksum" not in line.content:
            log.warning("'%s' was written without checksums: a damaged or edited line may not be noticed", path)
    for text in problems[:_SHOWN]:
        log.warning("%s: it is not used, and stays in the file", text)
    if len(problems) > _SHOWN:
        log.warning("%d more lines of '%s' cannot be used, and stay in the file", len(problems) - _SHOWN, path)
    return Contents(batches, end, whole)


def read_strictly(
    path: Path, protocol: Protocol
) -> tuple[Sequence[Verdicts | Smoothed], Sequence[Mapping[str, Json]], str]:
    """Read a finished results file, of which every line must be usable and have a checksum.

    Returns:
        The finished batches, the records that are computed from them, and the first problem; empty if there is none.

    Raises:
        UsageError: a newer version wrote it.
    """
    batches: list[Verdicts | Smoothed] = []
    summaries: list[Mapping[str, Json]] = []
    classes = {model.name: len(model.labels) for model in models_of(protocol)}
    for line in _lines(path):
        where = f"line {line.number} of '{path}'"
        if line.problem or not line.whole or "checksum" not in line.content:
            return batches, summaries, f"{where} {line.problem or 'is incomplete, or has no checksum'}"
        if line.type in BATCHES:
            try:
                record = read_back(BATCHES[line.type], line.content, where, only_known=True)
            except AdvcliError as error:
                return batches, summaries, error.message
            if problem := _misfit(record, protocol, classes):
                return batches, summaries, f"{where} {problem}"
            batches.append(record)
        elif line.number > 1 and line.type not in _SUMMARIES:
            return batches, summaries, f"{where} is of the unknown type '{line.type[:40]}'"
        elif line.number > 1:
            summaries.append(line.content)
    return batches, summaries, ""


def read_scores(path: Path) -> list[Score]:
    """Read the scores of a results file, or of the output of ``--json``.

    Raises:
        UsageError: there are no scores, or one is damaged.
    """
    found: list[Score] = []
    hint = "--baseline names a file of results"
    either = f"{hint}, or what --json wrote"
    refuse_missing(refuse_special(path), "text", "a file of results", either)
    refuse_other_kind(path, ("text",), "a file of results", either)
    for line in _lines(path, either):
        if line.type in BATCHES:
            # Scores before it are older than it.
            found = []
        elif line.problem and (line.type in _SUMMARIES or not line.type):
            raise UsageError(f"line {line.number} of '{path}' {line.problem}", "give another file, or measure again")
        elif line.type == Score.type:
            try:
                found.append(read_back(Score, line.content, f"line {line.number} of '{path}'"))
            except AdvcliError as error:
                raise UsageError(error.message, hint) from error
        elif line.number == 1 and line.type == Protocol.type and "checksum" not in line.content:
            log.warning("'%s' was written without checksums: a damaged or edited line may not be noticed", path)
    if not found:
        raise UsageError(f"'{path}' holds no scores", f"{hint} that is finished")
    return found


def _lines(path: Path, hint: str = "") -> Iterator[_Line]:
    """Read a file line by line.

    Raises:
        UsageError: it cannot be read, or a newer version wrote it.
    """
    refuse_missing(refuse_special(path), "text", "a file of results", hint)
    try:
        opened = open_file(path, _FILE)
    except AdvcliError as error:
        raise UsageError(error.message, error.hint or hint) from error
    with opened as file:
        number = end = 0
        checked = False
        while text := file.readline(_LINE):
            number, end, whole = number + 1, end + len(text), text.endswith(b"\n")
            while len(text) == _LINE and not whole and (rest := file.readline(_LINE)):
                end, whole = end + len(rest), rest.endswith(b"\n")
            if len(text) < _LINE and not text.strip():
                continue
            line = _read(number, end, whole, text, checked)
            if number == 1 or not line.problem:
                _refuse_newer(line.content.get("version"), path)
            checked |= line.type == Protocol.type and "checksum" in line.content
            yield line


def _read(number: int, end: int, whole: bool, text: bytes, checked: bool) -> _Line:
    try:
        if len(text) >= _LINE:
            raise ValueError("it is too long")
        content = parse_json(text)
        if not isinstance(content, dict) or not isinstance(content.get("type"), str):
            raise ValueError("it is no record")
    except ValueError as error:
        found = _TYPE.match(text)
        name = found[1].decode() if found else ""
        return _Line(number, end, whole, name, {}, f"is damaged: {str(error)[:200]}")
    problem = ""
    if "checksum" in content:
        if content["checksum"] != _checksum(content):
            problem = "was edited or is damaged: its checksum differs"
    elif checked:
        problem = "was edited or is damaged: it has no checksum"
    return _Line(number, end, whole, content["type"], content, problem)


def _checksum(content: Mapping[str, Json]) -> str:
    checked = {key: value for key, value in content.items() if key not in ("checksum", "seconds")}
    return hashlib.sha256(json.dumps(checked, sort_keys=True).encode()).hexdigest()[:16]


def _refuse_newer(version: Json, path: Path) -> None:
    if isinstance(version, str) and _release(version) > _release(__version__):
        raise UsageError(
            f"'{path}' was written by advcli {version[:40]}, newer than this one, {__version__}", "update advcli"
        )


def _release(version: str) -> tuple[int, ...]:
    found = re.match(r"[0-9]{1,9}(\.[0-9]{1,9})*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _misfit(record: Verdicts | Smoothed, protocol: Protocol, classes: Mapping[str, int]) -> str:
    """Say why a batch is not one of an evaluation; empty if it is."""
    if record.model not in classes:
        return f"is of another model, '{record.model}'"
    count, indices = classes[record.model], record.indices
    if len(set(indices)) < len(indices) or not all(0 <= index < protocol.images for index in indices):
        return "is damaged: field 'indices' is impossible"
    if not all(-1 <= label < count for label in record.predicted):
        return "is damaged: field 'predicted' has a class that the model does not have"
    others: dict[str, Sequence[float | None]] = {"predicted": record.predicted}
    if isinstance(record, Smoothed):
        others["radii"] = record.radii
    else:
        if not all(0 <= label < count for label in record.labels):
            return "is damaged: field 'labels' has a class that the model does not have"
        if not all(-1 <= member < _IMAGES for member in record.members):
            return "is damaged: field 'members' is impossible"
        for name in ("confidence", "log_loss", "squared_error"):
            values = getattr(record, name)
            if not all(value is None or 0 <= value <= (1 if name == "confidence" else math.inf) for value in values):
                return f"is damaged: field '{name}' has an impossible value"
            # Either all of them are there or none.
            if values or record.confidence:
                others[name] = values
        others |= {name: found for name, found in (("labels", record.labels), ("members", record.members)) if found}
    for name, values in others.items():
        if len(values) != len(indices):
            return f"is damaged: field '{name}' has {len(values)} values for {len(indices)} images"
    return ""
