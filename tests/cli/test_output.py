import io

import pytest
from rich.console import Console
from rich.text import Text

from advcli.cli.output import Output, console, visible
from advcli.records import Failed


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
