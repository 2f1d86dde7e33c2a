"""A clock that jumps while a command works: back an hour, a year ahead, or both in turns."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Command
from evaluations import lines, make_models
from long import seeded

pytestmark = pytest.mark.long

# Part of the environment: every process of a command imports it first.
JUMPS = """
import os, random, time

_real, _began, _moments = time.time, time.time(), random.Random(os.environ["CLOCK_SEED"])
_SIZES = {"back": (-3600.0,), "ahead": (31536000.0,), "both": (-3600.0, 31536000.0, 0.0, -7200.0)}[os.environ["CLOCK"]]


def _time():
    if _real() - _began < 1:
        return _real()
    return _real() + _moments.choice(_SIZES)


time.time = _time
time.time_ns = lambda: int(_time() * 1e9)
"""
# Longer than any of these calls takes on a busy machine, and shorter than the jumps.
LONGEST = 600


def numbers(content: Any) -> list[float]:
    """Return the times in a record and what it holds."""
    if isinstance(content, dict):
        own = [float(value) for key, value in content.items() if "seconds" in key and isinstance(value, (int, float))]
        return own + [number for value in content.values() for number in numbers(value)]
    return [number for value in content for number in numbers(value)] if isinstance(content, list) else []


@pytest.mark.parametrize("clock", ["back", "ahead", "both"])
def test_a_clock_that_jumps_changes_nothing(clock: str, tmp_path: Path, advcli: Command) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPS)
    make_models(tmp_path)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = {"PYTHONPATH": path, "CLOCK": clock, "CLOCK_SEED": str(seeded(clock).random())}

    def call(*arguments: object, code: int = 0) -> str:
        result = advcli(*arguments, "--json", env=environment, timeout=LONGEST)
        assert result.returncode == code, result.stderr
        assert "Traceback" not in result.stderr
        found = [json.loads(line) for line in result.stdout.splitlines()]
        assert all(0 <= number < LONGEST for number in numbers(found)), result.stdout
        return result.stderr

    tiny = ("--backbone", "linear", "--edge", 8, "--limit", 100, "--batch", 16, "--robust-images", 8, "--epochs")
    call("train", *tiny, 2, "--objective", "clean", "--out", "run")
    call("train", "--resume", "run", "--epochs", 3)
    history = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert len(history) == 4
    assert all(float(line.rpartition(",")[2]) >= 0 for line in history[1:])
    benchmark = ("benchmark", "first.keras", "--data", "data.npz", "--eps", 0.1, "--no-checks")
    for name, options in (("whole", ()), ("budget", ("--budget", "5s"))):
        call(*benchmark, "--attack", "fgsm", "--attack", "pgd:steps=3", *options, "--out", f"{name}.jsonl")
        assert all(0 <= number < LONGEST for number in numbers(lines(tmp_path / f"{name}.jsonl")))
    call("benchmark", "--resume", "whole.jsonl", "--no-checks")
    assert sum(line["type"] == "score" for line in lines(tmp_path / "whole.jsonl")) >= 3


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such locks")
def test_a_lock_is_one_of_a_process_not_of_a_time(tmp_path: Path, advcli: Command) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPS)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    environment = {"PYTHONPATH": path, "CLOCK": "ahead", "CLOCK_SEED": "0"}
    tiny = ("train", "--backbone", "linear", "--edge", 8, "--limit", 100, "--robust-images", 8, "--epochs", 5000)
    process = subprocess.Popen(
        [sys.executable, "-m", "advcli", *map(str, tiny), "--objective", "clean", "--out", "run", "--json"],
        cwd=tmp_path,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["epoch"] == 1
        second = advcli("train", "--resume", "run", env=environment)
        assert second.returncode == 2
        assert "another process is training in 'run'" in second.stderr
    finally:
        process.kill()
        process.communicate()
