"""10,000 hostile inputs: an AdvcliError or success, never a traceback, never above 15 seconds or 2 GB."""

import json
import os
import random
import select
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import Command, make_classifier
from long import SEED, seeded, share_of
from long.hostile import WAIT, hostile_image, json_text, mutate_json, mutate_zip

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory of Linux")]

COUNTS = {"image": 5000, "state": 2400, "spec": 1500, "data": 900, "model": 200}
CALLS = 100
# One that first makes what is then damaged trains a network.
_PATIENCE = 300


@pytest.mark.parametrize("kind", COUNTS)
def test_hostile_inputs_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    seeded(kind)
    found = list(read_all(kind, share_of(COUNTS[kind]), tmp_path))
    faults = [record for record in found if record["fault"]]
    outcomes = Counter("fault" if each["fault"] else "refused" if each["refused"] else "read" for each in found)
    slowest, largest = (max(found, key=lambda record: record[name]) for name in ("seconds", "bytes"))
    print(json.dumps({"kind": kind, "inputs": len(found), **outcomes, "slowest": slowest, "largest": largest}))
    assert len(found) == share_of(COUNTS[kind])
    kinds = Counter(each["fault"].strip().splitlines()[-1] for each in faults)
    assert not faults, "\n\n".join(
        [str(kinds), *(f"{each['number']} {each['what']}\n{each['fault']}" for each in faults[:8])]
    )
    assert outcomes["refused"] + outcomes["read"] == len(found)


def read_all(kind: str, count: int, folder: Path) -> "list[dict[str, Any]]":
    """Have a process read the inputs, and another the rest if that one dies."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        place = folder / str(len(found))
        place.mkdir()
        arguments = ["long.hostile", kind, str(len(found)), str(count), str(SEED), str(place)]
        process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", "-m", *arguments],
            cwd=Path(__file__).parents[1],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(["", *sys.path])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=(place / "stderr").open("w"),
            text=True,
        )
        assert process.stdout is not None
        begun = None
        while True:
            if not select.select([process.stdout], [], [], _PATIENCE)[0]:
                process.kill()
            line = process.stdout.readline()
            if not line:
                break
            record = json.loads(line)
            if "begun" in record:
                begun = record["begun"]
            else:
                found.append(record)
        code = process.wait()
        if len(found) < count:
            errors = (place / "stderr").read_text(errors="replace")[-1500:]
            assert begun == len(found), errors
            what = f"the process ended with {code}\n{errors}"
            found.append({"number": begun, "what": kind, "refused": False, "seconds": 0, "bytes": 0, "fault": what})
    return found


def test_hostile_files_on_the_command_line(advcli: Command, tmp_path: Path) -> None:
    rng = seeded("calls")
    make_classifier("linear", edge=8).save(tmp_path / "model.keras")
    Image.fromarray(np.full((8, 8, 3), 120, np.uint8)).save(tmp_path / "good.png")
    whole = advcli("attack", "good.png", "--model", "model.keras", "--attack", "universal:steps=1", "--out", "u")
    assert whole.returncode == 0, whole.stderr
    pixels, labels = np.zeros((8, 8, 8, 3), np.uint8), np.arange(8) % 4
    arrays = {"x_train": pixels, "y_train": labels, "x_test": pixels, "y_test": labels}
    np.savez(tmp_path / "good.npz", **arrays, labels=[f"kind {i}" for i in range(4)])
    measured = ("--attack", "fgsm", "--eps", 0.1, "--no-checks")
    whole = advcli("benchmark", "model.keras", "--data", "good.npz", *measured, "--out", "good.jsonl")
    assert whole.returncode == 0, whole.stderr
    ends: Counter[tuple[str, int]] = Counter()
    for number in range(share_of(CALLS)):
        call = hostile_call(rng, tmp_path, number)
        began = time.monotonic()
        result = advcli(*call, timeout=120)
        assert time.monotonic() - began < WAIT, call
        assert result.returncode in (0, 1, 2), (call, result.stderr)
        assert "Traceback" not in result.stderr, (call, result.stderr)
        assert result.returncode == 0 or "advcli: error: " in result.stderr or '"failed"' in result.stdout, call
        ends[str(call[0]), result.returncode] += 1
    print({" ".join(map(str, end)): count for end, count in sorted(ends.items())})


def hostile_call(rng: random.Random, folder: Path, number: int) -> tuple[object, ...]:
    """Write a hostile file and return a call that reads it."""

    def write(name: str, content: bytes) -> str:
        (folder / name).write_bytes(content)
        return name

    def change(name: str, member: bytes) -> bytes:
        return json_text(mutate_json(json.loads(member), rng), rng) if name.endswith(".json") else rng.randbytes(40)

    kind = ("image", "explain", "model", "results", "data", "config", "pattern")[number % 7]
    common = ("--model", "model.keras", "--attack", "fgsm", "--json", "--out", f"out{number}")
    if kind in ("image", "explain"):
        ending, content = hostile_image(rng)
        name = write(f"bad{number}.{ending}", content)
        if kind == "image":
            return ("attack", name, "good.png", *common)
        return ("explain", name, "good.png", *common[:2], "--method", "saliency", *common[4:])
    if kind == "model":
        name = write("bad.keras", mutate_zip((folder / "model.keras").read_bytes(), rng, change))
        return ("attack", "good.png", "--model", name, *common[2:])
    if kind == "results":
        lines = (folder / "good.jsonl").read_bytes().splitlines()
        row = rng.randrange(len(lines))
        lines[row] = json_text(mutate_json(json.loads(lines[row]), rng), rng)
        return ("benchmark", "--resume", write("bad.jsonl", b"\n".join(lines) + b"\n"), "--no-checks")
    if kind == "data":
        name = write("bad.npz", mutate_zip((folder / "good.npz").read_bytes(), rng, change))
        return ("benchmark", "model.keras", "--data", name, "--attack", "fgsm", "--eps", 0.1, "--no-checks")
    if kind == "config":
        text = b'attack = "fgsm"\neps = 0.1\nmodel = "model.keras"\nbatch = 8\n'
        name = write("bad.toml", text[: rng.randrange(len(text))] + rng.randbytes(rng.randrange(9)))
        return ("attack", "good.png", "--config", name, "--out", f"out{number}")
    content = bytearray((folder / "u" / "universal.pattern.png").read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return (
        "attack",
        "good.png",
        "--model",
        "model.keras",
        "--apply",
        write("bad.png", bytes(content)),
        "--out",
        f"out{number}",
    )
