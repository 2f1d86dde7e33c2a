"""Measure shards on a Ray cluster, each once, even if workers fail."""

import os
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from advcli.errors import AdvcliError
from advcli.records import Progress, Smoothed, Verdicts
from advcli.records.base import Json
from advcli.tasks.benchmark.certify import smooth
from advcli.tasks.benchmark.load import Prepared, prepare_evaluation
from advcli.tasks.benchmark.measure import evaluate_attacks, evaluate_shared
from advcli.tasks.benchmark.missing import first_unknown
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.read_results import read_line
from advcli.tasks.benchmark.request import Request, Shard
from advcli.tasks.benchmark.transfer import evaluate_transfers

# Two shards a core balance the load; more would load the models more often.
_SHARDS_A_CORE = 2
_TRIES = 5
# The environment variables that are passed to the workers.
_PASSED_ON = ("PYTHONPATH", "ADVCLI_OFFLINE", "ADVCLI_MAX_PIXELS", "ADVCLI_CACHE", "KERAS_HOME")


def measure_on_ray(
    prepared: Prepared, results: Results, keep: Callable[[Verdicts | Smoothed], None], address: str
) -> Iterator[Progress]:
    """Measure the missing predictions on a cluster with a shared file system.

    The results of a shard are saved as a whole or not at all; a shard whose worker dies is measured again.

    Args:
        prepared: the evaluation.
        results: the predictions so far; new ones are added.
        keep: writes a finished batch.
        address: the cluster's address, or ``auto``: a running cluster, otherwise this machine.

    Raises:
        AdvcliError: there is no such cluster, or a shard cannot be measured.
    """
    import ray

    yield Progress("finding the cluster", 0, 0)
    _connect(ray, address)
    try:
        cores = int(ray.cluster_resources().get("CPU", 1))
        of = max(1, min(cores * _SHARDS_A_CORE, prepared.plan.images // 8))
        shards = [Shard(number, of) for number in range(1, of + 1)]
        missing = [shard for shard in shards if first_unknown(prepared.plan, results, shard.rows(results.images))]
        measure = ray.remote(num_cpus=1, max_retries=_TRIES)(_measure)
        waiting = {
            measure.remote(prepared.request.to_json(), shard.number, of, str(Path.cwd())): shard for shard in missing
        }
        while waiting:
            yield Progress(f"shards on {cores} cores", len(shards) - len(waiting), len(shards))
            done, _ = ray.wait(list(waiting), num_returns=1, timeout=1.0)
            for finished in done:
                for line in _result(ray, finished, waiting.pop(finished)):
                    record = read_line(line)
                    keep(record)
                    results.add(record)
    finally:
        ray.shutdown()


def _connect(ray: Any, address: str) -> None:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # Ray would send usage statistics.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    start = partial(ray.init, logging_level="ERROR", log_to_driver=False, runtime_env={"env_vars": environment})
    try:
        if address != "auto":
            # Ray itself waits for minutes.
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=10).close()
            start(address=address)
            return
        try:
            start(address="auto")
        except ConnectionError:
            start(include_dashboard=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise AdvcliError(f"no Ray cluster at '{address}': {reason}", "start one with: ray start --head") from error


def _result(ray: Any, finished: object, shard: Shard) -> list[str]:
    try:
        return ray.get(finished)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, AdvcliError):
            raise AdvcliError(f"shard {shard}: {cause.message}", cause.hint) from error
        raise
    except ray.exceptions.RayError as error:
        reason = str(error).strip().partition("\n")[0]
        raise AdvcliError(f"shard {shard} cannot be measured: {reason}", "continue later with --resume FILE") from error


def _measure(options: dict[str, Json], number: int, of: int, folder: str) -> list[str]:
    """Measure a shard in a process of the cluster: -> the lines of its finished batches."""
    os.chdir(folder)
    prepared = _finished(prepare_evaluation(Request.from_json(options), Shard(number, of)))
    plan, models, batch = prepared.plan, prepared.models, prepared.request.batch
    results, lines = Results(plan.images), []

    def keep(record: Verdicts | Smoothed) -> None:
        lines.append(record.to_json())

    for measuring in (evaluate_shared, evaluate_attacks, evaluate_transfers):
        _finished(measuring(plan, models, results, keep, batch))
    _finished(smooth(plan, models, results, keep, batch))
    return lines


def _finished(events: Iterator[Any]) -> Any:
    """Exhaust a generator and return its return value."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value
