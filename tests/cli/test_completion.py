"""Completion on the shell's command line."""

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from advcli import registry
from advcli.cli.app import app
from advcli.cli.completion import complete_class, complete_spec
from advcli.data.class_names import class_index
from advcli.model.own_content import labels_of
from conftest import make_classifier


@pytest.mark.parametrize(
    ("family", "typed", "expected"),
    [
        ("attacks", "pg", ["pgd"]),
        ("attacks", "pgd:st", ["pgd:steps=", "pgd:step=", "pgd:stop="]),
        ("attacks", "pgd:steps=40,re", ["pgd:steps=40,restarts=", "pgd:steps=40,restarts=1"]),
        ("attacks", "pgd:restarts=", ["pgd:restarts=", "pgd:restarts=1"]),
        ("attacks", "pgd:restarts=2", []),
        ("attacks", "nothing:st", []),
        ("corruptions", "gaussian_n", ["gaussian_noise"]),
        ("corruptions", "fog,defocus_", ["fog,defocus_blur"]),
        ("corruptions", "motion:length=3+low_", ["motion:length=3+low_light"]),
        ("corruptions", "defocus:ra", ["defocus:radius="]),
        ("corruptions", "occluder:fi", ["occluder:fill=", "occluder:fill=grey"]),
        (
            "augmentations",
            "flip,jitter:strength=0.4,h",
            ["flip,jitter:strength=0.4,hue=", "flip,jitter:strength=0.4,hue=0.1"],
        ),
    ],
)
def test_names_and_options_are_completed(family: str, typed: str, expected: list[str]) -> None:
    assert sorted(value for value, _ in complete_spec(family)(typed)) == sorted(expected)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, one of them in ``runs/``, a model file, and what is none of these."""
    folder = tmp_path_factory.mktemp("completed")
    labels = ("tabby cat", "goldfish, Carassius auratus", "trolley bus")
    model = replace(make_classifier("linear", classes=len(labels)), labels=labels)
    for run in ("runs/base", "mine"):
        (folder / run).mkdir(parents=True)
        model.save(folder / run / "model.keras")
        (folder / run / "run.json").write_text("{}")
    model.save(folder / "mine.keras")
    (folder / "models").mkdir()
    (folder / "mine.txt").touch()
    (folder / "labels.txt").write_text("one\ntwo\nthree\n")
    return folder


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("attack x.png --attack pgd:st", {"pgd:steps=", "pgd:step=", "pgd:stop="}),
        ("attack x.png --attack pgd : st", {"steps=", "step=", "stop="}),
        ("attack x.png --attack pgd :", {f"{name}=" for name in registry.options("attacks", "pgd")}),
        ("attack x.png --attack pgd : steps = 40,ran", {"40,random_start=", "40,random_start=True"}),
        ("attack x.png --attack pgd : stop = ", {"False"}),
        ("attack x.png --model mi", {"mine", "mine.keras"}),
        ("attack x.png --model runs/", {"runs/base"}),
        ("attack x.png --model ./", {"./mine", "./mine.keras"}),
        ("attack x.png --model mobilenetv", {"mobilenetv2"}),
        ("explain x.png --compare ru", {"runs/base"}),
        ("benchmark mine ru", {"runs/base"}),
        ("train --resume ", {"mine", "runs/base"}),
        ("train --average mine ru", {"runs/base"}),
        ("attack x.png --model runs/base --target t", {"tabby_cat", "trolley_bus"}),
        ("attack x.png --model runs/base --model mine.keras --target g", {"goldfish"}),
        ("explain x.png --model mine.keras --class tr", {"trolley_bus"}),
        ("explain x.png --model mine --contrast goldfish,ta", {"goldfish,tabby_cat"}),
        ("explain x.png --model mine --labels labels.txt --class t", {"two", "three"}),
        ("benchmark mine --classes gol", {"goldfish"}),
        ("attack x.png --model nothing --target t", set()),
        ("attack x.png --model mine.txt --target t", set()),
    ],
)
def test_the_shell_is_answered(typed: str, expected: set[str], folder: Path) -> None:
    words = ["advcli", *typed.split(" ")]
    environment = os.environ | {
        "_ADVCLI_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1),
        "KERAS_HOME": str(folder),
    }  # fmt: skip
    code = (
        "import sys; from advcli.cli import main; sys.argv = ['advcli']\n"
        "try: main()\nfinally: assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert {line.partition("\t")[0] for line in done.stdout.splitlines() if line} == expected


@pytest.mark.skipif(shutil.which("bash") is None or sys.platform == "win32", reason="needs bash and a terminal")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("attack x.png --attack pgd:ra\t", "<pgd:random_start=>"),
        ("attack x.png --attack pgd:random_start=\t", "<pgd:random_start=True>"),
        ("attack x.png --attack=pgd:steps=40,rand\t", "<--attack=pgd:steps=40,random_start=>"),
        ("attack x.png --attack fgs\t", "<fgsm>"),
        ("attack x.png --model mine.k\t", "<mine.keras>"),
    ],
)
def test_an_interactive_bash_is_answered(typed: str, completed: str, folder: Path) -> None:
    child, terminal = pty.fork()
    if not child:
        os.chdir(folder)
        environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "TERM": "dumb",
            "HOME": str(folder),
        }
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)  # noqa: S606  what the test is about
    try:
        ours = f'advcli() {{ {sys.executable} -m advcli "$@"; }}; eval "$(_ADVCLI_COMPLETE=source_bash advcli)"'
        os.write(terminal, f"{ours}; echo loa''ded\n".encode())
        _wait_for("loaded", terminal)
        os.write(terminal, f"advcli {typed}\x01printf '<%s>' \n".encode())
        _wait_for(completed, terminal)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def _wait_for(text: str, terminal: int) -> None:
    seen = ""
    while text not in seen:
        assert select.select([terminal], [], [], 60)[0], seen
        seen += os.read(terminal, 4096).decode()


def test_names_that_are_offered_are_understood(folder: Path) -> None:
    context = typer.Context(typer.main.get_command(app), info_name="advcli")
    context.params = {"model": str(folder / "mine.keras")}
    names = labels_of(folder / "mine.keras")
    offered = [name for name, _ in complete_class(context, "")]
    assert [class_index(names, name) for name in offered] == list(range(len(names)))
