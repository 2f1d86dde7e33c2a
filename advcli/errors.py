"""Errors a user can cause: what was wrong with the value, and what to do about it."""

import difflib
import re
from collections.abc import Iterable
from enum import IntEnum


class ExitStatus(IntEnum):
    """The exit codes of the commands."""

    DONE = 0
    """Success; an attack that does not fool the model is a result, not an error."""
    FAILED = 1
    """Some part failed; the other parts were completed if possible."""
    USAGE = 2
    """Wrong usage; nothing was done."""
    UNMET = 3
    """A requested check failed."""
    INTERRUPTED = 130
    """Interrupted by the user."""
    PIPE_CLOSED = 141
    """The reader of the output closed the pipe."""
    TERMINATED = 143
    """Ended by SIGTERM, as a time limit, a scheduler or a container sends it."""


class AdvcliError(Exception):
    """A failure during the work.

    Args:
        message: what is wrong, with the value in quotes; lower case, no full stop.
        hint: what to do about it.
    """

    exit_code = ExitStatus.FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            # Part of a traceback, for those who use advcli as a library.
            self.add_note(f"hint: {hint}")


class UsageError(AdvcliError):
    """Wrong usage, detected before any work is done."""

    exit_code = ExitStatus.USAGE


class Interrupted(AdvcliError):
    """Interrupted by the user."""

    exit_code = ExitStatus.INTERRUPTED


def first_line(error: Exception | str) -> str:
    """Return the first line of an error that says something.

    That leaves out the object configuration that Keras appends, and the places in a graph that TensorFlow names.
    """
    text = str(error.args[0] if isinstance(error, KeyError) else error).partition("Full object config")[0]
    text = re.sub(r"\x1b\[\d*m|\{\{function_node [^}]*\}\} ?|\[Op:[^\]]*\]( name:)?", "", text)
    lines = [line.strip() for line in text.splitlines()]
    if lines and lines[0] == "Graph execution error:":
        # Behind it stand the calls that made the node, and then the message.
        lines = [line for line in reversed(lines) if not line.startswith("[[")]
    said = (line for line in lines if line and not line.startswith("Exception encountered when calling"))
    return next(said, type(error).__name__)[:300]


def is_out_of_memory(error: Exception) -> bool:
    """Return whether memory was exhausted: in Python, in TensorFlow, or while AutoGraph traced a function."""
    # By name, so that TensorFlow need not be imported. AutoGraph raises an error of its own, which names the first.
    named = type(error).__name__ == "ResourceExhaustedError" or "MemoryError: " in str(error)
    return isinstance(error, MemoryError) or named


def is_interrupt(error: BaseException) -> bool:
    """Return whether an interrupt, such as Ctrl-C, became this error in a library that it met while it cleared up."""
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        # Of an error that it cannot hand on, pybind11 keeps the name alone.
        if isinstance(found, KeyboardInterrupt) or (
            isinstance(found, RuntimeError) and "REPLACED BY KeyboardInterrupt" in str(found)
        ):
            return True
        seen.add(id(found))
        found = found.__cause__ or found.__context__
    return False


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return a hint that names the choice nearest to a mistyped value, or all of them."""
    choices = list(choices)
    # step_size is rather step with a word too many than steps with other letters.
    words = set(re.split("[-_ ]", value.lower()))
    matches = [choice for choice in choices if choice.lower() in words]
    matches = matches or difflib.get_close_matches(value, choices, n=1)
    if matches:
        return f"did you mean '{matches[0]}'?"
    listed = ", ".join(choices[:20]) + (", ..." if len(choices) > 20 else "")
    return f"choose from: {listed}"
