import io
import logging
import re
import shlex

import pytest
from rich.console import Console
from rich.text import Text

from advcli.cli.output import PART, Output, console, readable, visible, write_error
from advcli.records import Failed
from benchmark_records import attacked, every_kind
from conftest import Command


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("grüße, 猫 \U0001f469\u200d\U0001f52c", "grüße, 猫 \U0001f469\u200d\U0001f52c"),
        ("\x1b[31mred\x07\r", r"\x1b[31mred\x07\r"),
        ("\x9b31m\x7f\x85", r"\x9b31m\x7f\x85"),
        ("\u202egnp\u2066x\u200f", r"\u202egnp\u2066x\u200f"),
        ("one\ntwo\u2028three", r"one\ntwo\u2028three"),
        ("\udcff", r"\udcff"),
    ],
)
def test_control_characters_are_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize("terminal", [True, False])
def test_whatever_is_printed_is_filtered(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Console, "is_terminal", terminal)
    file = io.StringIO()
    printed = console(file)
    printed.print(Text("a\x1b]0;title\x9bb", "bold red"), "c\u202ed", no_wrap=True)
    assert r"\x1b]0;title\x9bb" in file.getvalue()
    assert r"c\u202ed" in file.getvalue()
    assert not {"\x9b", "\u202e"} & set(file.getvalue())
    assert "\x1b]" not in file.getvalue()


def test_json_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    record = Failed(model="m\x1b", data="d", seed=0, image="a\u202e\n.png", error="none")
    with Output(json=True, quiet=False) as output:
        assert output.show([record]) == 1
    found = capsys.readouterr()
    assert found.out == record.to_json() + "\n"
    assert r"a\u202e\n.png" in found.err


def test_a_very_long_name_is_cut_out_of_the_middle_and_stays_apart_from_others() -> None:
    one, other = ("x" * 2500 + middle + "y" * 2500 for middle in "ab")
    shown = readable(f"'{one}' is no image")
    assert shown.startswith("'xxx")
    assert shown.endswith("yyy' is no image")
    assert "[5003 characters, " in shown
    assert len(shown) <= 215
    assert readable(one) != readable(other)
    assert len(readable("one two " * 1000)) <= 2000
    assert len(readable("\x1b" * 5000)) <= 200


def test_python_s_logging_is_left_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    with Output(json=False, quiet=True), Output(json=False, quiet=False, silent=True):
        pass
    with caplog.at_level(logging.INFO):
        logging.getLogger("advcli").info("heard")
    assert caplog.messages == ["heard"]


def test_usual_texts_are_shown_whole() -> None:
    for text in ("a" * 200, "a path/of/some length " * 20, "gruesse, \u732b"):
        assert readable(text) == text


def test_a_long_name_is_short_in_tables_and_messages_and_whole_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    name = "n" * 5000
    record = Failed(model="m", data="d", seed=0, image=name, error=f"no '{name}'")
    with Output(json=True, quiet=False) as output:
        output.show([record])
        logging.getLogger("advcli").warning("read %s", name)
    write_error(name, name)
    found = capsys.readouterr()
    assert found.out == record.to_json() + "\n"
    assert name in found.out
    assert max(map(len, found.err.splitlines())) < 500
    with Output(json=False, quiet=False) as output:
        output.show(every_kind(models=(name, "robust"), classes=(name + "1", name + "2")))
    found = capsys.readouterr()
    assert "nnn" in found.out
    assert max(map(len, found.out.splitlines())) < 2500


def test_many_images_are_shown_in_parts_and_none_twice(capsys: pytest.CaptureFixture[str]) -> None:
    count = 2 * PART + 3
    shown = 0
    with Output(json=False, quiet=True) as output:
        for first in range(0, count, PART):
            numbers = range(first, min(first + PART, count))
            output.show(attacked(image=f"{number:05}.png", fooled=number % 2 == 0) for number in numbers)
            # What is shown is no longer in memory.
            shown += len(re.findall(r"\d{5}\.png", capsys.readouterr().out))
            assert shown == (first + PART) // PART * PART or first + PART > count
    rest = capsys.readouterr().out
    assert shown == 2 * PART
    assert len(re.findall(r"\d{5}\.png", rest)) == 3
    assert f"in all {PART + 2:,} of {count:,} fooled" in rest


def test_the_images_of_one_part_have_one_sum(capsys: pytest.CaptureFixture[str]) -> None:
    with Output(json=False, quiet=True) as output:
        output.show([attacked(image="a.png"), attacked(image="b.png", fooled=False)])
    text = capsys.readouterr().out
    assert "1 of 2 fooled" in text
    assert "in all" not in text


def test_the_command_that_measures_a_run_can_be_copied_and_runs(advcli: Command) -> None:
    """It stands on one line, however narrow the terminal is."""
    name = "runs/a name with spaces that is longer than the table"
    training = ("train", "--data", "digits", "--limit", "60", "--backbone", "linear", "--epochs", "1", "--out", name)
    trained = advcli(*training, env={"COLUMNS": "50"})
    assert trained.returncode == 0, trained.stderr
    before, _, command = trained.stdout.splitlines()[-1].partition(": ")
    assert before == "on test images"
    program, *arguments = shlex.split(command)
    assert (program, arguments[:2]) == ("advcli", ["benchmark", name])
    measured = advcli(*arguments, "--first", 5, "--no-checks")
    assert measured.returncode == 0, measured.stderr
    assert "clean" in measured.stdout
