"""When a line of progress is due without a terminal, and what it says."""

from collections.abc import Sequence

import pytest

from advcli.cli.progress_lines import ProgressLines, duration
from advcli.records import Progress


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def lines(events: Sequence[tuple[float, Progress]]) -> list[tuple[float, str]]:
    clock = Clock()
    shown = ProgressLines(clock)
    found = []
    for clock.now, progress in events:
        line = shown.line(progress)
        if line is not None:
            found.append((clock.now, line))
    return found


def test_short_work_needs_no_line() -> None:
    assert lines([(second, Progress("attacking", second, 19)) for second in range(20)]) == []


def test_a_line_at_each_tenth() -> None:
    found = lines([(second, Progress("pgd", second, 100)) for second in range(101)])
    assert [when for when, _ in found] == [20, 30, 40, 50, 60, 70, 80, 90, 100]
    assert found[0][1] == "pgd: 20 of 100, 1 a second, 80 s left"


def test_a_line_after_half_a_minute_of_little_progress() -> None:
    found = lines([(second, Progress("pgd", second, 10_000)) for second in range(100)])
    assert [when for when, _ in found] == [30, 60, 90]
    assert found[-1][1] == "pgd: 90 of 10000, 1 a second, 2 h 45 min left"


def test_a_new_stage_has_its_own_time_and_speed() -> None:
    first = [(second, Progress("fgsm", second, 50)) for second in range(51)]
    second = [(51 + step, Progress("pgd", 10 + step, 200)) for step in range(60)]
    found = lines(first + second)
    assert [when for when, _ in found] == [20, 25, 30, 35, 40, 45, 50, 71, 81, 101]
    assert found[7][1] == "pgd: 30 of 200, 1 a second, 3 min left"


def test_work_of_unknown_length() -> None:
    assert lines([(second, Progress("reading", 0, 0)) for second in range(0, 70, 10)]) == [
        (30, "reading, 30 s"),
        (60, "reading, 60 s"),
    ]


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (99, "99 s"), (119, "2 min"), (6000, "1 h 40 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
