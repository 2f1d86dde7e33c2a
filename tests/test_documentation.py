"""README and docs/: their links, tables and shell lines."""

import re
import shlex
import subprocess
import sys
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path

import pytest
import typer

import documentation
from advcli import registry
from advcli.cli import attack, benchmark, explain, train  # noqa: F401  they register themselves
from advcli.cli.app import app
from documentation import CHECKED, PAGES, ROOT
from test_house import FAMILIES

COMMAND = typer.main.get_command(app)
# Options whose values are specs, and their families.
SPECS = {"--attack": "attacks", "--objective": "objectives", "--modifier": "modifiers", "--method": "explainers"}
SPECS |= {"--backbone": "backbones", "--recipe": "recipes", "--noise": "augmentations"}


def shell_lines(page: Path) -> list[str]:
    """Return the lines of a page's shell blocks, continued ones joined, without comments."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.strip()]


LINES = [(page, line) for page in PAGES for line in shell_lines(page) if re.search(r"(^|\s)advcli \w", line)]


@pytest.mark.parametrize(("page", "line"), LINES, ids=[f"{page.stem}-{n}" for n, (page, _) in enumerate(LINES)])
def test_a_shell_line_is_understood(page: Path, line: str) -> None:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    # A command ends at a pipe, at && and the like.
    parts = [list(part) for control, part in groupby(lexer, key=lambda word: set(word) <= set("|&;")) if not control]
    for words in parts:
        place = next((i for i, word in enumerate(words) if re.fullmatch("(.*/)?advcli", word)), None)
        if place is None:
            continue
        name, *arguments = words[place + 1 :]
        command = COMMAND.commands[name]  # pyright: ignore[reportAttributeAccessIssue]  it is a group
        if "--config" in arguments:
            # The file is read at once, and is not here.
            place = arguments.index("--config")
            del arguments[place : place + 2]
        # Reads every option, and the type of its value; nothing is run.
        command.make_context(name, arguments, resilient_parsing=False)
        for option, value in pairwise(arguments):
            if option in SPECS and value != "none":
                registry.build(SPECS[option], value)


def test_enough_lines_are_found() -> None:
    assert len(LINES) > 60
    assert {page.stem for page, _ in LINES} >= {"README", "train", "attack", "benchmark", "explain"}


@cache
def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path) if path else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found), target
    for file in re.findall(r"`(examples/[\w./-]+|tests/benchmarks/[\w./-]+\.py)`", text):
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_tables_are_those_of_the_components(page: Path) -> None:
    text = page.read_text()
    assert documentation.renewed(text) == text, "python tests/documentation.py writes them anew"


def test_every_attack_was_checked_against_something() -> None:
    assert CHECKED.keys() == set(registry.names("attacks"))
    files = {ROOT / "tests" / file for checks in CHECKED.values() for _, file in checks}
    assert [file for file in files if not file.is_file()] == []


def test_every_family_has_a_page() -> None:
    assert {page.stem for page in (ROOT / "docs" / "components").glob("*.md")} == set(FAMILIES)


def test_a_component_is_shown_as_it_is() -> None:
    source = (ROOT / "advcli" / "attacks" / "fgsm.py").read_text().rstrip()
    assert source in (ROOT / "docs" / "adding.md").read_text()


def test_the_front_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 250


def test_every_page_is_in_the_navigation() -> None:
    listed = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text()))
    there = {str(page.relative_to(ROOT / "docs")) for page in (ROOT / "docs").rglob("*.md")}
    assert listed == there


def test_the_site_is_built(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "benchmark" / "index.html").is_file()
