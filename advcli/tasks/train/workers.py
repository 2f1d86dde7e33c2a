"""The processes of a training run, as TF_CONFIG names them; told without TensorFlow."""

import os
from dataclasses import dataclass

from advcli.errors import UsageError
from advcli.files.bounded import parse_json

_EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Workers:
    """The processes of a run.

    Args:
        count: the number of workers.
        index: the index of this worker.
    """

    count: int = 1
    index: int = 0

    @property
    def writes(self) -> bool:
        """Return whether this worker is the chief, which writes the files and the output."""
        return self.index == 0


def find_workers(strategy: str) -> Workers:
    """Read the workers from TF_CONFIG; TensorFlow is not needed.

    Raises:
        UsageError: TF_CONFIG is missing or unclear.
    """
    if strategy in ("one", "mirrored"):
        return Workers()
    content = os.environ.get("TF_CONFIG")
    if not content:
        if strategy == "auto":
            return Workers()
        raise UsageError("no TF_CONFIG names the workers", f"set it for each of them, such as TF_CONFIG='{_EXAMPLE}'")
    try:
        config = parse_json(content)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        tasks = [(kind, i) for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))]
        if strategy == "auto" and not tasks:
            return Workers()
        return Workers(len(tasks), tasks.index((task["type"], int(task["index"]))))
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise UsageError("TF_CONFIG does not name this worker among all", f"it should look like {_EXAMPLE}") from error
