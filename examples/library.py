"""Use advcli's parts from Python: load a run, attack an array of images, see what is still right.

python examples/library.py RUN
"""

import sys
from pathlib import Path

from advcli import registry
from advcli.data.dataset import decode
from advcli.datasets import find
from advcli.model.classifier import load
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat

run = Path(sys.argv[1])
classifier = load(run / "model.keras", run.name)
images = decode(find("digits")().test, classifier.image_size, classifier.channels)
pixels, labels = images.at(slice(0, 50))

compiled_attack = CompiledAttack(
    classifier.inference_copy, registry.build("attacks", "pgd:steps=20"), Threat(Norm.LINF, 0.1)
)
adversarial, queries = compiled_attack(pixels, labels)

clean = (classifier.predict(pixels).argmax(axis=1) == labels).mean()
robust = (classifier.predict(adversarial).argmax(axis=1) == labels).mean()
print(f"clean {clean:.0%}, after {queries.max()} queries of PGD {robust:.0%}")
