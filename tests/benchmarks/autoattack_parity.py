"""AutoAttack's parts here beside what its official implementation measured.

    ADVCLI_TEST_DATA=DIR python tests/benchmarks/autoattack_parity.py DIR/models/trades_mnist.keras --first 200

Each part attacks all images that are right without perturbation, as in the reference measurement.
"""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from advcli import registry
from advcli.data.dataset import decode
from advcli.datasets import find
from advcli.model.model_choice import ModelChoice
from advcli.records import Progress, Score
from advcli.tasks.benchmark.quick_score import quick_scores
from advcli.threat.threat import Norm, Threat

PARTS = {
    "apgd-ce": "apgd:loss=ce",
    "apgd-t": "apgd:loss=dlr-targeted",
    "fab-t": "fab:stop=true",
    "square": "square",
    "autoattack-standard": "autoattack",
}
SHARED = Path(os.environ.get("ADVCLI_TEST_DATA", "../shared"))


def main(
    model: Path,
    eps: Annotated[float | None, typer.Option(help="Radius; the reference's own if it has one.")] = None,
    first: int = 200,
    part: Annotated[list[str] | None, typer.Option(help="Of " + ", ".join(PARTS) + "; all if none is given.")] = None,
    data: str = f"mnist:path={SHARED}/data/mnist.npz",
    reference: Path = SHARED / "reference/autoattack.json",
    batch: int = 250,
    seed: int = 0,
) -> None:
    """Print one line a part: accuracy here, accuracy there, and seconds."""
    entries = [
        entry
        for measured in json.loads(reference.read_text()).values()
        if isinstance(measured, list)
        for entry in measured
        if entry["model"] == model.stem
    ]
    there = next((entry for entry in entries if entry["images"] == first), {})
    radius = eps or next(entry["eps"] for entry in entries)
    classifier = ModelChoice(str(model), input_range=(0.0, 1.0)).load()
    dataset = find(data)()
    images = decode(dataset.test.sample(None, first, seed), classifier.image_size, classifier.channels)
    specs = {name: PARTS[name] for name in part or PARTS}
    attacks = {spec: registry.build("attacks", spec) for spec in specs.values()}
    names = {spec: name for name, spec in specs.items()}
    print(f"{classifier.name}, first {first} test images, linf {radius:g}, seed {seed}")
    print(f"{'':22}{'here':>8}{'there':>8}{'seconds':>9}  Wilson 95%")
    for record in quick_scores(
        classifier, dataset, images, attacks, [Threat(Norm.LINF, radius)], batch=batch, seed=seed
    ):
        if isinstance(record, Progress):
            print(f"{record.what}: {record.done} of {record.of}", file=sys.stderr, flush=True)
        if isinstance(record, Score):
            name = names.get(record.perturbation, record.perturbation)
            known = there.get(name)
            shown = "-" if known is None else f"{known:.4f}"
            interval = f"[{record.low:.4f}, {record.high:.4f}]"
            print(f"{name:22}{record.accuracy:8.4f}{shown:>8}{record.seconds:9.1f}  {interval}", flush=True)


if __name__ == "__main__":
    typer.run(main)
