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
from advcli.data.decoded import decode
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
    reference, asked = np.zeros(0, bool), 0
    for number, spec in enumerate(attack or ["autoattack", "autoattack:version=fast"]):
        search = CompiledAttack(classifier, registry.build("attacks", spec), threat)
        search(pixels[:1], labels[:1])
        start = time.process_time()
        found = search.search(pixels, labels)
        seconds = time.process_time() - start
        stands = found.predicted == labels
        passes = int(found.queries.sum())
        if number == 0:
            reference, asked = stands, passes
        print(
            f"{spec}: {stands.sum()} correct ({stands.sum() / first:.2%}), {(stands != reference).sum()} differ, "
            f"{passes / len(pixels):.0f} passes an image, {passes / asked:.3f} of the first; {seconds:.1f} s",
            flush=True,
        )
        if found.members is not None:
            for index, member in enumerate(search.attack.members_in(norm)):
                print(f"    {member} fools {(found.members == index).sum()}", flush=True)


if __name__ == "__main__":
    typer.run(main)
