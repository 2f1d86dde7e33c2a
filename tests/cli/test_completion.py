"""Completion on the shell's command line."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import typer

from advcli.cli.app import app
from advcli.cli.completion import complete_class, complete_spec
from advcli.data.class_names import class_index
from advcli.model.classifier import labels_of
from conftest import make_classifier


@pytest.mark.parametrize(
    ("family", "typed", "expected"),
    [
        ("attacks", "pg", ["pgd"]),
        ("attacks", "pgd:st", ["pgd:steps=", "pgd:step=", "pgd:stop="]),
        ("attacks", "pgd:steps=40,re", ["pgd:steps=40,restarts="]),
        ("attacks", "nothing:st", []),
        ("corruptions", "gaussian_n", ["gaussian_noise"]),
        ("corruptions", "fog,defocus_", ["fog,defocus_blur"]),
        ("corruptions", "motion:length=3+low_", ["motion:length=3+low_light"]),
        ("corruptions", "defocus:ra", ["defocus:radius="]),
        ("augmentations", "flip,jitter:strength=0.4,h", ["flip,jitter:strength=0.4,hue="]),
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
        "_ADVCLI_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1),
        "KERAS_HOME": str(folder),
    }  # fmt: skip
    code = (
        "import sys; from advcli.cli import main; sys.argv = ['advcli']\n"
        "try: main()\nfinally: assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert {line.partition("\t")[0] for line in done.stdout.splitlines() if line} == expected


def test_names_that_are_offered_are_understood(folder: Path) -> None:
    context = typer.Context(typer.main.get_command(app), info_name="advcli")
    context.params = {"model": str(folder / "mine.keras")}
    names = labels_of(folder / "mine.keras")
    offered = [name for name, _ in complete_class(context, "")]
    assert [class_index(names, name) for name in offered] == list(range(len(names)))
