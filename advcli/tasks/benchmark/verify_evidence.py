"""Verify an evidence folder: its files are those of the manifest, and its results are those of its plan.

The manifest is not a signature: who changes a file can change the manifest. What is computed from the finished batches
is computed again, so that a score or a requirement that does not follow from them is found.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from advcli.errors import AdvcliError, UsageError
from advcli.files.bounded import MEGA, parse_json, read_bytes
from advcli.files.wrong_kind import refuse_other_kind
from advcli.records import Gate, Progress, Protocol, Record, Requirement, Score, Verified
from advcli.records.base import Json
from advcli.records.read_back import read_back
from advcli.tasks.benchmark.evidence import (
    ENVIRONMENT,
    FILES,
    MANIFEST,
    NEEDED,
    PROTOCOL,
    REQUIREMENTS,
    RESULTS,
    hashes_of,
    manifest_of,
    protocol_line,
    sha256_of,
)
from advcli.tasks.benchmark.merge_shards import plan_of
from advcli.tasks.benchmark.missing import first_unknown
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.read_results import read_protocol, read_strictly
from advcli.tasks.benchmark.request import Request
from advcli.tasks.benchmark.requirements import judged_requirements
from advcli.tasks.benchmark.scores import scores

_LINE = re.compile(r"([0-9a-f]{64})  ([^/\\\n]{1,255})")
# What is compared: not the time, and not what later versions may add or word otherwise.
_PLACE = ("perturbation", "norm", "eps", "severity")
_OF_SCORE = ("model", *_PLACE, "images", "correct", "accuracy", "low", "high")
_OF_REQUIREMENT = (*("model", *_PLACE), "id", "statistic", "bound", "value", "met", "images", "correct", "requirements")
# Other versions of a library may differ in the last digits.
_DIGITS = 9


def verify_evidence(folder: Path) -> Iterator[Record | Progress]:
    """Verify an evidence folder.

    Yields:
        Whether each file is intact; if all are, the gates and requirements that were judged.

    Raises:
        UsageError: there is no such folder, or a newer version wrote it.
    """
    if not folder.is_dir():
        hint = "--verify names a folder that --evidence wrote"
        refuse_other_kind(folder, (), "a folder of evidence", hint)
        raise UsageError(f"no such folder: '{folder}'", hint)
    return _verified(folder)


def _verified(folder: Path) -> Iterator[Record | Progress]:
    yield Progress("verifying the evidence", 0, 0)
    digests, problems = _compared_with_manifest(folder)
    protocol = None
    judged: list[Record] = []
    if not any(problems.values()):
        try:
            protocol = read_protocol(folder / RESULTS)
            problems |= _compared_with_plan(folder, protocol)
            if not any(problems.values()):
                judged = _recorded(folder, protocol)
        except UsageError as error:
            if "newer" in error.message:
                raise
            problems[RESULTS] = f"cannot be used: {error.message}"
        except AdvcliError as error:
            problems[RESULTS] = f"is damaged: {error.message}"
    known = protocol or Protocol(
        model="", data="", seed=0, models=(), classes=(), images=0, sample="", pixels={}, perturbations=(),
        certify=None, shard=None, options={}, environment={},
    )  # fmt: skip
    for name in sorted(problems):
        yield Verified(
            model=known.model,
            data=known.data,
            seed=known.seed,
            file=name,
            sha256=digests.get(name),
            intact=not problems[name],
            problem=problems[name],
        )
    yield from judged


def _compared_with_manifest(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Compare the files with the manifest: -> the SHA-256 of each file, and what is wrong with it."""
    present = sorted(each.name for each in folder.iterdir())
    problems: dict[str, str] = dict.fromkeys([*present, *NEEDED, MANIFEST], "")
    digests: dict[str, str] = {}
    for name in present:
        try:
            digests[name] = sha256_of(folder / name)
        except AdvcliError as error:
            problems[name] = f"cannot be read: {error.message}"
    if MANIFEST not in present:
        return digests, problems | {MANIFEST: "is missing: the folder is not finished"}
    try:
        manifest = read_bytes(folder / MANIFEST, MEGA)
    except AdvcliError as error:
        return digests, problems | {MANIFEST: f"cannot be read: {error.message}"}
    listed: dict[str, str] = {}
    for number, line in enumerate(manifest.decode(errors="replace").split("\n")[:-1], 1):
        found = _LINE.fullmatch(line)
        if found is None or found[2] in listed:
            problems[MANIFEST] = f"is damaged: line {number} is not a SHA-256 and a file name"
        else:
            listed[found[2]] = found[1]
    for name in {*present, *listed, *NEEDED} - {MANIFEST}:
        if name not in present:
            problems[name] = f"is missing, and {MANIFEST} or every evidence folder has it"
        elif name not in listed or name not in FILES:
            problems[name] = f"is not a file that {MANIFEST} lists"
        elif name in digests and digests[name] != listed[name]:
            problems[name] = f"was changed: its SHA-256 is not that in {MANIFEST}"
    if not any(problems.values()) and manifest != manifest_of(listed):
        problems[MANIFEST] = "is damaged: it is not as it was written"
    return digests, problems


def _compared_with_plan(folder: Path, protocol: Protocol) -> dict[str, str]:
    """Compare the results with the plan and with themselves: -> what is wrong with which file."""
    problems: dict[str, str] = {}
    if read_bytes(folder / PROTOCOL, 100 * MEGA) != protocol_line(folder / RESULTS):
        problems[PROTOCOL] = f"is not the first line of {RESULTS}"
    file = folder / REQUIREMENTS
    digest = hashlib.sha256(read_bytes(file, MEGA)).hexdigest() if file.exists() else None
    if digest != protocol.requirements:
        problems[REQUIREMENTS] = f"is not the file that the first line of {RESULTS} was written for"
    if _environment(folder) != json.loads(json.dumps(hashes_of(protocol))):
        problems[ENVIRONMENT] = f"is of another evaluation than {RESULTS}"
    if problem := _unlike_batches(folder / RESULTS, protocol):
        problems[RESULTS] = problem
    return problems


def _environment(folder: Path) -> Json:
    try:
        content = parse_json(read_bytes(folder / ENVIRONMENT, MEGA))
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    return {key: value for key, value in content.items() if key != "environment"}


def _unlike_batches(path: Path, protocol: Protocol) -> str:
    """Say what of the results does not follow from the finished batches; empty if all does."""
    batches, summaries, problem = read_strictly(path, protocol)
    if problem:
        return problem
    results = Results(protocol.images)
    for batch in batches:
        results.add(batch)
    plan = plan_of(protocol, results)
    measured = ("kind", *_PLACE)
    if _chosen([each.description() for each in plan.perturbations], measured) != _chosen(
        protocol.perturbations, measured
    ):
        return "has other perturbations in its options than in its protocol"
    request = Request.from_json(protocol.options)
    unsearched = any(each.get("searched") is not None for each in summaries if each["type"] == Score.type)
    if not unsearched and (unknown := first_unknown(plan, results, plan.rows)):
        return f"has no results of {unknown} for all images"
    found = list(scores(plan, results))
    if _of_type(Score, found, _OF_SCORE) != _chosen(_typed(summaries, Score), _OF_SCORE):
        return "has scores that do not follow from its finished batches"
    required = list(judged_requirements(request.requirements_file, found))
    if _of_type(Requirement, required, _OF_REQUIREMENT) != _chosen(_typed(summaries, Requirement), _OF_REQUIREMENT):
        return f"has other records of requirements than {REQUIREMENTS} and its finished batches yield"
    return ""


def _of_type(kind: type[Record], found: Sequence[Record], names: Sequence[str]) -> list[str]:
    return _chosen(_typed([json.loads(record.to_json()) for record in found], kind), names)


def _typed(contents: Sequence[Mapping[str, Json]], kind: type[Record]) -> list[Mapping[str, Json]]:
    return [each for each in contents if each["type"] == kind.type]


def _chosen(contents: Sequence[Mapping[str, Json]], names: Sequence[str]) -> list[str]:
    """Return some fields of records, in an order that does not depend on theirs."""
    return sorted(json.dumps([_rounded(each.get(name)) for name in names]) for each in contents)


def _rounded(value: Json) -> Json:
    return round(value, _DIGITS) if isinstance(value, float) else value


def _recorded(folder: Path, protocol: Protocol) -> list[Record]:
    """Return the gates and requirements of the results."""
    _, summaries, _ = read_strictly(folder / RESULTS, protocol)
    kinds: dict[str, type[Gate | Requirement]] = {Gate.type: Gate, Requirement.type: Requirement}
    source = f"'{folder / RESULTS}'"
    return [read_back(kinds[each["type"]], each, source) for each in summaries if each["type"] in kinds]
