"""Test runs in forks of a process that has imported TensorFlow, each in a tree of its own."""

import json
import math
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mutants import ROOT


class Recorder:
    """Keeps how long each test takes, the functions that it calls, and which failed."""

    def __init__(self, trace: bool) -> None:
        self.traces = trace
        self.tests: dict[str, tuple[float, list[str]]] = {}
        self.failed: list[str] = []

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> None:
        self.ran: set[str] = set()
        self.begun = time.process_time()
        sys.settrace(self.trace if self.traces else None)

    def trace(self, frame: Any, event: str, argument: Any) -> None:
        # AutoGraph's copies of a function have its globals, and its name with a prefix.
        module = frame.f_globals.get("__name__") or ""
        if module.startswith("advcli."):
            self.ran.add(f"{module}:{frame.f_code.co_name.removeprefix('tf__')}")

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        sys.settrace(None)
        self.tests[nodeid] = (round(time.process_time() - self.begun, 2), sorted(self.ran))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def fork_tests(tree: Path, tests: list[str], seconds: float, trace: bool, report: Path) -> int:
    """Run tests in a fork that sees the tree's advcli, and return the process."""
    if child := os.fork():
        return child
    recorder = Recorder(trace)
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
        resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
        silent = os.open(report.with_suffix(".log"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.chdir(tree)
        sys.path[:] = [str(tree), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
        import pytest

        # Plugins and collections of garbage would take longer than most of the tests.
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        quick = ("-p", "no:cacheprovider", "-p", "no:unraisableexception", "-p", "no:threadexception")
        options = ["-q", "-o", "addopts=", "-m", "not slow and not long", *quick, *([] if trace else ["-x"])]
        code = pytest.main([*options, *tests], plugins=[recorder])
        report.write_text(json.dumps({"tests": recorder.tests, "failed": recorder.failed}))
        os._exit(code)
    finally:
        os._exit(99)


def run_all(jobs: list[Any], workers: int, start: Callable[[Any, Path, Path], int], done: Callable[..., None]) -> None:
    """Run jobs side by side, each in a tree of its own, and hand on how each ended."""
    with tempfile.TemporaryDirectory() as folder:
        free, running = [], {}
        for number in range(workers):
            free.append(Path(folder, str(number)))
            for name in ("advcli", "tests", "examples"):
                shutil.copytree(ROOT / name, free[-1] / name, ignore=shutil.ignore_patterns("__pycache__"))
            for name in ("pyproject.toml", "README.md"):
                shutil.copy(ROOT / name, free[-1])
        waiting = list(reversed(jobs))
        while waiting or running:
            while waiting and free:
                tree, job = free.pop(), waiting.pop()
                report = tree.with_suffix(".json")
                report.unlink(missing_ok=True)
                running[start(job, tree, report)] = (job, tree, report)
            process, status, usage = os.wait3(0)
            job, tree, report = running.pop(process)
            free.append(tree)
            found = json.loads(report.read_text()) if report.exists() else {"tests": {}, "failed": []}
            done(job, tree, os.waitstatus_to_exitcode(status), found, usage.ru_utime + usage.ru_stime)
