"""An interrupt between any two steps of writing a file leaves the old one or the new one, and nothing else."""

import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from advcli.files import atomic


def write(path: Path, content: bytes) -> None:
    with atomic.whole_file(path) as file:
        file.write(content)


def interrupted_at(step: int, path: Path) -> bool:
    """Write with an interrupt before one of the lines that run: whether there is such a line."""
    left = step

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left
        # What clears up is not interrupted again.
        if frame.f_code.co_filename != atomic.__file__ or sys.exc_info()[0] is KeyboardInterrupt:
            return None
        if event == "line":
            left -= 1
            if left < 0:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        write(path, b"new")
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


@pytest.mark.parametrize("exists", [False, True])
def test_an_interrupt_at_any_line_leaves_no_temporary_file(exists: bool, tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    contents = set()
    step = 0
    for step in range(100):
        if exists:
            path.write_bytes(b"old")
        else:
            path.unlink(missing_ok=True)
        goes_on = interrupted_at(step, path)
        found = {file.name for file in tmp_path.iterdir()}
        assert found <= {"x.png"}, step
        contents.add(path.read_bytes() if found else b"")
        if not goes_on:
            break
    assert step > 10
    assert contents == {b"old" if exists else b"", b"new"}
