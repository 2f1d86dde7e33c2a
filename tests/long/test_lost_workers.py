"""Ray workers that are killed again and again: every image is judged once, and as on this machine alone."""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from advcli.records import Record
from advcli.tasks.benchmark.request import Execution
from advcli.tasks.benchmark.run import run
from evaluations import close, lines, records, request, untimed
from long import seeded, share_of

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc"),
    pytest.mark.filterwarnings("ignore"),
]
KILLS = 10
ray: Any = pytest.importorskip("ray")


def busy_workers() -> list[int]:
    """Return the processes of Ray that run a task and descend from this one."""
    parents, names = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
        except OSError:
            continue

    def is_own(process: int) -> bool:
        while process in parents and process != os.getpid():
            process = parents[process]
        return process == os.getpid()

    # Idle ones are called ray::IDLE.
    return [each for each, name in names.items() if name.startswith(b"ray::_") and is_own(each)]


def test_killed_workers_change_no_verdict(evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.cluster_utils import Cluster

    moments = seeded("workers")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    root = str(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    asked = request(evaluated, noises=(), corruptions=("brightness",), severities=(3,))
    alone = untimed(records(asked))
    killed = runs = 0
    wanted = share_of(KILLS)
    while killed < wanted:
        runs += 1
        assert runs <= 2 * wanted + 2, f"only {killed} workers could be killed"
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        done = threading.Event()
        dead: list[int] = []

        def kill(done: threading.Event = done, dead: list[int] = dead) -> None:
            # A shard is tried six times.
            while not done.is_set() and len(dead) < 2:
                time.sleep(moments.uniform(0.5, 4))
                if workers := busy_workers():
                    dead.append(moments.choice(workers))
                    os.kill(dead[-1], signal.SIGKILL)

        thread = threading.Thread(target=kill)
        thread.start()
        file = tmp_path / f"{runs}.jsonl"
        try:
            how = Execution(out=file, ray=cluster.address)
            together = [event for event in run(asked, how) if isinstance(event, Record)]
        finally:
            done.set()
            thread.join()
            ray.shutdown()
            cluster.shutdown()
        killed += len(dead)
        assert untimed(together) == close(alone)
        judged = [
            (line["model"], line["perturbation"], line["eps"], line["severity"], row)
            for line in lines(file)
            if line["type"] == "verdicts"
            for row in line["indices"]
        ]
        assert len(judged) == len(set(judged))
    print(f"{killed} workers killed in {runs} runs")
