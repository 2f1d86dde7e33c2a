"""SIGTERM ends a command as Ctrl-C does, and what a killed one left is removed by the next on the same outputs."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli.errors import AdvcliError
from advcli.files.atomic import remove_leftovers, whole_file
from conftest import Command, make_classifier
from evaluations import lines

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the signals are those of POSIX")
COUNT = 40


def start(program: tuple[str, ...], folder: Path, *arguments: object) -> "subprocess.Popen[str]":
    command = [*program, *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def temporaries(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*") if path.is_file()]


def test_training_is_ended_and_resumed(advcli: Command, program: tuple[str, ...], tmp_path: Path) -> None:
    tiny = ("--backbone", "small:width=4", "--edge", 8, "--limit", 100, "--robust-images", 8, "--epochs", 500)
    process = start(program, tmp_path, "train", *tiny, "--out", "run", "--json")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["epoch"] == 1
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143, stderr
    assert "hint: continue with: advcli train --resume run" in stderr
    assert "Traceback" not in stderr
    assert temporaries(tmp_path) == []
    done = len((tmp_path / "run" / "history.csv").read_text().splitlines()) - 1
    resumed = advcli("train", "--resume", "run", "--epochs", done + 1, "--json")
    assert resumed.returncode == 0, resumed.stderr


def test_an_interrupt_inside_an_executed_text_has_the_exit_code_of_any_other(tmp_path: Path) -> None:
    """As when Ctrl-C comes while a library is imported that makes its classes from texts."""
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "x.png")
    # All that an error message needs is imported before, for an import would hide what is left behind.
    script = "from advcli.cli.output import write_error\nwrite_error('first')\nexec('raise KeyboardInterrupt')"
    (tmp_path / "mine.py").write_text(script)
    for program in ((sys.executable, "-m", "advcli"), (str(Path(sys.executable).with_name("advcli")),)):
        process = start(program, tmp_path, "attack", "x.png", "--attack", "./mine.py", "--unsafe-load")
        stdout, stderr = process.communicate(timeout=120)
        assert (process.returncode, stdout, stderr) == (
            130,
            "",
            "advcli: error: first\nadvcli: error: interrupted\n",
        )


def start_own_attack(body: str, folder: Path) -> "subprocess.Popen[str]":
    """Start an attack that runs these lines."""
    make_classifier("linear").save(folder / "model.keras")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "x.png")
    (folder / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from advcli.attacks.noise import Noise\n"
        "from advcli.backend import tf\n"
        "@dataclass(frozen=True)\n"
        "class Mine(Noise):\n"
        "    def __call__(self, *values):\n"
        f"{body}"
        "COMPONENT = Mine\n"
    )
    call = ("attack", "x.png", "--model", "model.keras", "--attack", "./mine.py", "--unsafe-load", "--quiet")
    return start((sys.executable, "-m", "advcli"), folder, *call)


CLEARING_UP = """        try:
            raise KeyboardInterrupt
        finally:
            assert not values, 'Concurrent access?'
"""
IN_PYBIND11 = """        raise RuntimeError(
            'pybind11::error_already_set: MISMATCH of original and normalized active exception types: '
            'ORIGINAL InvalidArgumentError REPLACED BY KeyboardInterrupt: <EMPTY MESSAGE>'
        )
"""


@pytest.mark.parametrize("raised", [CLEARING_UP, IN_PYBIND11])
def test_an_interrupt_that_a_library_makes_another_error_of_is_an_interrupt(raised: str, tmp_path: Path) -> None:
    """As TensorFlow's own stack of names does, which fails where it is left half way, or its calls from C++."""
    process = start_own_attack(raised, tmp_path)
    stdout, stderr = process.communicate(timeout=120)
    assert (process.returncode, stderr) == (130, "advcli: error: interrupted\n"), stdout


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_computation_that_goes_on_is_ended_by_the_second_signal(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    computation = (
        "        started = tf.print('computing')\n"
        "        with tf.control_dependencies([started]):\n"
        "            number = tf.constant(0, tf.int64)\n"
        "        end = tf.while_loop(lambda i: i < 10**15, lambda i: (i + 1,), (number,))\n"
        "        with tf.control_dependencies(end):\n"
        "            return super().__call__(*values)\n"
    )
    process = start_own_attack(computation, tmp_path)
    assert process.stderr is not None
    assert process.stderr.readline() == "computing\n"
    process.send_signal(number)
    assert process.stderr.readline().startswith("advcli: stopping when the running computation is done")
    assert process.poll() is None
    process.send_signal(number)
    _, stderr = process.communicate(timeout=30)
    assert (process.returncode, stderr) == (code, "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_python_clears_up_ends_without_a_traceback(number: signal.Signals, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "x.png")
    signalled = f"import atexit, os\natexit.register(lambda: os.kill(os.getpid(), {int(number)}))"
    (tmp_path / "mine.py").write_text(signalled)
    process = start(
        (sys.executable, "-m", "advcli"), tmp_path, "attack", "x.png", "--attack", "./mine.py", "--unsafe-load"
    )
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == -number
    assert "mine.py" in stderr
    assert "Traceback" not in stderr


def test_an_evaluation_is_ended_and_resumed(
    advcli: Command, program: tuple[str, ...], evaluated: Path, tmp_path: Path
) -> None:
    options = (
        "first.keras",
        "--data",
        "data.npz",
        "--attack",
        "pgd:steps=3",
        "--batch",
        2,
        "--no-checks",
        "--eps",
        0.1,
    )
    whole = advcli("benchmark", *options, "--out", tmp_path / "whole.jsonl", cwd=evaluated)
    assert whole.returncode == 0, whole.stderr
    file = tmp_path / "ended.jsonl"
    process = start(program, evaluated, "benchmark", *options, "--out", file)
    while process.poll() is None and not (file.exists() and file.read_bytes().count(b"\n") > 3):
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143, stderr
    assert f"continue with: advcli benchmark --resume {file}" in stderr
    resumed = advcli("benchmark", "--resume", file, "--no-checks", cwd=evaluated)
    assert resumed.returncode == 0, resumed.stderr
    assert lines(file) == lines(tmp_path / "whole.jsonl")


def test_an_attack_is_ended_and_goes_on(advcli: Command, program: tuple[str, ...], tmp_path: Path) -> None:
    make_classifier("small:width=4").save(tmp_path / "model.keras")
    (tmp_path / "photos").mkdir()
    generator = np.random.default_rng(0)
    for number in range(COUNT):
        pixels = generator.integers(60, 200, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number:02}.png")
    common = ("attack", "photos", "--model", "model.keras", "--batch", 1, "--json", "--save", "adversarial,difference")
    process = start(program, tmp_path, *common, "--out", "ended")
    assert process.stdout is not None
    for _ in range(4):
        process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, stderr = process.communicate(timeout=120)
    assert process.returncode == 143, stderr
    assert "Traceback" not in stderr
    assert temporaries(tmp_path / "ended") == []
    there = {path.name for path in (tmp_path / "ended").glob("*.adv.png")}
    assert 3 < len(there) < COUNT
    # As kill -9 leaves it: of one image only a part, of another half a file.
    first, *others = sorted(there)
    (tmp_path / "ended" / first.replace(".adv.", ".diff.")).unlink()
    (tmp_path / "ended" / f".{COUNT - 1}.adv.png.ab12cd_9.tmp").write_bytes(b"half")
    (tmp_path / "ended" / ".notes.ab12cd_9.tmp").write_bytes(b"mine")
    refused = advcli(*common, "--out", "ended")
    assert refused.returncode == 2
    assert advcli(*common, "--out", "ended", "--overwrite", "--skip-existing").returncode == 2
    rest = advcli(*common, "--out", "ended", "--skip-existing")
    assert rest.returncode == 0, rest.stderr
    attacked = {Path(json.loads(line)["output"]).name for line in rest.stdout.splitlines()}
    assert first in attacked
    assert not set(others[:-1]) & attacked
    assert f"advcli: {len(there) - 1} of {COUNT} images are attacked already" in rest.stderr
    assert temporaries(tmp_path / "ended") == [".notes.ab12cd_9.tmp"]
    nothing = advcli(*common, "--out", "ended", "--skip-existing")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert "nothing is left to attack" in nothing.stderr
    # Undisturbed, and in another folder, the files are the same to the bit.
    whole = advcli(*common, "--out", "another/whole")
    assert whole.returncode == 0, whole.stderr
    for file in (tmp_path / "another/whole").iterdir():
        assert file.read_bytes() == (tmp_path / "ended" / file.name).read_bytes(), file.name
    assert len(list((tmp_path / "another/whole").iterdir())) == 2 * COUNT


def test_a_universal_attack_leaves_out_no_image(advcli: Command, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    make_classifier("small:width=4").save(tmp_path / "model.keras")
    common = ("attack", "a.png", "--model", "model.keras", "--attack", "universal:steps=2")
    result = advcli(*common, "--skip-existing")
    assert result.returncode == 2
    assert "crafts one perturbation over all images" in result.stderr
    patterns = []
    for folder in ("one", "two/three"):
        assert advcli(*common, "--out", folder).returncode == 0
        patterns.append((tmp_path / folder / "universal.pattern.png").read_bytes())
    assert patterns[0] == patterns[1]
    applied = advcli("attack", "a.png", "--model", "model.keras", "--apply", "one/universal.pattern.png")
    assert applied.returncode == 0, applied.stderr


def test_only_what_nobody_writes_is_removed(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 240 + ".png")
    kept = tmp_path / "kept"
    temporary = beside = Path()  # pytest.raises may leave the block before they are set
    with pytest.raises(AdvcliError), whole_file(file) as being_written:
        being_written.write(b"some")
        temporary = Path(being_written.name)
        beside = temporary.with_name(f"{temporary.name}.keras")
        beside.write_bytes(b"a model")
        # Another process has its own lock.
        remove_leftovers([file])
        assert temporary.exists()
        assert beside.exists()
        temporary.rename(kept)
    kept.rename(temporary)
    others = [tmp_path / name for name in (f".{'x' * 199}.aaaaaaaa.tmp", f"{temporary.name}.keras.old", "notes.tmp")]
    for other in others:
        other.write_bytes(b"mine")
    remove_leftovers([file, tmp_path / "none" / "a.png"])
    assert not temporary.exists()
    assert not beside.exists()
    assert all(other.exists() for other in others)
