"""The command line: the one place where errors become messages and exit codes."""

import errno
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from advcli.cli.interrupts import Interrupts
from advcli.errors import ExitStatus, is_interrupt, is_out_of_memory

if TYPE_CHECKING:
    import typer


def main() -> None:
    """Run the command line and exit with its exit code."""
    interrupts = Interrupts()
    try:
        interrupts.watch()
        code = _run()
    except KeyboardInterrupt:
        code = _interrupted()
    if interrupts.terminated and code == ExitStatus.INTERRUPTED:
        code = ExitStatus.TERMINATED
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = _pipe_closed()
    except OSError:
        # The error is already reported; the rest of the buffer cannot be written either.
        _pipe_closed()
        code = code or ExitStatus.FAILED
    # Ctrl-C inside an exec of a text, as imports make them, leaves Python set to end by SIGINT, whatever the exit code
    # is. Evaluating another text takes that back.
    eval("0")  # noqa: S307  a constant
    interrupts.release()
    sys.exit(code)


def _run() -> int:
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the parent process
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  it lasts as long as the process
        # A class name may be in any script, a terminal's encoding may not be.
        getattr(sys, name).reconfigure(errors="backslashreplace")
    _silence_libraries()
    import typer

    from advcli.cli import attack, benchmark, explain, train  # noqa: F401  they register themselves
    from advcli.cli.app import app
    from advcli.cli.completion import bash_completion
    from advcli.errors import AdvcliError

    try:
        with bash_completion():
            result = app(prog_name="advcli", standalone_mode=False)
    except AdvcliError as error:
        from advcli.cli.output import write_error

        write_error(error.message, error.hint)
        return error.exit_code
    except typer.TyperException as error:
        return _wrong_usage(error)
    except typer.Abort:
        return _interrupted()
    except (
        SystemExit
    ) as end:  # typer exits with 0 when it completed a word; typer and rich with 1 when the pipe is closed
        return ExitStatus.DONE if not end.code else _pipe_closed()
    except Exception as error:  # noqa: BLE001  any other error is a bug, and is reported as one
        return _unexpected(error)
    if result == ExitStatus.INTERRUPTED:
        return _interrupted()
    return result if isinstance(result, int) else ExitStatus.DONE


def _silence_libraries() -> None:
    """Keep back what libraries say about their own code, which a user cannot mend; errors are raised in any case."""
    logging.captureWarnings(True)
    for name in ("py.warnings", "tifffile", "PIL"):
        logger = logging.getLogger(name)
        logger.addHandler(logging.NullHandler())
        logger.propagate = False
    # Without any handler, Python writes the warnings of other loggers to standard error.
    logging.getLogger().addHandler(logging.NullHandler())


def _wrong_usage(error: "typer.TyperException") -> int:
    from advcli.cli.output import write_error

    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()  # pyright: ignore[reportAttributeAccessIssue]  of this class, which typer keeps to itself
        return ExitStatus.USAGE
    possible = getattr(error, "possibilities", None)
    if possible:
        write_error(error.message, f"did you mean {', '.join(sorted(possible))}?")
    else:
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "advcli"
        write_error(error.format_message(), f"see {command} --help")
    return ExitStatus.USAGE


def _unexpected(error: Exception) -> int:
    from advcli.cli.output import PipeClosed, write_error, write_traceback

    if isinstance(error, PipeClosed):
        return _pipe_closed()
    if is_interrupt(error):
        return _interrupted()
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        write_error(f"cannot write: {error.strerror}")
        return ExitStatus.FAILED
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        write_error(f"'{error.filename}': {error.strerror}")
        return ExitStatus.USAGE
    if is_out_of_memory(error):
        write_error("out of memory", "give a smaller --batch")
        return ExitStatus.FAILED
    write_traceback()
    write_error("this is a bug in advcli", "please report it with the lines above")
    return ExitStatus.FAILED


def _interrupted() -> int:
    from advcli.cli.output import write_error

    write_error("interrupted")
    return ExitStatus.INTERRUPTED


def _pipe_closed() -> int:
    # What is still buffered must not be written when Python shuts down.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitStatus.PIPE_CLOSED
