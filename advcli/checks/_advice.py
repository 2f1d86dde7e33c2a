"""Advice which attacks to add: only attacks that were not run."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from advcli import registry
from advcli.checks import Evidence
from advcli.threat.spelling import own_name
from advcli.threat.threat import Norm


def not_run(evidence: Evidence, *specs: str) -> str:
    """List the attacks that were not run: ``square or apgd:loss=dlr``; empty if all were run.

    An attack counts as run if one of its name was run with the same options or larger numbers.
    """
    known = list(_attacks(evidence))
    missing = [spec for spec in specs if not any(_covers(spec, run) for run in known)]
    return " or ".join(missing)


def also_run(evidence: Evidence, *specs: str) -> str:
    """Advise to run the missing attacks: ``; also run square``; empty if all were run."""
    missing = not_run(evidence, *specs)
    return f"; also run {missing}" if missing else ""


def _attacks(evidence: Evidence) -> Iterator[str]:
    """List all attacks of an evaluation, and the members of its suites."""
    names = registry.names("attacks")
    norms = {score.norm for score in evidence.scores if score.norm}
    specs = dict.fromkeys([*evidence.attacks, *(score.perturbation for score in evidence.scores)])
    for spec in specs:
        if registry.canonical(spec) in names:
            yield spec
            suite = registry.build("attacks", spec)
            yield from (each for norm in norms or suite.searchable_norms for each in suite.members_in(Norm(norm)))


def _covers(spec: str, run: str) -> bool:
    if registry.canonical(spec) != registry.canonical(run) or own_name(spec) != own_name(run):
        return False
    asked, done = registry.build("attacks", spec), registry.build("attacks", run)
    default = type(asked)()
    return all(
        _reaches(getattr(done, field.name), getattr(asked, field.name))
        for field in dataclasses.fields(asked)
        if getattr(asked, field.name) != getattr(default, field.name)
    )


def _reaches(done: Any, asked: Any) -> bool:
    if isinstance(asked, bool | str):
        return done == asked
    return done >= asked
