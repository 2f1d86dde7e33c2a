"""Errors a user can cause: what was wrong with the value, and what to do about it."""

import difflib
from collections.abc import Iterable


class AdvcliError(Exception):
    """Something failed while working.

    Args:
        message: what is wrong, with the value in quotes; lower case, no full stop.
        hint: what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AdvcliError):
    """The command was called wrongly; found before any work is done."""

    exit_code = 2


class Interrupted(AdvcliError):
    """The user stopped it."""

    exit_code = 130


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return a hint that names the choice nearest to a mistyped value, or all of them."""
    choices = list(choices)
    matches = difflib.get_close_matches(value, choices, n=1)
    if matches:
        return f"did you mean '{matches[0]}'?"
    listed = ", ".join(choices[:20]) + (", ..." if len(choices) > 20 else "")
    return f"choose from: {listed}"
