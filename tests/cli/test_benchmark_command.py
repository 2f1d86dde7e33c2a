"""What scripts rely on of ``advcli benchmark``: it goes on after being killed, gates, files, and what it refuses."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Command
from evaluations import lines

EVALUATION = (
    "first.keras", "second.keras", "--data", "data.npz", "--attack", "pgd:steps=3", "--attack", "fgsm", "--eps",
    "0.02,0.05", "--corruptions", "brightness,contrast", "--severity", "1,5", "--batch", "4", "--no-checks",
)  # fmt: skip


def kept_by(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0


def test_an_evaluation_killed_at_any_moment_ends_like_one_that_was_not(advcli: Command, evaluated: Path) -> None:
    whole = advcli("benchmark", *EVALUATION, "--out", "whole.jsonl", cwd=evaluated)
    assert whole.returncode == 0, whole.stderr
    everything = kept_by(evaluated / "whole.jsonl")
    stopped = evaluated / "stopped.jsonl"
    generator = random.Random(0)
    # Not near the end, which a busy machine may have reached before the signal comes.
    moments = sorted(generator.sample(range(2, everything // 2), 2))
    for number, moment in enumerate(moments):
        command = ("--out", "stopped.jsonl") if number == 0 else ("--resume", "stopped.jsonl")
        process = subprocess.Popen(
            [sys.executable, "-m", "advcli", "benchmark", *EVALUATION, *command],
            cwd=evaluated,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        while kept_by(stopped) < moment and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert kept_by(stopped) < everything
    # The file says what is measured: nothing else need be said.
    resumed = advcli("benchmark", "--resume", "stopped.jsonl", "--no-checks", cwd=evaluated)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == whole.stdout
    assert lines(stopped) == lines(evaluated / "whole.jsonl")


def test_a_gate_that_is_not_met_leaves_with_3(advcli: Command, evaluated: Path, tmp_path: Path) -> None:
    quick = ("first.keras", "--data", "data.npz", "--attack", "fgsm", "--eps", "0.05")
    results = tmp_path / "last.jsonl"
    met = advcli(
        "benchmark", *quick, "--fail-under", "clean=0.8", "--out", results, "--report", tmp_path / "report.html",
        "--figure", tmp_path / "curve.svg", cwd=evaluated,
    )  # fmt: skip
    assert met.returncode == 0, met.stderr
    assert "nothing was measured at several radii or swept" in met.stderr
    assert "Checks of the evaluation" in met.stdout
    assert "SUSPECT" in met.stdout
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/png") >= 9
    assert "fgsm" in page
    assert "<svg" in (tmp_path / "curve.svg").read_text()
    failed = advcli(
        "benchmark", *quick, "--fail-under", "fgsm=0.99", "--json", "--no-checks", "--baseline", results, cwd=evaluated
    )
    assert failed.returncode == 3
    assert "advcli: error: first, fgsm, Linf 0.05: accuracy" in failed.stderr
    found = [json.loads(line) for line in failed.stdout.splitlines()]
    assert {record["type"] for record in found} == {"score", "calibration", "group", "change", "gate"}
    assert not any(record["regression"] for record in found if record["type"] == "change")
    assert advcli("benchmark", *quick, "--out", results, cwd=evaluated).returncode == 2


def test_corrupted_images_are_exported_as_folders(advcli: Command, evaluated: Path, tmp_path: Path) -> None:
    out = tmp_path / "corrupted"
    result = advcli(
        "benchmark", "--data", "data.npz", "--corruptions", "brightness,fog", "--severity", "2,4", "--edge", 8,
        "--export", out, cwd=evaluated,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    files = sorted(out.rglob("*.png"))
    assert len(files) == 2 * 2 * 40
    content = np.load(evaluated / "data.npz")
    name = content["labels"][content["y_test"][7]]
    brighter = np.asarray(Image.open(out / "brightness" / "2" / name / "07.png")).astype(int)
    assert brighter.shape == (8, 8, 3)
    # On images as small as these a tenth is added to the largest channel of each pixel.
    largest = content["x_test"][7].max(axis=-1).astype(int)
    assert np.abs(brighter.max(axis=-1) - (largest + 25)).max() <= 1
    # What was written can be measured as any folder of class folders, and is what the command itself measures.
    measured = advcli(
        "benchmark", "first.keras", "--data", out / "fog" / "4", "--attack", "none", "--json", "--no-checks",
        cwd=evaluated,
    )  # fmt: skip
    assert measured.returncode == 0, measured.stderr
    again = advcli("benchmark", "--data", "data.npz", "--corruptions", "fog", "--export", out, cwd=evaluated)
    assert again.returncode == 2
    assert "is not empty" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "no model is given", "run folders"),
        (["--resume", "none.jsonl"], "no such file: 'none.jsonl'", "--out FILE"),
        (["--resume", "data.npz"], "is an .npz file of arrays, not a file of results", ""),
        (["--resume", "none.jsonl", "--eps", "0.1"], "--eps has no effect here", "leave it out"),
        (["--resume", "data.npz", "--out", "other.jsonl"], "--resume continues its own file", "leave --out out"),
        (["--merge"], "no file of results is given", "--merge shards/*.jsonl"),
        (["--merge", "none.jsonl"], "no such file: 'none.jsonl'", ""),
        (["first.keras", "--data", "data.npz", "--shard", "3/2"], "--shard is not a part of a whole", "1/8"),
        (
            ["first.keras", "--data", "data.npz", "--shard", "1/2", "--attack", "patch"],
            "'patch' is one perturbation",
            "",
        ),
        (
            ["first.keras", "--data", "data.npz", "--shard", "1/2", "--fail-under", "pgd=0.1"],
            "need all images",
            "--merge",
        ),
        (["first.keras", "--data", "data.npz", "--budget", "soon"], "--budget is not a time", "10m"),
        (["first.keras", "--data", "data.npz", "--budget", "1m", "--shard", "1/2"], "--budget is for one process", ""),
        (["first.keras", "--data", "data.npz", "--severity", "7"], "--severity is not from 1 to 5", "1-5"),
        (["first.keras", "--data", "data.npz", "--corruptions", "fogg"], "unknown corruption 'fogg'", "'fog'"),
        (["first.keras", "--data", "data.npz", "--fail-under", "pgd:steps=9=0.1"], "which is not measured", "pgd"),
        (["first.keras", "--data", "data.npz", "--fail-under", "pgd"], "--fail-under names no accuracy", "pgd=0.40"),
        (["first.keras", "--data", "data.npz", "--baseline", "none.jsonl"], "no such file: 'none.jsonl'", ""),
        (["first.keras", "--data", "data.npz", "--certify", "n=10"], "'--certify' needs its option 'sigma'", ""),
        (["first.keras", "--data", "data.npz", "--transfer"], "--transfer needs two models or more", ""),
        (["first.keras", "--data", "data.npz", "--relative-to", "alexnet"], "names no model that is measured", "first"),
        (
            ["first.keras", "--data", "data.npz", "--export", "out", "--attack", "none"],
            "there is nothing to export",
            "--corruptions",
        ),
        (["--export", "out", "--corruptions", "fog"], "there is nothing to corrupt", "--data"),
        (["first.keras", "--data", "data.npz", "--figure", "curve.jpg"], "--figure is neither .png nor .svg", ""),
        (["first.keras", "--data", "data.npz", "--report", "first.keras"], "first.keras", ""),
        (["first.keras", "--data", "data.npz", "--attack", "cw", "--norm", "l2", "--norm", "linf"], "linf", ""),
        (["first.keras", "--data", "data.npz", "--eps", "0.1,9"], "covers the whole pixel range", "9/255"),
        (["first.keras", "--data", "data.npz", "--norm", "l2", "--eps", "99"], "more than any image", "99/255"),
    ],
)
def test_wrong_usage(advcli: Command, evaluated: Path, arguments: list[str], message: str, hint: str) -> None:
    result = advcli("benchmark", *arguments, cwd=evaluated)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    first, *others = result.stderr.splitlines()
    assert first.startswith("advcli: error: ")
    assert message in first
    assert hint in "\n".join(others)
