"""The output: records to standard output, everything else to standard error."""

import logging
import sys
from collections.abc import Iterable
from types import TracebackType
from typing import IO

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from advcli.cli.tables import attack_and_train as tables
from advcli.cli.tables.style import title
from advcli.errors import ExitStatus
from advcli.records import Epoch, Failed, Gate, Progress, Record

_WIDE = 100_000


class PipeClosed(Exception):
    """The reader of standard output has closed the pipe."""


class _Terminal(Console):
    def on_broken_pipe(self) -> None:
        raise PipeClosed


def console(file: IO[str]) -> Console:
    """Return a console that never cuts a line when it does not write to a terminal."""
    terminal = _Terminal(file=file, highlight=False, soft_wrap=False)
    return terminal if terminal.is_terminal else _Terminal(file=file, highlight=False, width=_WIDE)


def write_error(message: str, hint: str = "") -> None:
    """Write an error and its hint to standard error."""
    stderr = console(sys.stderr)
    stderr.print(Text.assemble(("advcli: error: ", "bold red"), message))
    if hint:
        stderr.print(Text.assemble(("hint: ", "cyan"), hint))


class _Notes(logging.Handler):
    """A log handler that writes notes and warnings to standard error."""

    def __init__(self, output: "Output") -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        warning = ("warning: ", "yellow") if record.levelno >= logging.WARNING else ("", "")
        self._output.stderr.print(Text.assemble("advcli: ", warning, record.getMessage()))


class Output:
    """Shows records as tables or JSON Lines, and progress.

    Args:
        json: write JSON Lines instead of a table.
        quiet: show no progress and no notes.
        silent: show no warnings either, as another process shows them.
    """

    def __init__(self, json: bool, quiet: bool, *, silent: bool = False) -> None:
        self.json = json
        self.quiet = quiet or silent
        self.silent = silent
        self.stdout = console(sys.stdout)
        self.stderr = console(sys.stderr)
        self._records: list[Record] = []
        self._failures = 0
        self._unmet = 0
        self._notes = _Notes(self)
        self._bar: Bar | None = None

    def __enter__(self) -> "Output":
        logger = logging.getLogger("advcli")
        logger.propagate = False
        logger.setLevel(logging.ERROR if self.silent else logging.WARNING if self.quiet else logging.INFO)
        logger.addHandler(self._notes)
        if self.stderr.is_terminal and not self.quiet:
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
                console=self.stderr,
                transient=True,
            )
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if not self.json and kind is not PipeClosed:
            self._show_tables()
        logging.getLogger("advcli").removeHandler(self._notes)

    def show(self, events: Iterable[Record | Progress]) -> int:
        """Show a task's records and progress; return the command's exit code."""
        for event in events:
            if isinstance(event, Progress):
                self._advance(event)
                continue
            if isinstance(event, Failed):
                self._failures += 1
                write_error(f"'{event.image}': {event.error}")
            if isinstance(event, Gate) and not event.met:
                self._unmet += 1
                what = f"{event.model}, {title(event)}" + (f", {event.by} {event.value}" if event.by else "")
                write_error(f"{what}: accuracy {event.accuracy:.1%} is less than {event.least:.1%}")
            if isinstance(event, Epoch) and not self.quiet:
                self.stderr.print(tables.epoch_line(event))
            if self.json:
                self._write_line(event.to_json())
            else:
                self._records.append(event)
        return ExitStatus.FAILED if self._failures else ExitStatus.UNMET if self._unmet else ExitStatus.DONE

    def status(self, what: str) -> None:
        """Show a status without a progress bar."""
        self._advance(Progress(what, 0, 0))

    def _advance(self, progress: Progress) -> None:
        if self._bar is None:
            return
        total = progress.of or None
        task = next(iter(self._bar.tasks), None)
        if task is None or task.total != total or progress.done < task.completed:
            # A new stage: the speed of the last one does not apply.
            if task is not None:
                self._bar.remove_task(task.id)
            self._bar.add_task(progress.what, total=total, completed=progress.done)
        else:
            self._bar.update(task.id, description=progress.what, completed=progress.done)

    def _write_line(self, line: str) -> None:
        try:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            raise PipeClosed from None

    def _show_tables(self) -> None:
        for table in tables.tables(self._records):
            if not self.stdout.is_terminal:
                _make_plain(table)
            self.stdout.print(table)


def _make_plain(table: Table) -> None:
    table.box = box.ASCII
    table.safe_box = True
