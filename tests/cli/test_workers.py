"""Two worker processes on this machine: one dies, both are started again, and the run ends as on one device."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from conftest import Command

OPTIONS = "train --backbone small:width=4 --edge 8 --limit 200 --robust-images 9 --epochs 3 --learning-rate 0.02 --json"

# As a worker that the machine takes away in the middle of the second epoch.
DYING = """
import os, signal
from advcli.cli import main
from advcli.tasks.train.trainer import Trainer

take_steps = Trainer.epoch

def epoch(trainer, checkpoint):
    for ahead in take_steps(trainer, checkpoint):
        if (ahead.epoch, ahead.step) == (1, 2):
            os.kill(os.getpid(), signal.SIGKILL)
        yield ahead

Trainer.epoch = epoch
main()
"""


def start_two(folder: Path, options: str, second: tuple[str, ...] = ("-m", "advcli")) -> list[subprocess.Popen[str]]:
    """Start the command as two workers."""
    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    processes = []
    for index, program in enumerate((("-m", "advcli"), second)):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        processes.append(
            subprocess.Popen(
                [sys.executable, *program, *options.split()],
                cwd=folder,
                env=os.environ | {"TF_CONFIG": json.dumps(config), "PYTHONPATH": os.pathsep.join(sys.path)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return processes


def ends(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Wait for the end of all: exit code, standard output, standard error."""
    try:
        outputs = [process.communicate(timeout=120) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def history(folder: Path) -> np.ndarray:
    rows = csv.DictReader((folder / "history.csv").open())
    return np.array([[float(row[name] or 0) for name in row if name not in ("guard", "seconds")] for row in rows])


@pytest.mark.slow
def test_workers_that_lose_one_go_on_later_and_end_as_one_device(tmp_path: Path, advcli: Command) -> None:
    alone = advcli(*OPTIONS.split(), "--strategy", "one", "--out", "one")
    assert alone.returncode == 0, alone.stderr
    (code, out, err), killed = ends(start_two(tmp_path, f"{OPTIONS} --out two", ("-c", DYING)))
    assert killed == (-9, "", "")
    assert code == 1, err
    assert err.splitlines()[-2:] == [
        "advcli: error: another worker is lost",
        "hint: start all workers again, with --resume two",
    ]
    assert [json.loads(line)["epoch"] for line in out.splitlines()] == [1]
    assert len(history(tmp_path / "two")) == 1

    (code, out, err), other = ends(start_two(tmp_path, "train --resume two --json"))
    assert (code, other) == (0, (0, "", "")), err
    assert [json.loads(line)["type"] for line in out.splitlines()] == ["epoch", "epoch", "trained"]
    np.testing.assert_allclose(history(tmp_path / "two"), history(tmp_path / "one"), atol=1e-5)
    with (
        np.load(tmp_path / "one" / "checkpoint" / "state.npz") as one,
        np.load(tmp_path / "two" / "checkpoint" / "state.npz") as two,
    ):
        assert one.files == two.files
        for name in one.files:
            if name != "state":
                np.testing.assert_allclose(two[name], one[name], atol=1e-5, err_msg=name)


def test_workers_that_nobody_names_are_wrong_usage(advcli: Command) -> None:
    result = advcli("train", "--strategy", "multiworker", env={"TF_CONFIG": ""})
    assert result.returncode == 2
    assert "no TF_CONFIG names the workers" in result.stderr
