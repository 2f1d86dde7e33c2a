"""AutoAttack's parts here beside what its official implementation measured.

    ADVCLI_TEST_DATA=DIR python tests/benchmarks/autoattack_parity.py DIR/models/trades_mnist.keras --first 200

Each part attacks all images that are right without perturbation, as in the reference measurement. With the file
that ``official_autoattack.py`` wrote, ``--verdicts FILE`` compares every image's verdict at that file's radius.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from advcli import registry
from advcli.backend import tf
from advcli.data.decoded import decode
from advcli.datasets import find
from advcli.model.classifier import Classifier
from advcli.model.model_choice import ModelChoice
from advcli.records import Progress, Score
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.benchmark.quick_score import quick_scores
from advcli.threat.threat import Norm, Threat

PARTS = {
    "apgd-ce": "apgd:loss=ce",
    "apgd-t": "apgd:loss=dlr-targeted",
    "fab-t": "fab:stop=true",
    "square": "square",
    "autoattack-standard": "autoattack",
}
IN_L1 = {
    "apgd-ce": "apgd:loss=ce,restarts=5,larger_eps=true",
    "apgd-t": "apgd:loss=dlr-targeted,targets=5,larger_eps=true",
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
    verdicts: Annotated[Path | None, typer.Option(help="File of the official verdicts of each image.")] = None,
) -> None:
    """Print one line a part: accuracy here, accuracy there, and seconds."""
    if verdicts:
        there = json.loads(verdicts.read_text())
        threat = Threat(Norm(there["norm"]), there["eps"])
        classifier = ModelChoice(str(model), input_range=(0.0, 1.0)).load()
        images = decode(find(data)().test.sample(None, there["images"], 0), classifier.image_size, classifier.channels)
        known = [name for name in part or PARTS if name in there["correct"]]
        compare(classifier, *images.at(slice(None)), threat, {name: there["correct"][name] for name in known}, seed)
        return
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


def compare(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    threat: Threat,
    there: dict[str, list[bool]],
    seed: int,
) -> None:
    """Print one line a part: how many images are correct here and there, and which are so at one place only."""
    specs = PARTS | (IN_L1 if threat.norm is Norm.L1 else {})
    clean = np.flatnonzero(classifier.classes(images) == labels)
    print(f"{classifier.name}, {len(images)} images, {len(clean)} correct, {threat.norm} {threat.eps:g}, seed {seed}")
    print(f"{'':22}{'here':>6}{'there':>6}{'seconds':>9}  correct only here; correct only there")
    for name, official in there.items():
        begun = time.perf_counter()
        attack = CompiledAttack(classifier, registry.build("attacks", specs[name]), threat, seed)
        points, _ = attack(images[clean], labels[clean])
        longest = threat.size(tf.constant(points - images[clean])).numpy().max()
        assert longest <= threat.eps * (1 + 1e-6), f"{name} left the ball: {longest}"
        here = np.zeros(len(images), bool)
        here[clean] = classifier.classes(points) == labels[clean]
        only_here, only_there = (np.flatnonzero(one).tolist() for one in (here & ~np.array(official), official & ~here))
        seconds = time.perf_counter() - begun
        print(f"{name:22}{here.sum():6}{sum(official):6}{seconds:9.1f}  {only_here}; {only_there}", flush=True)


if __name__ == "__main__":
    typer.run(main)
