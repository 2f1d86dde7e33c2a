"""Hostile inputs, made from a seed and read in this process: each is refused by name, or it is read.

    python -m long.hostile KIND FIRST END SEED FOLDER

A line of JSON on standard output for each input. Run in tests/; `test_hostile_inputs.py` does that.
"""

import contextlib
import copy
import io
import json
import random
import re
import resource
import signal
import struct
import sys
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

# Of processor time, which does not depend on what else the machine does, and of waiting.
SECONDS, WAIT, BYTES = 15, 120, 2 * 10**9
# What the process may map beside what it may use.
_ADDRESSES = 12 * 2**30

DEEP = 100_000
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 1e308, -0.0, float("nan"), float("inf"), "", "\0", "x",
    "../../etc/passwd", "/dev/zero", "~", "a" * 100_000, "\ud800", "\x1b[2J", "é", "nan", "1e999", "0x10", "9" * 5000,
    [], {}, [[]], [None], {"": None}, {"class_name": "Lambda", "config": {}}, "__import__('os').system('true')",
)  # fmt: skip


def mutate_bytes(content: bytes, rng: random.Random) -> bytes:
    """Damage bytes: flip, overwrite with extremes, cut, repeat, insert."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        # Headers are where the decisions are.
        most = len(data) if rng.random() < 0.4 else min(len(data), 128)
        place = rng.randrange(max(1, most))
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[min(place, len(data) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 1:
            extreme = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
            form = rng.choice(("<H", ">H", "<I", ">I"))
            data[place : place + struct.calcsize(form)] = struct.pack(
                form, extreme & (0xFFFF if form[1] == "H" else 0xFFFFFFFF)
            )
        elif kind == 2:
            del data[rng.randrange(max(1, len(data))) :]
        elif kind == 3:
            part = data[place : place + rng.randrange(1, 64)]
            data[place:place] = part * rng.choice((1, 2, 100))
        elif kind == 4:
            data[place : place + rng.randrange(1, 16)] = rng.randbytes(rng.randrange(16))
        elif kind == 5:
            del data[place : place + rng.randrange(1, 32)]
        else:
            data[place : place + 1] = bytes([rng.choice((0, 0x0A, 0x22, 0x7B, 0x5B, 0xFF))])
    return bytes(data)


def mutate_json(content: Any, rng: random.Random) -> Any:
    """Replace, remove or add values somewhere in a structure."""
    content = json.loads(json.dumps(content))
    for _ in range(rng.choice((1, 1, 2, 4))):
        places = list(_places(content))
        if not places:
            return _value(rng)
        holder, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind < 5:
            holder[key] = _value(rng)
        elif kind == 5:
            del holder[key]
        elif kind == 6:
            other, name = rng.choice(places)
            with contextlib.suppress(LookupError):
                holder[key] = json.loads(json.dumps(other[name]))
        elif isinstance(holder, dict):
            holder[rng.choice(("", "type", "class_name", "config", "\0", "version", "checksum"))] = _value(rng)
        else:
            holder.extend(_value(rng) for _ in range(rng.choice((1, 1000))))
    return content


def _value(rng: random.Random) -> Any:
    # A copy, for what is put into a structure may be changed there later.
    return copy.deepcopy(rng.choice(VALUES))


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    left = [content]
    while left:
        holder = left.pop()
        if isinstance(holder, dict | list):
            items = list(holder.items() if isinstance(holder, dict) else enumerate(holder))
            yield from ((holder, key) for key, _ in items)
            left.extend(value for _, value in items)


def json_text(content: Any, rng: random.Random) -> bytes:
    """Write a structure, now and then as JSON that is none."""
    text = json.dumps(content).encode()
    kind = rng.randrange(12)
    if kind == 0:
        return b"[" * DEEP + text + b"]" * DEEP
    if kind == 1:
        return b'{"a":' * DEEP
    if kind == 2:
        return mutate_bytes(text, rng)
    return re.sub(rb": \d+", b": " + b"9" * 5000, text, count=1) if kind == 3 else text


def mutate_zip(content: bytes, rng: random.Random, change: Callable[[str, bytes], bytes]) -> bytes:
    """Change one member of an archive, its names, its compression, or the bytes of the whole."""
    kind = rng.randrange(10)
    if kind == 0:
        return mutate_bytes(content, rng)
    if kind == 1:  # in the directory at the end
        return content[:-200] + mutate_bytes(content[-200:], rng)
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        names = old.namelist()
        chosen = rng.choice(names)
        for name in names:
            member = old.read(name)
            if name == chosen:
                if kind == 2:
                    continue
                if kind == 3:
                    name = rng.choice(("../out", "/abs", "a/" * 200 + "x", "\x1b[2J", "config.json", "x.png"))
                elif kind == 4:
                    member = bytes(rng.choice((0, 10**6, 300 * 10**6)))
                else:
                    member = change(name, member)
            new.writestr(name, member, zipfile.ZIP_DEFLATED if rng.random() < 0.5 else zipfile.ZIP_STORED)
    return out.getvalue()


def images_of(rng: random.Random) -> tuple[str, bytes]:
    """Return a picture of a few pixels in a random format, and its ending."""
    mode = rng.choice(("RGB", "RGBA", "L", "LA", "P", "1", "I;16", "I", "F", "CMYK"))
    kind = rng.choice(("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "TIFF", "PNG", "ICO", "TGA", "PPM", "JPEG2000"))
    size = (rng.randrange(1, 24), rng.randrange(1, 24))
    pixels = np.frombuffer(rng.randbytes(size[0] * size[1] * 3), np.uint8).reshape(size[1], size[0], 3)
    picture = Image.fromarray(pixels)
    out = io.BytesIO()
    options: dict[str, Any] = {}
    if kind == "TIFF":
        options["compression"] = rng.choice((None, "tiff_lzw", "tiff_deflate", "packbits", "jpeg"))
    try:
        picture.convert("I").convert(mode).save(out, kind, **options) if mode == "I;16" else picture.convert(mode).save(
            out, kind, **options
        )
    except (OSError, ValueError, KeyError):
        out = io.BytesIO()
        picture.save(out, kind)
    return rng.choice((kind.lower(), "png", "jpg", "tif")), out.getvalue()


def hostile_image(rng: random.Random) -> tuple[str, bytes]:
    """Return the bytes of a hostile image, and an ending."""
    ending, content = images_of(rng)
    kind = rng.randrange(10)
    if kind == 0:  # a header of giant dimensions, with its right checksum
        width, height = (rng.choice((0, 1, 20_000, 2**31 - 1, 2**32 - 1)) for _ in range(2))
        header = struct.pack(">IIBBBBB", width, height, rng.choice((1, 8, 16)), rng.choice((0, 2, 3, 6)), 0, 0, 0)
        body = zlib.compress(bytes(rng.choice((10, 10**6, 40 * 10**6))))
        chunks = [(b"IHDR", header), (b"IDAT", body), (b"IEND", b"")]
        return "png", b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*each) for each in chunks)
    if kind == 1:  # text that unpacks to a lot, or a thousand of them
        text = b"advcli\0\0" + zlib.compress(bytes(rng.choice((10**6, 60 * 10**6))))
        whole = io.BytesIO()
        Image.new("RGB", (4, 4)).save(whole, "PNG")
        head, rest = whole.getvalue()[:33], whole.getvalue()[33:]
        return "png", head + _chunk(rng.choice((b"zTXt", b"iTXt", b"iCCP")), text) * rng.choice((1, 200)) + rest
    if kind == 2:  # directories that follow themselves
        entries = rng.randrange(1, 60)
        tags = b"".join(
            struct.pack("<HHII", rng.choice((254, 256, 257, 258, 259, 262, 273, 277, 279, 330, 34665)),
                        rng.randrange(1, 14), rng.choice((0, 1, 2, 2**20, 2**32 - 1)), rng.choice((0, 1, 8, 2**32 - 1)))
            for _ in range(entries)
        )  # fmt: skip
        return "tif", b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", entries) + tags + struct.pack("<I", 8)
    return ending, mutate_bytes(content, rng)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


class Inputs:
    """Makes and reads hostile inputs of every kind.

    Args:
        folder: where their files go.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.whole: dict[str, bytes] = {}

    def make(self, kind: str, rng: random.Random) -> tuple[str, Callable[[], object]]:
        """Return what a hostile input is, and what reads it."""
        return getattr(self, f"_{kind}")(rng)

    def _put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def _image(self, rng: random.Random) -> tuple[str, Callable[[], object]]:
        from advcli.data import images
        from advcli.files import png

        ending, content = hostile_image(rng)
        path = self._put(f"image.{ending}", content)

        def read() -> None:
            png.record_in(path)
            png.kind_in(path)
            images.size(path)
            for reader in (lambda: images.read(path), lambda: images.read(path, 1), lambda: png.read(path)):
                refused(reader)

        return f"{len(content)} bytes as {path.name}", read

    def _model(self, rng: random.Random) -> tuple[str, Callable[[], object]]:
        from advcli.model.load import load
        from conftest import make_classifier

        if not self.whole:
            made = make_classifier("small:width=4")
            made.save(self.folder / "m.keras")
            made.model.save(self.folder / "m.h5")
            self.whole = {ending: (self.folder / f"m.{ending}").read_bytes() for ending in ("keras", "h5")}

        def change(name: str, member: bytes) -> bytes:
            if name.endswith(".json"):
                return json_text(mutate_json(json.loads(member), rng), rng)
            return mutate_bytes(member, rng)

        if rng.random() < 0.75:
            path = self._put("model.keras", mutate_zip(self.whole["keras"], rng, change))
        else:
            content = self.whole["h5"]
            found = re.search(rb'\{"class_name.*?\}\}(?=\0)', content)
            if found and rng.random() < 0.5:
                with contextlib.suppress(ValueError):
                    text = json_text(mutate_json(json.loads(found[0]), rng), rng)[: len(found[0])]
                    content = content.replace(found[0], text.ljust(len(found[0])))
            else:
                content = mutate_bytes(content, rng)
            path = self._put("model.h5", content)
        return path.name, lambda: load(path, "model").classes(np.zeros((2, 8, 8, 3), np.float32))

    def _state(self, rng: random.Random) -> tuple[str, Callable[[], object]]:
        from advcli.cli import config
        from advcli.data.labels_file import read_labels, read_wordnet_ids
        from advcli.tasks.attack.universal_files import pattern_of
        from advcli.tasks.benchmark.read_results import read_contents, read_protocol, read_scores
        from advcli.tasks.train.recipe import Recipe
        from advcli.tasks.train.run_folder import Run

        if not self.whole:
            self._make_states()
        name = rng.choice(tuple(self.whole))
        content = self.whole[name]
        if name == "run.json":
            path = self._put("run/run.json", json_text(mutate_json(json.loads(content), rng), rng))
            return name, lambda: Recipe.from_json(Run(path.parent).description.read_recipe(), "run.json")
        if name == "results.jsonl":
            lines = content.splitlines()
            row = rng.randrange(len(lines))
            if rng.random() < 0.7:
                edited = mutate_json(json.loads(lines[row]), rng)
                if isinstance(edited, dict) and rng.random() < 0.8:  # a forged line has a right checksum
                    edited.pop("checksum", None)
                    edited["checksum"] = checksum(edited)
                lines[row] = json_text(edited, rng)
            else:
                lines[row] = mutate_bytes(lines[row], rng)
            path = self._put(name, b"\n".join(lines) + b"\n")

            def read() -> None:
                refused(lambda: read_scores(path))
                read_contents(path, read_protocol(path))

            return name, read
        if name == "pattern.png":
            record = mutate_json(json.loads(content), rng)
            info = PngImagePlugin.PngInfo()
            info.add_text("advcli", json_text(record, rng).decode("latin-1"))
            info.add_text("advcli-kind", "pattern")
            path = self.folder / name
            Image.new("RGB", (8, 8)).save(path, pnginfo=info)
            return name, lambda: pattern_of(path, None, None, None, None)
        if name == "config.toml":
            text = content.replace(b"8", str(rng.choice(VALUES)).encode(errors="replace")[:200], 1)
            path = self._put(name, rng.choice((text, mutate_bytes(content, rng), b"a = " + b"[" * DEEP)))
            return name, lambda: config._content(path)
        path = self._put(name, json_text(mutate_json(json.loads(content), rng), rng))

        def labels() -> None:
            read_wordnet_ids(path)
            read_labels(path)

        return name, labels

    def _make_states(self) -> None:
        from evaluations import make_models, records, request
        from tiny_runs import TINY, run

        make_models(self.folder)
        file = self.folder / "whole.jsonl"
        records(request(self.folder, attacks=("fgsm",), corruptions=(), noises=()), out=file)
        run(TINY, self.folder / "whole")
        pattern = {
            "type": "crafted", "model": "m", "data": "files", "seed": 0, "version": "1", "output": "p.png",
            "attack": "universal", "norm": "linf", "eps": 0.03, "target": None, "images": 3, "seconds": 0.0,
        }  # fmt: skip
        self.whole = {
            "run.json": (self.folder / "whole" / "run.json").read_bytes(),
            "results.jsonl": file.read_bytes(),
            "pattern.png": json.dumps(pattern).encode(),
            "config.toml": b'model = "m.keras"\nattack = "pgd:steps=8"\nbatch = 8\nnorm = ["linf", "l2"]\n',
            "labels.json": json.dumps({str(i): [f"n0000000{i}", f"name {i}"] for i in range(4)}).encode(),
            "class_indices.json": json.dumps({"cat": 0, "dog": 1, "owl": 2}).encode(),
        }

    def _data(self, rng: random.Random) -> tuple[str, Callable[[], object]]:
        from advcli.datasets import open_dataset

        if not self.whole:
            self._make_data()
        name = rng.choice(tuple(self.whole))
        content = self.whole[name]
        path = self.folder / "data" / name
        if name.endswith((".zip", ".npz")):
            content = mutate_zip(content, rng, lambda _, member: mutate_bytes(member, rng))
        elif name.endswith(".json"):
            content = json_text(mutate_json(json.loads(content), rng), rng)
        else:
            content = mutate_bytes(content, rng)
        whole = path.read_bytes()
        path.write_bytes(content)
        given = self.folder / "data" / "tfds" / "photos" if name.startswith("tfds/") else path

        def read() -> None:
            try:
                data = open_dataset(str(given))
                for split in (data.train, data.test):
                    for index in range(min(2, len(split))):
                        refused(lambda index=index, split=split: (split.name(index), split.read(index)))
            finally:
                path.write_bytes(whole)

        return name, read

    def _make_data(self) -> None:
        from test_data_layouts import IDS, Picture, manifest, tfds, zipped

        top = self.folder / "data"
        out = io.BytesIO()
        Image.fromarray(np.full((8, 8, 3), 99, np.uint8)).save(out, "PNG")
        pictures = [Picture(f"{i:02}.png", out.getvalue(), i % 4) for i in range(16)]
        (top / "npz").mkdir(parents=True)
        x, y = np.zeros((8, 8, 8, 3), np.uint8), np.arange(8) % 4
        np.savez(top / "npz" / "data.npz", x_train=x, y_train=y, x_test=x, y_test=y)
        files = [zipped(pictures, IDS, top / "zip"), manifest(pictures, IDS, top / "csv"), top / "npz" / "data.npz"]
        found = tfds(pictures, IDS, top / "tfds")
        files += [file for file in (found.rglob("*") if found.is_dir() else [found]) if file.is_file()]
        self.whole = {str(file.relative_to(top)): file.read_bytes() for file in files}

    def _spec(self, rng: random.Random) -> tuple[str, Callable[[], object]]:
        from advcli import parsing, registry
        from advcli.tasks.benchmark.gates import Least

        family = rng.choice(
            ("attacks", "corruptions", "explainers", "augmentations", "schedules", "backbones", "objectives")
        )
        name = rng.choice(registry.names(family))
        options = list(registry.options(family, name)) or ["x"]
        value = str(rng.choice((*VALUES, "8/255", "1/0", "-1", "1e308", "true", "a;b", "٣", "1_0")))[:3000]
        text = f"{name}:{rng.choice(options)}={value}"
        if rng.random() < 0.3:
            text = mutate_bytes(text.encode(errors="replace"), rng).decode(errors="replace")
        parsers: tuple[Callable[[str], object], ...] = (
            lambda text: registry.build(family, text),
            parsing.read_list, parsing.read_radius, parsing.read_severities, parsing.read_duration, parsing.read_range,
            lambda text: parsing.read_radii(text, ("linf", "l2", "l1")), Least.read, registry.canonical,
        )  # fmt: skip

        def read() -> None:
            for given in (text, value):
                for parser in parsers:
                    refused(lambda parser=parser, given=given: parser(given))

        return f"{family} {text[:80]!r}", read


def checksum(content: dict[str, Any]) -> str:
    """Return the checksum of a line of results, which anybody can compute."""
    from advcli.tasks.benchmark.read_results import _checksum

    try:
        return _checksum(content)
    except (TypeError, ValueError):
        return ""


def refused(read: Callable[[], object]) -> bool:
    """Read, and return whether the input was refused by name."""
    from advcli.errors import AdvcliError

    try:
        read()
    except AdvcliError as error:
        assert error.message
        return True
    return False


def peak() -> int:
    """Return the most memory that this process has used since the last call, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return int(found[1]) * 1024 if found else 0


class TookTooLong(BaseException):
    """Not an Exception, for a reader of damaged files may expect any of them."""


def _too_long(*_: object) -> None:
    raise TookTooLong


def main(kind: str, first: int, end: int, seed: str, folder: Path) -> None:
    """Read some of the inputs of a kind."""
    import logging

    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGALRM, _too_long)
    signal.signal(signal.SIGPROF, _too_long)
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESSES, _ADDRESSES))
    inputs = Inputs(folder)
    for number in range(first, end):
        rng = random.Random(f"{seed} {kind} {number}")
        print(json.dumps({"begun": number}), flush=True)
        what, read = inputs.make(kind, rng)
        peak()
        began, fault, was_refused = time.process_time(), "", False
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.alarm(WAIT)
        try:
            was_refused = refused(read)
        except TookTooLong:
            fault = f"takes more than {SECONDS} s, or waits for {WAIT} s\n{traceback.format_exc()[-1000:]}"
        except BaseException:  # noqa: BLE001  any error but one with a message is the fault that is looked for
            fault = traceback.format_exc()[-1500:]
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.alarm(0)
        seconds, used = time.process_time() - began, peak()
        if used > BYTES:
            fault = fault or f"takes {used / 1e9:.1f} GB"
        record = {"number": number, "what": what, "refused": was_refused, "seconds": round(seconds, 2), "bytes": used}
        print(json.dumps({**record, "fault": fault}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
