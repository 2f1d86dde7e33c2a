"""Read the rows of a table: .csv, .tsv or .jsonl."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from advcli.datasets._files import Tree
from advcli.errors import AdvcliError, UsageError


def read_table(tree: Tree, table: str, where: Path) -> Iterator[dict[str, str]]:
    """Read the rows of a table: column -> text.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        text = tree.read(table).decode("utf-8-sig")
        if PurePosixPath(table).suffix.lower() == ".jsonl":
            for number, line in enumerate(text.splitlines(), 1):
                if line.strip():
                    content = json.loads(line)
                    if not isinstance(content, dict):
                        raise UsageError(f"line {number} of '{where}' is not an object", 'write {"file_name": ...}')
                    yield {key: _text(value) for key, value in content.items()}
            return
        lines = text.splitlines()
        first = lines[0] if lines else ""
        delimiter = max(",;\t", key=first.count)
        for row in csv.DictReader(lines, delimiter=delimiter, strict=True):
            if None in row or None in row.values():
                raise UsageError(f"a row of '{where}' has not as many fields as the first: {_first(row)}", "")
            yield {str(key): value for key, value in row.items()}
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError) as error:
        raise UsageError(f"'{where}' cannot be read as a table: {error}", "") from error
    except AdvcliError as error:
        raise UsageError(error.message, error.hint) from error


def _first(row: Mapping[str | None, object]) -> object:
    return next((value for value in row.values() if value), "empty")


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
