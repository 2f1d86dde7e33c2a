"""Read the requirements of ``--requirements`` from a TOML file: one table each, all fields checked."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from advcli import registry
from advcli.attacks import Search
from advcli.corruptions import Corruption, build_corruption, chosen, spec_parts
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.files.bounded import MEGA, read_text
from advcli.records import Support
from advcli.records.base import Json
from advcli.search.refusals import refuse_unsupported
from advcli.tasks.benchmark.frameworks import SUPPORTED, EvidenceKind
from advcli.tasks.benchmark.perturbations import noise_on_all
from advcli.tasks.benchmark.plan import CLEAN, WORST
from advcli.tasks.benchmark.requirements import ACCURACY, LOWER95, PlannedRequirement, RequirementsFile
from advcli.threat.threat import Norm, Threat

_TABLE = "requirement"
_NEEDED = ("id", "perturbation", "statistic")
_KEYS = (*_NEEDED, "norm", "eps", "severity", "data", "seed", "text", "maps")
_STATISTIC = re.compile(rf"\s*({ACCURACY}|{LOWER95})\s*>=\s*(\S+?)\s*")
_LONGEST_ID, _LONGEST_TEXT = 100, 10_000
_LARGEST_SEED = 2**31 - 1


def read_requirements(path: Path) -> str:
    """Read a file of requirements; its encoding as UTF-8 is the file, byte for byte.

    Raises:
        UsageError: it cannot be read, or is no text in UTF-8.
    """
    hint = "--requirements names a .toml file; see examples/requirements.toml"
    try:
        return read_text(path, MEGA, encoding="utf-8")
    except AdvcliError as error:
        raise UsageError(error.message, error.hint or hint) from error


def parse_requirements(text: str, source: str, *, transferred: bool = False) -> RequirementsFile:
    """Read requirements from TOML: tables ``[[requirement]]``.

    Args:
        text: the content of the file.
        source: the file in messages.
        transferred: whether attacks are crafted on a surrogate.

    Raises:
        UsageError: the text is no TOML, or a field is missing, unknown or invalid.
    """
    try:
        content: dict[str, Json] = tomllib.loads(text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"'{source}' is not TOML: {str(error)[:200]}", "write [[requirement]] tables") from error
    tables = content.pop(_TABLE, None)
    if content:
        raise UsageError(f"'{source}' has '{min(content)}' beside [[{_TABLE}]]", f"write it into each [[{_TABLE}]]")
    if not isinstance(tables, list) or not tables or not all(isinstance(each, dict) for each in tables):
        raise UsageError(f"'{source}' holds no requirements", f"write each of them as [[{_TABLE}]]")
    found: dict[str, PlannedRequirement] = {}
    for number, table in enumerate(tables, 1):
        fields = _Fields(source, number, table)
        each = _requirement(fields, transferred)
        if each.id in found:
            raise fields.error("id", "is that of an earlier requirement", "give each its own")
        for key in ("data", "seed"):
            _refuse_two(fields, key, getattr(each, key), [getattr(other, key) for other in found.values()])
        found[each.id] = each
    return RequirementsFile(text, tuple(found.values()))


@dataclass(frozen=True)
class _Fields:
    """The fields of one requirement, and where they stand in messages."""

    source: str
    number: int
    table: Mapping[str, Json]

    def error(self, key: str, problem: str, hint: str = "") -> UsageError:
        own = self.table.get("id")
        which = f"requirement '{own[:_LONGEST_ID]}'" if isinstance(own, str) and own else f"requirement {self.number}"
        return UsageError(f"'{self.source}', {which}, field '{key}' {problem}", hint)

    def string(self, key: str, longest: int = _LONGEST_TEXT) -> str:
        """Return a text without spaces around it; empty if there is none."""
        if key not in self.table:
            return ""
        value = self.table[key]
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, f"is not a text: {str(value)[:60]!r}", f'write {key} = "..."')
        if len(value) > longest:
            raise self.error(key, f"has more than {longest} characters")
        return value.strip()

    def integer(self, key: str, least: int, most: int) -> int | None:
        if key not in self.table:
            return None
        value = self.table[key]
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.error(key, f"is not a whole number from {least} to {most}: {str(value)[:60]}")
        return value


def _refuse_two(fields: _Fields, key: str, value: Json, others: Sequence[Json]) -> None:
    unsaid = ("", None)
    for other in others:
        if value not in unsaid and other not in unsaid and other != value:
            problem = f"is '{value}', and an earlier requirement has '{other}'"
            raise fields.error(key, problem, "write two files: an evaluation is of one data set with one seed")


def _requirement(fields: _Fields, transferred: bool) -> PlannedRequirement:
    for key in fields.table:
        if key not in _KEYS:
            raise fields.error(key[:60], "is unknown", nearest(key, _KEYS))
    for key in _NEEDED:
        if key not in fields.table:
            raise fields.error(key, "is missing")
    name = fields.string("id", _LONGEST_ID)
    if not name.isprintable():
        raise fields.error("id", "has a character that cannot be printed")
    statistic, bound = _statistic(fields)
    spec, method = _perturbation(fields)
    return PlannedRequirement(
        name,
        spec,
        method,
        _threat(fields, spec, method),
        _severity(fields, method),
        statistic,
        bound,
        fields.string("data"),
        fields.integer("seed", 0, _LARGEST_SEED),
        fields.string("text"),
        _supports(fields, _kind(spec, method, transferred)),
    )


def _statistic(fields: _Fields) -> tuple[str, float]:
    hint = f'write statistic = "{LOWER95} >= 0.80" or "{ACCURACY} >= 80%"'
    found = _STATISTIC.fullmatch(fields.string("statistic"))
    if found is None:
        raise fields.error("statistic", f"is not understood: '{fields.string('statistic')[:60]}'", hint)
    try:
        bound = registry.number(found[2].removesuffix("%"), "the bound")
    except UsageError as error:
        raise fields.error("statistic", f"has no number: '{found[2][:60]}'", hint) from error
    bound = bound / 100 if found[2].endswith("%") else bound
    if not 0 < bound <= 1:
        raise fields.error("statistic", f"has no bound above 0 and up to 1: '{found[2][:60]}'", hint)
    if found[1] == LOWER95 and bound == 1:
        raise fields.error("statistic", "cannot be met: no sample shows that every image is classified correctly", hint)
    return found[1], bound


def _perturbation(fields: _Fields) -> "tuple[str, Search | Corruption | None]":
    """Return the perturbation as records name it, and the component of an attack or a corruption."""
    spec = fields.string("perturbation")
    if spec in (CLEAN.spec, WORST):
        return spec, None
    name = registry.canonical(spec)
    attacks, corruptions = registry.names("attacks"), registry.names("corruptions")
    try:
        if name in attacks:
            return spec, registry.build("attacks", spec)
        if all(registry.canonical(part) in corruptions for part in spec_parts(spec)):
            corruption = build_corruption(spec)
            return chosen(spec)[0], corruption
        if name in registry.names("augmentations"):
            noise_on_all(spec)
            return spec, None
    except UsageError as error:
        raise fields.error("perturbation", f"is invalid: {error.message}", error.hint) from error
    known = (CLEAN.spec, WORST, *attacks, *corruptions)
    raise fields.error("perturbation", f"is unknown: '{spec[:60]}'", nearest(name, known))


def _threat(fields: _Fields, spec: str, method: "Search | Corruption | None") -> Threat | None:
    bounded = isinstance(method, Search) and method.bounded
    given = [key for key in ("norm", "eps") if key in fields.table]
    if not bounded and not (spec == WORST and given):
        if given:
            raise fields.error(given[0], f"has no effect: '{spec}' has no ball", "leave it out")
        return None
    for key in ("norm", "eps"):
        if key not in given:
            raise fields.error(key, f"is missing: '{spec}' needs it", 'write norm = "linf" and eps = "8/255"')
    norm = fields.string("norm")
    if norm not in list(Norm):
        raise fields.error("norm", f"is unknown: '{norm[:60]}'", nearest(norm, list(Norm)))
    eps = fields.table["eps"]
    try:
        if isinstance(eps, bool) or not isinstance(eps, (int, float, str)):
            raise UsageError("it is no number")
        radius = registry.number(eps, "it") if isinstance(eps, str) else float(eps)
        threat = Threat(Norm(norm), radius)
        if radius == 0:
            raise UsageError("the images are the clean ones")
        if isinstance(method, Search):
            refuse_unsupported(method, threat)
    except OverflowError as error:
        raise fields.error("eps", "is too large") from error
    except UsageError as error:
        key = "norm" if "search" in error.message else "eps"
        raise fields.error(key, f"is invalid: {error.message}", error.hint or 'write eps = "8/255"') from error
    return threat


def _severity(fields: _Fields, method: "Search | Corruption | None") -> int | None:
    severity = fields.integer("severity", 1, 5)
    needed = isinstance(method, Corruption) and method.has_severities
    if needed and severity is None:
        raise fields.error("severity", "is missing: a corruption needs it", "write severity = 3")
    if not needed and severity is not None:
        raise fields.error("severity", "has no effect: it is for corruptions whose options do not set their strength")
    return severity


def _kind(spec: str, method: "Search | Corruption | None", transferred: bool) -> EvidenceKind:
    if spec == CLEAN.spec:
        return EvidenceKind.UNPERTURBED
    if spec == WORST:
        return EvidenceKind.EVASION
    if not isinstance(method, Search):
        return EvidenceKind.NATURAL
    if transferred:
        return EvidenceKind.TRANSFER
    return EvidenceKind.WHITE_BOX if method.needs == "gradient" else EvidenceKind.BLACK_BOX


def _supports(fields: _Fields, kind: EvidenceKind) -> tuple[Support, ...]:
    """Return the terms that ``maps`` names, or all that evidence of this kind supports."""
    terms = {term.term: term for term in SUPPORTED[kind]}
    if "maps" not in fields.table:
        return tuple(terms.values())
    names = fields.table["maps"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise fields.error("maps", "is not a list of terms", f'write maps = ["{min(terms)}"]')
    for name in names:
        if name not in terms:
            raise fields.error("maps", f"names '{name[:60]}', which {kind} does not support", nearest(name, terms))
    return tuple(terms[name] for name in dict.fromkeys(names))
