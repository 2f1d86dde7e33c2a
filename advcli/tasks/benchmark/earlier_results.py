"""Earlier results that an evaluation is compared with."""

from dataclasses import dataclass
from pathlib import Path

from advcli.errors import UsageError
from advcli.records import Score
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.read_results import read_contents, read_protocol, read_scores


@dataclass(frozen=True)
class Baseline:
    """The scores of an earlier evaluation, and the predictions for each image if its file has them.

    Args:
        scores: the scores.
        sample: the hash of the images; empty if the file does not say it.
        results: the predictions; None if there are none.
    """

    scores: tuple[Score, ...]
    sample: str = ""
    results: Results | None = None


def read_baseline(path: Path) -> Baseline:
    """Read the results of ``--out``, or the output of ``--json``, which has no predictions.

    Raises:
        UsageError: there are no scores, or one is damaged.
    """
    scores = tuple(read_scores(path))
    try:
        protocol = read_protocol(path)
    except UsageError:
        # What --json wrote begins with a score.
        return Baseline(scores)
    results = Results(protocol.images)
    for record in read_contents(path, protocol).batches:
        results.add(record)
    return Baseline(scores, protocol.sample, results)
