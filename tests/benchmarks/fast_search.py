"""The fast search beside AutoAttack: what each leaves correct, whether that is the same images, and what it costs.

    python tests/benchmarks/fast_search.py wong2018_certified_mnist.keras --data mnist:path=mnist.npz --eps 0.1
    python tests/benchmarks/fast_search.py runs/robust --data tiny-imagenet-10.zip --eps 4/255 --first 100

Passes are the queries that advcli counts: each gradient is one, as is each forward pass alone. Seconds are CPU
seconds of the whole process, tracing excluded.
"""

import time
from typing import Annotated

import numpy as np
import typer

from advcli import registry
from advcli.data.dataset import decode
from advcli.datasets import find
from advcli.model.model_choice import ModelChoice
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat


def main(
    model: str,
    data: Annotated[str, typer.Option(help="The data set; its test images are attacked.")],
    eps: Annotated[str, typer.Option(help="The radius.")],
    norm: Norm = Norm.LINF,
    first: Annotated[int, typer.Option(help="How many images, sampled by class.")] = 300,
    plain: Annotated[bool, typer.Option(help="The model takes pixels in [0, 1] as they are.")] = False,
    attack: Annotated[list[str] | None, typer.Option(help="The attacks; the first is what others are held to.")] = None,
) -> None:
    """Attack the images that the model gets right with each attack."""
    choice = ModelChoice(model, input_range=(0.0, 1.0)) if plain else ModelChoice(model)
    classifier = choice.load().inference_copy
    images = find(data)().test.sample(None, first, 0)
    pixels, labels = decode(images, classifier.image_size, classifier.channels).at(slice(None))
    right = np.flatnonzero(classifier.classes(pixels) == labels)
    pixels, labels = pixels[right], labels[right]
    print(f"{model}: {len(right)} of {first} are correct without attack")
    threat = Threat(norm, registry.number(eps, "--eps"))
    reference, asked = None, 1.0
    for spec in attack or ["autoattack", "autoattack:version=fast"]:
        search = CompiledAttack(classifier, registry.build("attacks", spec), threat)
        # A radius that fools nothing: every member is traced.
        CompiledAttack.search(search, pixels[:1], labels[:1])
        start = time.process_time()
        found = search.search(pixels, labels)
        seconds = time.process_time() - start
        stands = found.predicted == labels
        members = {} if found.members is None else dict(zip(*np.unique(found.members, return_counts=True), strict=True))
        reference = stands if reference is None else reference
        asked = found.queries.sum() if spec == (attack or ["autoattack"])[0] else asked
        print(
            f"{spec}: {stands.sum()} correct ({stands.sum() / first:.2%}), {(stands != reference).sum()} verdicts apart, "
            f"{found.queries.mean():.0f} passes an image ({found.queries.sum() / asked:.3f}), {seconds:.1f} s; "
            f"fooled by member: {[int(members.get(each, 0)) for each in range(len(set(members) - {-1}) + 3)]}",
            flush=True,
        )


if __name__ == "__main__":
    typer.run(main)
