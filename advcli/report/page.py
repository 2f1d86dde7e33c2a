"""A page that is one HTML file: no network, no script, nothing beside it."""

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

from advcli import __version__
from advcli.records.explaining import OUTCOME_WORDS
from advcli.report import wording
from advcli.threat.spelling import name_parameter, spell_norm, spell_spec

if TYPE_CHECKING:
    from jinja2 import Environment

# HTML forbids them, or a file in UTF-8 cannot hold them.
_UNPRINTABLE = ("Cc", "Cs")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class Section:
    """One part of a page, which its contents name.

    Args:
        anchor: its name in addresses, of lowercase letters and hyphens.
        title: its heading.
        template: the file under ``templates/`` that draws it; sees ``content`` by name.
        content: what is drawn.
    """

    anchor: str
    title: str
    template: str
    content: Mapping[str, object] = field(default_factory=dict)


def page(
    title: str,
    lead: str,
    facts: Sequence[tuple[str, Sequence[str]]],
    sections: Sequence[Section],
    styles: Sequence[str] = (),
) -> str:
    """Draw a page; equal arguments give equal text, and no text in them can become markup.

    Args:
        title: what it is of.
        lead: one or two sentences under the title.
        facts: what holds for all of it: (what, values).
        sections: its parts.
        styles: style sheets under ``templates/`` that its sections need beyond that of every page.
    """
    return (
        _environment()
        .get_template("base.html.j2")
        .render(title=title, lead=lead, facts=facts, sections=sections, styles=styles, version=__version__)
    )


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("advcli.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_printable,
    )
    environment.filters |= {
        "percent": wording.percent,
        "points": wording.points,
        "probability": wording.probability,
        "spell_norm": spell_norm,
        "spell_spec": spell_spec,
        "name_parameter": name_parameter,
        "radius": lambda eps, norm: wording.radius(norm, eps),
        "decimal": wording.decimal,
        "count_noun": wording.count_noun,
        "outcome": OUTCOME_WORDS.get,
    }
    return environment


def _printable(value: object) -> object:
    """Replace the characters that an HTML file cannot hold."""
    if type(value) is not str or value.isprintable():
        return value
    return "".join(
        _REPLACEMENT if character not in "\n\t" and unicodedata.category(character) in _UNPRINTABLE else character
        for character in value
    )


def part(template: str, **content: object) -> str:
    """Draw a part of a page by itself, for a page that is too large to be kept in memory."""
    return _environment().get_template(template).render(**content)
