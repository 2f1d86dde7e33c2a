"""At least 200 kills over the four commands: what the runs leave in the end equals that of runs nobody disturbed.

A call is killed at a random moment, and called again as a user would, until it is done; then it begins anew elsewhere.
Most calls run in a fork that has TensorFlow imported, so that the moment falls into the work; every tenth starts cold.
"""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from evaluations import lines
from long import seeded, share_of

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform != "linux", reason="kills a process by its id")]

KILLS = 52
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
# A fork is asked for, which has its own handlers a moment later.
STARTING = 0.3
COLD = 10

TRAINING = (
    *("train", "--backbone", "linear", "--edge", 8, "--limit", 300, "--batch", 16, "--epochs", 12, "--ema", 0.9),
    *("--robust-images", 16, "--objective", "clean", "--eps", 0.1, "--learning-rate", 0.05, "--deterministic"),
)
IMAGES = 40


@dataclass(frozen=True)
class Work:
    """A command's work in a folder of its own.

    Args:
        call: the arguments of the next call, which depend on what an earlier one left.
        outputs: what it leaves in the end, without times.
    """

    call: Callable[[Path], tuple[object, ...]]
    outputs: Callable[[Path], Mapping[str, object]]


def model_content(path: Path) -> dict[str, bytes]:
    """Read the members of a model file without what Keras writes of the process: the time, and addresses of objects."""
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist() if name != "metadata.json"}
    return {name: re.sub(rb'"shared_object_id": \d+', b"", content) for name, content in found.items()}


def train(folder: Path) -> tuple[object, ...]:
    run = folder / "run"
    if (run / "checkpoint" / "state.npz").exists():
        return ("train", "--resume", "run")
    return (*TRAINING, "--out", "run", *(["--overwrite"] if run.exists() else []))


def trained(folder: Path) -> Mapping[str, object]:
    run = folder / "run"
    found: dict[str, object] = {}
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name = str(path.relative_to(run))
        if path.suffix == ".keras":
            found |= {f"{name}/{member}": content for member, content in model_content(path).items()}
        elif path.name == "history.csv":
            found[name] = [line.rpartition(",")[0] for line in path.read_text().splitlines()]
        elif path.suffix == ".npz":
            with np.load(path) as state:
                found[name] = [(key, state[key].tobytes()) for key in state.files if key != "state"]
        else:
            found[name] = path.read_bytes()
    return found


def benchmark(folder: Path) -> tuple[object, ...]:
    file = folder / "results.jsonl"
    if file.exists() and b"\n" in file.read_bytes():
        return ("benchmark", "--resume", file.name, "--no-checks")
    return (
        *("benchmark", "../model.keras", "--data", "digits", "--limit", 60, "--batch", 4, "--no-checks"),
        *("--attack", "fgsm", "--attack", "pgd:steps=3", "--eps", 0.1, "--noise", "gaussian:std=0.2"),
        *("--corruptions", "brightness,contrast", "--severity", 3, "--out", file.name, "--overwrite"),
    )


def benchmarked(folder: Path) -> Mapping[str, object]:
    return {"results": lines(folder / "results.jsonl"), "files": names(folder)}


def attack(_: Path) -> tuple[object, ...]:
    return (
        *("attack", "../photos", "--model", "../model.keras", "--batch", 2, "--attack", "pgd:steps=20", "--eps", 0.1),
        *("--save", "adversarial,clean,difference", "--out", "out", "--skip-existing"),
    )


def explain(_: Path) -> tuple[object, ...]:
    return (
        *("explain", "../photos", "--model", "../model.keras", "--method", "saliency"),
        *("--out", "out", "--skip-existing"),
    )


def files(folder: Path) -> Mapping[str, object]:
    return {name: (folder / name).read_bytes() for name in names(folder)}


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


WORKS = {
    "train": Work(train, trained),
    "benchmark": Work(benchmark, benchmarked),
    "attack": Work(attack, files),
    "explain": Work(explain, files),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, program: tuple[str, ...]) -> Path:
    """A folder with a model that is trained a little, and photos of digits."""
    folder = tmp_path_factory.mktemp("kills")
    code, error = finish(begin(program, folder, (*TRAINING, "--out", "run")))
    assert code == 0, error
    shutil.copy(folder / "run" / "model.keras", folder / "model.keras")
    (folder / "photos").mkdir()
    for number, image in enumerate(load_digits(return_X_y=True)[0][:IMAGES]):
        Image.fromarray((image * 15).astype(np.uint8).reshape(8, 8)).convert("RGB").save(
            folder / "photos" / f"{number:02}.png"
        )
    return folder


def begin(program: tuple[str, ...], folder: Path, arguments: tuple[object, ...]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*program, *map(str, arguments), "--quiet"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str]:
    """Wait until a process, and whatever runs for it, has ended."""
    _, error = process.communicate(timeout=600)
    return process.returncode, error


def wait_for_handler(process: "subprocess.Popen[str]") -> None:
    """Wait until a process handles SIGTERM: while Python itself is starting, no program can."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        (caught,) = re.findall(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)
        if int(caught, 16) >> signal.SIGTERM - 1 & 1:
            return
        time.sleep(0.01)


def expect_clean_end(number: signal.Signals, code: int, error: str, folder: Path, before: set[Path]) -> None:
    """Check how a call ends that got a signal, perhaps just before it began or when it was done."""
    codes = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
    # Before and after the work the signal itself ends the process, which says nothing; a shell shows the same code.
    if code not in (codes[number], 0) and not (code == -number and not error):
        pytest.fail(f"{number.name}: exit code {code}\n{error}")
    assert "Traceback" not in error, (number, error)
    if number is not signal.SIGKILL:
        assert temporaries(folder) <= before, number


def temporaries(folder: Path) -> set[Path]:
    return {path for path in folder.rglob(".*") if path.is_file()}


@pytest.mark.parametrize("command", WORKS)
def test_killed_runs_end_as_undisturbed_ones(command: str, place: Path, program: tuple[str, ...]) -> None:
    moments = seeded(f"kills {command}")
    work = WORKS[command]
    whole = place / f"{command}-whole"
    whole.mkdir()
    start = time.monotonic()
    code, error = finish(begin(program, whole, work.call(whole)))
    length = time.monotonic() - start
    assert code == 0, error
    expected = work.outputs(whole)
    killed = runs = 0
    counts = dict.fromkeys((each.name for each in SIGNALS), 0)
    wanted = share_of(KILLS)
    while killed < wanted:
        runs += 1
        folder = place / f"{command}-{runs}"
        folder.mkdir()
        while True:
            died = kill_once(work, folder, program, moments, length, cold=killed % COLD == COLD - 1)
            if died is None:
                break
            counts[died.name] += 1
            killed += 1
            if killed >= wanted:
                code, error = finish(begin(program, folder, work.call(folder)))
                assert code == 0, error
                break
        found = work.outputs(folder)
        assert found.keys() == expected.keys()
        assert [name for name in found if found[name] != expected[name]] == []
        assert temporaries(folder) == set()
        shutil.rmtree(folder)
    print(json.dumps({"command": command, "seconds of a run": round(length, 1), "runs": runs, "kills": counts}))


def kill_once(
    work: Work, folder: Path, program: tuple[str, ...], moments: random.Random, length: float, *, cold: bool
) -> signal.Signals | None:
    """Call once and kill the call at a random moment: -> with which signal; None if it was done before."""
    number = moments.choice(SIGNALS)
    # A cold start imports TensorFlow first.
    moment = moments.uniform(0, 1.1 * length + (4 if cold else 0))
    before = temporaries(folder)
    process = begin((sys.executable, "-m", "advcli") if cold else program, folder, work.call(folder))
    if number is not signal.SIGKILL:
        wait_for_handler(process)
        moment += STARTING
    try:
        process.wait(moment)
    except subprocess.TimeoutExpired:
        process.send_signal(number)
        code, error = finish(process)
        expect_clean_end(number, code, error, folder, before)
        return number
    code, error = finish(process)
    assert code == 0, error
    return None
