"""The output: records to standard output, everything else to standard error."""

import logging
import os
import re
import sys
import traceback
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from types import TracebackType
from typing import IO, TypeVar, cast

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from advcli.cli.progress_lines import ProgressLines
from advcli.cli.tables import attack_and_train as tables
from advcli.cli.tables.evidence import bound_text
from advcli.cli.tables.folding import fit_table, fold_text
from advcli.cli.tables.style import title
from advcli.errors import ExitStatus, is_interrupt
from advcli.records import Attacked, Change, Epoch, Failed, Gate, Progress, Record, Requirement, Tolerance, Verified
from advcli.report.verdict import verdict

_WIDE = 100_000
# A table of attacked images is shown whenever there are so many more.
PART = 1000

# A record, or a value of one.
Parts = TypeVar("Parts")


class PipeClosed(Exception):
    """The reader of standard output has closed the pipe."""


# Of a text for a person: the longest word, such as a file's or a class's name, and all of it.
_LONGEST_WORD, _LONGEST = 200, 2000
# They make a name longer or join its letters, and change nothing else.
_JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"


def visible(text: str, kept: str = "") -> str:
    r"""Show the characters that could command a terminal, or reorder what it shows, as escapes: ``\x1b``, ``\u202e``.

    Args:
        text: names and messages that others wrote, too.
        kept: characters that stay as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        character.encode("unicode_escape").decode() if _is_hidden(character) and character not in kept else character
        for character in text
    )


def readable(text: str) -> str:
    """Make a text visible, and cut very long names out of the middle; what is left out has its own number."""
    text = visible(text)
    if len(text) <= _LONGEST_WORD:
        return text
    return _shortened(re.sub(rf"\S{{{_LONGEST_WORD + 1},}}", lambda word: _shortened(word[0], _LONGEST_WORD), text))


def _shortened(text: str, most: int = _LONGEST) -> str:
    if len(text) <= most:
        return text
    # Two texts that differ in the middle alone stay apart.
    middle = f"...[{len(text)} characters, {zlib.crc32(text.encode(errors='surrogatepass')):08x}]..."
    half = (most - len(middle)) // 2
    return text[:half] + middle + text[len(text) - half :]


def _is_hidden(character: str) -> bool:
    kind = unicodedata.category(character)
    return kind in ("Cc", "Cs", "Zl", "Zp") or (kind == "Cf" and character not in _JOINERS)


def _readable_parts(value: Parts) -> Parts:
    """Make all texts in a record readable, so that tables can count their characters."""
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, list | tuple):
        # A named tuple takes its items one by one.
        parts = [_readable_parts(item) for item in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        shown = {_readable_parts(key): _readable_parts(item) for key, item in value.items()}
        return cast(Parts, shown)
    if is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in fields(value) if each.init]
        return replace(value, **{name: _readable_parts(getattr(value, name)) for name in names})
    return value


class _Terminal(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render something for a terminal: every text passes through here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text, "\n"), segment.style)

    def on_broken_pipe(self) -> None:
        raise PipeClosed


def console(file: IO[str]) -> Console:
    """Return a console that never cuts a line when it does not write to a terminal."""
    terminal = _Terminal(file=file, highlight=False, soft_wrap=False)
    return terminal if terminal.is_terminal else _Terminal(file=file, highlight=False, width=_WIDE)


def write_note(message: str) -> None:
    """Write a note to standard error while no command shows its output."""
    console(sys.stderr).print(Text(f"advcli: {message}"))


def write_error(message: str, hint: str = "") -> None:
    """Write an error and its hint to standard error."""
    stderr = console(sys.stderr)
    stderr.print(Text.assemble(("advcli: error: ", "bold red"), readable(message)))
    if hint:
        stderr.print(Text.assemble(("hint: ", "cyan"), readable(hint)))


def write_traceback() -> None:
    """Write the traceback of the current exception to standard error."""
    console(sys.stderr).print(Text(traceback.format_exc()))


class _Notes(logging.Handler):
    """A log handler that writes notes and warnings to standard error."""

    def __init__(self, output: "Output") -> None:
        super().__init__()
        self._output = output

    def emit(self, record: logging.LogRecord) -> None:
        warning = ("warning: ", "yellow") if record.levelno >= logging.WARNING else ("", "")
        self._output.stderr.print(Text.assemble("advcli: ", warning, readable(record.getMessage())))


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
        self._attacked = 0
        self._fooled = 0
        self._failures = 0
        self._unmet = 0
        self._notes = _Notes(self)
        self._logging = (True, logging.NOTSET)
        self._bar: Bar | None = None
        self._lines = ProgressLines()

    def __enter__(self) -> "Output":
        logger = logging.getLogger("advcli")
        self._logging = logger.propagate, logger.level
        logger.propagate = False
        logger.setLevel(logging.ERROR if self.silent else logging.WARNING if self.quiet else logging.INFO)
        logger.addHandler(self._notes)
        if self.stderr.is_terminal and not self.quiet:
            self._bar = Bar(
                TextColumn("{task.description}", markup=False),
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
            if self._attacked > PART:
                self.stdout.print(Text(f"in all {self._fooled:,} of {self._attacked:,} fooled"))
            # What was interrupted has found nothing yet.
            if kind is None and (sentence := verdict(self._records)):
                self.stdout.print(fold_text(Text(sentence, "bold"), self._width()))
        logger = logging.getLogger("advcli")
        logger.removeHandler(self._notes)
        logger.propagate, level = self._logging
        logger.setLevel(level)

    def show(self, events: Iterable[Record | Progress]) -> int:
        """Show a task's records and progress; return the command's exit code.

        Raises:
            KeyboardInterrupt: the task was interrupted, whatever error a library made of that.
        """
        try:
            return self._show(events)
        except Exception as error:
            if is_interrupt(error):
                raise KeyboardInterrupt from error
            raise

    def _show(self, events: Iterable[Record | Progress]) -> int:
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
                write_error(f"{what}: {event.statistic} {event.accuracy:.1%} is less than {event.least:.1%}")
            if isinstance(event, Change) and event.met is False:
                self._unmet += 1
                lost = f"{event.before:.1%} before, {event.after:.1%} now"
                write_error(f"{event.model}, {title(event)}: {lost}: lower by more than {event.tolerated:.1%}")
            if isinstance(event, Requirement) and not event.met:
                self._unmet += 1
                what = f"{event.model}, requirement {event.id}, {title(event)}"
                write_error(f"{what}: {event.statistic} {event.value:.2%} is less than {bound_text(event.bound)}")
            if isinstance(event, Verified) and not event.intact:
                self._failures += 1
                write_error(f"'{event.file}' {event.problem}")
            if isinstance(event, Tolerance) and event.met is False:
                self._unmet += 1
                required = f"{event.parameter} {event.hold:.10g} is required"
                write_error(f"{event.model} {event.statement}: {required}")
            if isinstance(event, Epoch) and not self.quiet:
                self.stderr.print(tables.epoch_line(_readable_parts(event)))
            if self.json:
                self._write_line(event.to_json())
            else:
                self._records.append(_readable_parts(event))
                if isinstance(event, Attacked):
                    self._attacked += 1
                    self._fooled += event.fooled
                    if self._attacked % PART == 0:
                        self._show_part()
        return ExitStatus.FAILED if self._failures else ExitStatus.UNMET if self._unmet else ExitStatus.DONE

    def _advance(self, progress: Progress) -> None:
        progress = replace(progress, what=readable(progress.what))
        if self._bar is None:
            line = None if self.quiet else self._lines.line(progress)
            if line is not None:
                self.stderr.print(Text(f"advcli: {line}"))
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

    def _show_part(self) -> None:
        """Show the table of the last images, so that memory does not grow with their number."""
        if self._bar is not None:
            self._bar.stop()
        self._show_tables()
        self._records.clear()
        if self._bar is not None:
            self._bar.start()

    def _show_tables(self) -> None:
        for shown in tables.tables(self._records):
            if isinstance(shown, Text):
                # A command that is cut into lines cannot be copied.
                self.stdout.print(shown, soft_wrap=True)
                continue
            if not self.stdout.is_terminal:
                _make_plain(shown)
            for part in fit_table(shown, self._width()):
                self.stdout.print(part)

    def _width(self) -> int:
        """Return the width of tables: that of the terminal; in a pipe as wide as they are, or what COLUMNS says."""
        columns = os.environ.get("COLUMNS", "")
        return int(columns) if columns.isdecimal() and int(columns) > 0 else self.stdout.width


def _make_plain(table: Table) -> None:
    table.box = box.ASCII
    table.safe_box = True
