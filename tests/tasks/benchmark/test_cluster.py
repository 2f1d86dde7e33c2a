"""Shards on a cluster of two machines, one of which is lost: every image is judged once."""

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from advcli.errors import AdvcliError
from advcli.records import Record
from advcli.tasks.benchmark.request import Execution
from advcli.tasks.benchmark.run import run
from evaluations import IMAGES, close, lines, records, request, untimed

ray: Any = pytest.importorskip("ray")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch):
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    )
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.mark.filterwarnings("ignore")
def test_a_machine_that_is_lost_costs_nothing_but_time(evaluated: Path, tmp_path: Path, cluster: Any) -> None:
    other = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    asked = request(evaluated, noises=(), corruptions=("brightness",), severities=(3,))
    alone = records(asked)
    file = tmp_path / "cluster.jsonl"
    lost = threading.Event()

    def lose() -> None:
        # While the first shards are being measured.
        time.sleep(4)
        cluster.remove_node(other, allow_graceful=False)
        lost.set()

    thread = threading.Thread(target=lose)
    thread.start()
    together = [event for event in run(asked, Execution(out=file, ray=cluster.address)) if isinstance(event, Record)]
    thread.join()
    assert lost.is_set()
    assert untimed(together) == close(untimed(alone))
    judged = [
        (line["model"], line["perturbation"], line["eps"], row)
        for line in lines(file)
        if line["type"] == "verdicts"
        for row in line["indices"]
    ]
    assert len(judged) == len(set(judged))
    assert len([place for place in judged if place[:2] == ("first", "clean")]) == IMAGES


def test_a_cluster_that_is_not_there(evaluated: Path) -> None:
    with pytest.raises(AdvcliError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        list(run(request(evaluated), Execution(ray="127.0.0.1:1")))
