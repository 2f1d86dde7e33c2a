"""The help: for people, at any width."""

import re
import subprocess
import sys

import pytest

from advcli import registry

COMMANDS = ("train", "attack", "benchmark", "explain")


def shown(*arguments: str, columns: int = 80) -> str:
    command = [sys.executable, "-m", "advcli", *arguments]
    environment = {"COLUMNS": str(columns), "PATH": ""}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_is_for_people(name: str) -> None:
    text = shown(name, "--help")
    # No type of Python, and no bounds in brackets.
    assert not re.search(r"<\w|list\[|\[x>|x<=", text)
    assert "Examples" in text
    assert f"advcli {name} " in text[text.index("Examples") :]
    assert max(map(len, text.splitlines())) <= 80


def test_the_help_without_a_command_is_for_people() -> None:
    text = shown("--help")
    assert not re.search(r"<\w", text)
    assert all(name in text for name in ("--install-completion", "--version", *COMMANDS))
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("columns", [60, 80])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_word_is_broken(name: str, columns: int) -> None:
    words = set(re.findall(r"[A-Za-z]{3,}", shown(name, "--help", columns=250)))
    # A word longer than its column, such as a path, ends in an ellipsis.
    text = re.sub(r"\S*…", "", shown(name, "--help", columns=columns))
    narrow = set(re.findall(r"[A-Za-z]{3,}", text))
    assert not narrow - words


def test_components_are_listed_with_what_they_are() -> None:
    text = shown("benchmark", "--help-attacks", columns=250)
    lines = {line.split(":")[0].split()[0]: line for line in text.splitlines() if line.startswith("  ")}
    assert set(lines) == set(registry.names("attacks"))
    assert "(gradient; linf, l2, l1; step: pixel values in [0, 1])" in lines["pgd"]
    assert "steps=20" in lines["pgd"]
    assert "(decision; linf, l2)" in lines["hopskipjump"]
    assert "gaussian_noise  " in shown("benchmark", "--help-corruptions")
    assert "(noise)" in shown("benchmark", "--help-corruptions")
