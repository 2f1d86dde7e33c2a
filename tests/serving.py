"""A server of TensorFlow Serving's REST shape, in another process, that counts what it is asked.

    python tests/serving.py WEIGHTS.npz FOLDER KIND PORT

It writes FOLDER/port, and reads FOLDER/faults.json before each answer.

It writes FOLDER/counts.json after each answer: the requests that it answered with scores, their images, and all
requests. The faults are a list; each request takes the first one that is left: ``null`` for none, ``429``, ``500``,
``slow``, ``nan``, ``short``, ``cut``, ``die``, ``moved``; ``repeat`` is one for all requests from then on.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

SLOW = 30.0


@dataclass
class Serving:
    """A running server, seen from the test that started it."""

    folder: Path
    process: Any

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/models/m:predict"

    @property
    def port(self) -> int:
        return int((self.folder / "port").read_text())

    @property
    def counts(self) -> dict[str, int]:
        file = self.folder / "counts.json"
        return json.loads(file.read_text()) if file.exists() else {"answered": 0, "images": 0, "requests": 0}

    @property
    def headers(self) -> dict[str, str]:
        return json.loads((self.folder / "headers.json").read_text())

    def fail(self, *faults: Any, repeat: Any = None) -> None:
        (self.folder / "faults.json").write_text(json.dumps({"next": list(faults), "repeat": repeat}))


@contextmanager
def served(model: Path, folder: Path, kind: str = "probabilities", port: int = 0) -> Iterator[Serving]:
    """Serve a linear model until the block ends; at any free port, or at one that was free before."""
    import subprocess

    folder.mkdir(exist_ok=True)
    (folder / "port").unlink(missing_ok=True)
    process = subprocess.Popen(
        [sys.executable, __file__, str(model), str(folder), kind, str(port)], stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(1200):
            if (folder / "port").exists() or process.poll() is not None:
                break
            time.sleep(0.05)
        assert (folder / "port").exists(), "the server did not start"
        yield Serving(folder, process)
    finally:
        process.kill()
        process.wait()


def _serve(model: Path, folder: Path, kind: str, port: int) -> None:
    weights = np.load(model)
    kernel, bias = weights["kernel"], weights["bias"]
    counts = {"answered": 0, "images": 0, "requests": 0}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            counts["requests"] += 1
            (folder / "headers.json").write_text(json.dumps(dict(self.headers)))
            fault = _next_fault(folder)
            if fault == "die":
                os._exit(1)
            if fault == "slow":
                time.sleep(SLOW)
            if fault in (429, 500, 503):
                return self._answer(fault, {"error": "no"}, {"Retry-After": "0.2"})
            if fault == "moved":
                return self._answer(302, {}, {"Location": "http://127.0.0.1:1/elsewhere"})
            images = np.array(json.loads(body)["instances"], np.float64).reshape(-1, len(kernel))
            logits = images @ kernel + bias
            scores = np.exp(logits - logits.max(axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
            answers = {"probabilities": scores, "logits": logits, "classes": scores.argmax(axis=1)}[kind].tolist()
            if fault == "nan":
                answers[0][0] = float("nan")
            if fault == "short":
                answers = answers[:-1]
            if fault == "cut":
                return self._answer(200, {"predictions": answers}, {}, missing=20)
            if fault not in ("nan", "short", "slow"):
                counts["answered"] += 1
                counts["images"] += len(images)
            return self._answer(200, {"predictions": answers}, {})

        def _answer(self, status: int, content: Any, headers: dict[str, str], missing: int = 0) -> None:
            (folder / "counts.tmp").write_text(json.dumps(counts))
            (folder / "counts.tmp").replace(folder / "counts.json")
            text = json.dumps(content).encode()
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text[: len(text) - missing])
            self.close_connection = missing > 0

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    (folder / "port.tmp").write_text(str(server.server_address[1]))
    (folder / "port.tmp").replace(folder / "port")
    server.serve_forever()


def _next_fault(folder: Path) -> Any:
    file = folder / "faults.json"
    if not file.exists():
        return None
    faults = json.loads(file.read_text())
    if not faults["next"]:
        return faults["repeat"]
    fault = faults["next"].pop(0)
    file.write_text(json.dumps(faults))
    return fault


if __name__ == "__main__":
    _serve(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
