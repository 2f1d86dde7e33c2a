"""How a training run is spread over devices and machines.

The batch of a step is split evenly over all devices; each computes the loss of its own part, divided
by the size of the whole batch, and the gradients are summed. So a run does not depend on the number of
devices, except for what each device computes from its own part: dropout, and the statistics of
BatchNorm.
"""

import contextlib
import json
import logging
import signal
import threading
import zlib
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from typing import Any

import numpy as np

from advcli.backend import Nest, Strategy, Tensor, TracedFunction, tf
from advcli.errors import AdvcliError, UsageError
from advcli.records.base import Json
from advcli.tasks.train.workers import Workers, find_workers

log = logging.getLogger(__name__)


@cache
def find_devices(strategy: str) -> "Devices":
    """Choose the devices of a run, and wait for the other workers; the same devices each time.

    TensorFlow must not have been used before.

    Args:
        strategy: ``auto``, ``one``, ``mirrored`` or ``multiworker``.

    Raises:
        UsageError: TF_CONFIG does not define the workers clearly.
        AdvcliError: the workers cannot connect.
    """
    workers = find_workers(strategy)
    if strategy == "multiworker" or workers.count > 1:
        return Devices("multiworker", _join(workers), workers)
    names = [device.name for kind in ("GPU", "CPU") for device in tf.config.list_logical_devices(kind)]
    several = [name for name in names if "GPU" in name] or names
    if strategy == "mirrored" or (strategy == "auto" and len(several) > 1 and "GPU" in several[0]):
        return Devices("mirrored", tf.distribute.MirroredStrategy(several), workers)
    return Devices("one", tf.distribute.get_strategy(), workers)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _join(workers: Workers) -> Strategy:
    """Wait for the other workers."""
    log.info("waiting for all %d workers", workers.count)
    here = threading.current_thread() is threading.main_thread()
    # Python would not handle Ctrl-C or SIGTERM before the workers connect, so the signal ends the process.
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _SIGNALS} if here else {}
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, ValueError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise AdvcliError(f"the workers cannot connect: {reason}", "check the addresses in TF_CONFIG") from error
    finally:
        # TensorFlow installs its own handler of SIGTERM, which ignores the signal.
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


class Devices:
    """The devices of a run, as this process sees them.

    Args:
        name: the strategy: ``one``, ``mirrored`` or ``multiworker``.
        strategy: TensorFlow's strategy object.
        workers: the processes; each has the same number of devices.
    """

    def __init__(self, name: str, strategy: Strategy, workers: Workers) -> None:
        self.name = name
        self.strategy = strategy
        self.workers = workers
        self.count = strategy.num_replicas_in_sync
        self._own = self.count // workers.count

    def part(self, batch: int) -> slice:
        """Return the images of a batch that this process uses.

        Raises:
            UsageError: the batch cannot be split evenly.
        """
        if batch % self.count:
            raise UsageError(
                f"a batch of {batch} images cannot be split evenly over {self.count} devices",
                f"give a --batch that {self.count} divides, such as {max(1, batch // self.count) * self.count}",
            )
        size = batch // self.workers.count
        return slice(self.workers.index * size, (self.workers.index + 1) * size)

    def spread(self, values: Tensor) -> Nest:
        """Split the values of this process's images over its devices: (N, ...) -> (N / devices, ...) on each."""
        if self._own == 1:
            return values
        size = len(values) // self._own

        def share(context: Any) -> Tensor:
            first = context.replica_id_in_sync_group % self._own * size
            return values[first : first + size]

        return self.strategy.experimental_distribute_values_from_function(share)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sum the workers' counts; every worker waits for all others."""
        if self.workers.count == 1:
            return values

        def share(context: Any) -> Tensor:
            # Each process counts once, however many devices it has.
            first = context.replica_id_in_sync_group % self._own == 0
            return tf.constant(values if first else np.zeros_like(values), tf.int64)

        return self._sum(self.strategy.experimental_distribute_values_from_function(share)).numpy()

    def meet(self) -> None:
        """Wait for all workers."""
        self.total(np.zeros(1, np.int64))

    def refuse_difference(self, plan: Mapping[str, Json]) -> None:
        """Refuse to continue if the workers have different plans.

        Raises:
            AdvcliError: their options or their images differ.
        """
        digest = np.array([zlib.crc32(json.dumps(plan, sort_keys=True).encode())], np.int64)
        if (self.total(digest) != digest * self.workers.count).any():
            raise AdvcliError(
                "the workers do not have the same options, images and checkpoint",
                "start all with the same command line, on a file system that they share",
            )

    @contextlib.contextmanager
    def watched(self, hint: str) -> Iterator[None]:
        """Turn the errors of a lost worker into one message.

        Raises:
            AdvcliError: another worker is lost.
        """
        try:
            yield
        except tf.errors.OpError as error:
            # The first sign may be a closed connection or a missing heartbeat.
            lost = "Collective ops is aborted" in str(error) or isinstance(error, tf.errors.UnavailableError)
            if self.workers.count == 1 or not lost:
                raise
            raise AdvcliError("another worker is lost", hint) from error

    @cached_property
    def _sum(self) -> TracedFunction:
        return tf.function(lambda values: self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))
