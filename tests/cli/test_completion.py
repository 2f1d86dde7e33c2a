"""Completion on the shell's command line."""

import os
import subprocess
import sys

import pytest

from advcli.cli.component_lists import complete_spec


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


def test_the_shell_is_answered() -> None:
    environment = os.environ | {
        "_ADVCLI_COMPLETE": "complete_bash", "COMP_WORDS": "advcli attack x.png --attack pgd:st", "COMP_CWORD": "4",
    }  # fmt: skip
    code = "from advcli.cli import main; import sys; sys.argv = ['advcli']; main()"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "pgd:steps=" in done.stdout
