"""The results as JUnit XML, which CI systems show: a test case for each gate, requirement and check.

A gate or requirement that is not met is a failure of type ``unmet``. A check that is SUSPECT is a failure of type
``suspect``, although the command does not exit with 3 for it: a CI system is where somebody should see it.
"""

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from advcli.files.atomic import remove_leftovers, whole_file
from advcli.records import Change, Checked, Gate, Measurement, Protocol, Record, Requirement, Score
from advcli.tasks.benchmark.plan import WORST
from advcli.threat.spelling import spell_perturbation

# XML 1.0 forbids the other characters, even as references; those of C1 are allowed and command a terminal.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class _Case:
    """A test case; ``failure`` is empty if it passed."""

    group: str
    name: str
    seconds: float
    kind: str
    failure: str = ""
    output: str = ""


def write_junit(file: Path, protocol: Protocol, records: Sequence[Record]) -> None:
    """Write the gates, requirements and checks among the records of an evaluation.

    Raises:
        AdvcliError: the file cannot be written.
    """
    remove_leftovers([file])
    with whole_file(file) as out:
        out.write(junit_xml(protocol, records))


def junit_xml(protocol: Protocol, records: Sequence[Record]) -> bytes:
    """Return the gates, requirements and checks among the records of an evaluation as XML in UTF-8."""
    scores = [record for record in records if isinstance(record, Score)]
    cases = [case for record in records if (case := _case(record, scores)) is not None]
    # The worst case takes no time of its own.
    total = f"{sum(score.seconds for score in scores if score.perturbation != WORST):.3f}"
    counts = {"tests": str(len(cases)), "failures": str(sum(bool(case.failure) for case in cases)), "errors": "0"}
    root = ET.Element("testsuites", counts | {"time": total})
    suite = ET.SubElement(root, "testsuite", {"name": "advcli benchmark", **counts, "skipped": "0", "time": total})
    properties = ET.SubElement(suite, "properties")
    facts = {
        "model": protocol.model,
        "data": protocol.data,
        "seed": protocol.seed,
        "version": protocol.version,
        # Not those of the protocol, of which unreadable ones are left out.
        "images": max((score.images for score in scores), default=protocol.images),
        "requirements": protocol.requirements,
    }
    for name, value in facts.items():
        if value is not None:
            ET.SubElement(properties, "property", {"name": name, "value": printable(str(value))})
    for case in cases:
        names = {"classname": f"advcli.{case.group}", "name": printable(case.name), "time": f"{case.seconds:.3f}"}
        element = ET.SubElement(suite, "testcase", names)
        if case.failure:
            message = printable(case.failure)
            ET.SubElement(element, "failure", {"type": case.kind, "message": message}).text = message
        if case.output:
            ET.SubElement(element, "system-out").text = printable(case.output)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def printable(text: str) -> str:
    r"""Write the characters that XML forbids, or that command a terminal, as escapes: ``\x1b``, ``\udc80``."""
    return _FORBIDDEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def _case(record: Record, scores: Sequence[Score]) -> _Case | None:
    """Return the test case of a record; None for a record of another kind."""
    if isinstance(record, Gate):
        column = f", {record.by} {record.value}" if record.by else ""
        what = f"{record.statistic} >= {record.least:.10g}"
        name = f"{record.model}: {spell_perturbation(**record.place)}{column}: {what}"
        failure = (
            "" if record.met else f"{record.statistic} {record.accuracy:.2%} is less than {100 * record.least:.10g}%"
        )
        return _Case("gate", name, _seconds(record, scores), "unmet", failure)
    if isinstance(record, Change) and record.met is not None:
        name = f"{record.model}: {spell_perturbation(**record.place)}: lower by at most {record.tolerated:.10g}"
        failure = "" if record.met else f"accuracy {record.before:.2%} before, {record.after:.2%} now"
        return _Case("change", name, _seconds(record, scores), "unmet", failure)
    if isinstance(record, Requirement):
        what = f"{record.statistic} >= {record.bound:.10g}"
        name = f"{record.model}: {record.id}: {spell_perturbation(**record.place)}: {what}"
        failure = "" if record.met else f"{record.statistic} {record.value:.2%} is less than {100 * record.bound:.10g}%"
        terms = [f"supports {each.framework} {each.term} {each.name}. {each.not_shown}" for each in record.supports]
        said = [record.text, f"{record.correct} of {record.images} images are correct.", *terms]
        return _Case("requirement", name, _seconds(record, scores), "unmet", failure, "\n".join(filter(None, said)))
    if isinstance(record, Checked):
        suspect = record.is_suspect
        said = ". ".join(filter(None, (record.evidence, record.remedy)))
        # A check measures nothing of its own that is timed.
        return _Case("check", f"{record.model}: {record.check}", 0.0, "suspect", said if suspect else "", said)
    return None


def _seconds(record: Measurement, scores: Sequence[Score]) -> float:
    """Return how long the perturbation of a record was measured."""
    return sum(score.seconds for score in scores if (score.model, score.place) == (record.model, record.place))
