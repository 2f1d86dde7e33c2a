"""A run that is killed, whenever that is, ends to the bit like one that was not. Every run is a real process."""

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from conftest import Command, make_classifier

# Everything that has to be remembered: momentum, averages, stages, a schedule that reacts, a radius that grows.
OPTIONS = (
    *("--objective", "fgsm-rs", "--backbone", "small:width=4", "--weights", "start.weights.h5", "--edge", 8),
    *("--limit", 300, "--batch", 16, "--epochs", 6, "--learning-rate", 0.1, "--robust-images", 8),
    *("--ema", 0.9, "--schedule", "plateau:patience=1,threshold=0.3,factor=0.5", "--weight-decay", 0.001),
    *("--unfreeze", "plateau", "--stages", 3, "--adv-start-epoch", 2, "--eps-warmup", 1.5, "--guard", "rollback"),
    *("--augment", "crop,gaussian", "--deterministic"),
)
KILLS = 3


Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path, program: tuple[str, ...]) -> Start:
    """Start a training run, and do not wait for its end."""

    def started(*arguments: object) -> "subprocess.Popen[bytes]":
        command = [*program, "train", *map(str, arguments), "--quiet"]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    return started


def begun(process: "subprocess.Popen[bytes]", run: Path, since: float) -> bool:
    """Wait until a process has written what it is going to do, or has ended."""
    description = run / "run.json"
    while process.poll() is None:
        if description.exists() and description.stat().st_mtime > since:
            return True
        time.sleep(0.01)
    return False


def rows(run: Path) -> list[str]:
    """Read the history without the seconds, which are its last column."""
    return [line.rpartition(",")[0] for line in (run / "history.csv").read_text().splitlines()]


def test_a_run_killed_at_any_moment_ends_like_one_that_was_not(advcli: Command, start: Start, tmp_path: Path) -> None:
    make_classifier("small:width=4", classes=10).model.save_weights(tmp_path / "start.weights.h5")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(*OPTIONS, "--out", "whole")
    assert begun(process, whole, 0.0)
    began = time.time()
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr.decode()
    length = time.time() - began

    moments = random.Random(0)
    arguments: tuple[object, ...] = (*OPTIONS, "--out", "killed")
    for _ in range(KILLS):
        process = start(*arguments)
        if begun(process, killed, time.time()):
            time.sleep(moments.uniform(0, 0.8 * length))
        process.kill()
        _, stderr = process.communicate(timeout=60)
        assert process.returncode in (-9, 0), stderr.decode()
        arguments = ("--resume", "killed")
    resumed = advcli("train", "--resume", "killed", "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout.splitlines()[-1])["type"] == "trained"

    assert rows(killed) == rows(whole)
    assert len(rows(whole)) == 7
    with np.load(killed / "checkpoint" / "state.npz") as one, np.load(whole / "checkpoint" / "state.npz") as other:
        assert one.files == other.files
        for name in one.files:
            if name != "state":
                np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    models = {path.name for path in whole.glob("*.keras")}
    assert models == {"model.keras", "best-robust.keras", "best-clean.keras", "last.keras", "ema.keras"}
    assert {path.name for path in killed.iterdir()} == {path.name for path in whole.iterdir()}


def test_two_processes_do_not_train_in_one_folder(advcli: Command, start: Start, tmp_path: Path) -> None:
    tiny = ("--backbone", "small:width=4", "--edge", 8, "--limit", 100, "--robust-images", 8, "--epochs", 500)
    process = start(*tiny, "--out", "run")
    assert begun(process, tmp_path / "run", 0.0)
    second = advcli("train", "--resume", "run")
    process.kill()
    process.communicate(timeout=60)
    assert second.returncode == 2
    assert "another process is training in 'run'" in second.stderr
