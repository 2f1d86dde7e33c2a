"""Errors a user can cause: what was wrong with the value, and what to do about it."""

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitStatus(IntEnum):
    """What the exit code of a command says."""

    DONE = 0
    """All was done; an attack that fails to fool is a result."""
    FAILED = 1
    """Something failed; the rest was done where that could be."""
    USAGE = 2
    """The command was called wrongly; nothing was done."""
    UNMET = 3
    """A check that was asked for was not met."""
    INTERRUPTED = 130
    """The user stopped it."""
    PIPE_CLOSED = 141
    """The reader of the output has gone."""


class AdvcliError(Exception):
    """Something failed while working.

    Args:
        message: what is wrong, with the value in quotes; lower case, no full stop.
        hint: what to do about it.
    """

    exit_code = ExitStatus.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AdvcliError):
    """The command was called wrongly; found before any work is done."""

    exit_code = ExitStatus.USAGE


class Interrupted(AdvcliError):
    """The user stopped it."""

    exit_code = ExitStatus.INTERRUPTED


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return a hint that names the choice nearest to a mistyped value, or all of them."""
    choices = list(choices)
    matches = difflib.get_close_matches(value, choices, n=1)
    if matches:
        return f"did you mean '{matches[0]}'?"
    listed = ", ".join(choices[:20]) + (", ..." if len(choices) > 20 else "")
    return f"choose from: {listed}"
