"""The processes of a training run, as TF_CONFIG names them; told without TensorFlow."""

import json
import os
from dataclasses import dataclass

from advcli.errors import UsageError

_EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Workers:
    """The processes of a run.

    Args:
        count: how many there are.
        index: which of them this is.
    """

    count: int = 1
    index: int = 0

    @property
    def writes(self) -> bool:
        """Tell whether this process is the chief: the one that writes and shows what all have found."""
        return self.index == 0


def find_workers(strategy: str) -> Workers:
    """Read from TF_CONFIG what processes there are; needs no TensorFlow.

    Raises:
        UsageError: TF_CONFIG does not say it, or does not say it clearly.
    """
    if strategy in ("one", "mirrored"):
        return Workers()
    content = os.environ.get("TF_CONFIG")
    if not content:
        if strategy == "auto":
            return Workers()
        raise UsageError("no TF_CONFIG names the workers", f"set it for each of them, such as TF_CONFIG='{_EXAMPLE}'")
    try:
        config = json.loads(content)
        cluster, task = config.get("cluster", {}), config.get("task", {})
        tasks = [(kind, i) for kind in ("chief", "worker") for i in range(len(cluster.get(kind, ())))]
        if strategy == "auto" and not tasks:
            return Workers()
        return Workers(len(tasks), tasks.index((task["type"], int(task["index"]))))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError("TF_CONFIG does not name this worker among all", f"it should look like {_EXAMPLE}") from error
