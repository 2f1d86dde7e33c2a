"""A model that takes a quarter of a gigabyte of address space for each image of a batch, and a process with little."""

import contextlib
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from advcli.backend import Tensor, keras, tf

_GIGA = 2**30


@keras.saving.register_keras_serializable("exhausted")
class Ballast(keras.layers.Layer):
    """Passes its input on, and allocates a quarter of a gigabyte an image of which it touches one page."""

    def __init__(self, trainable: bool = True, **options: Any) -> None:
        super().__init__(trainable=trainable, **options)

    def call(self, inputs: Tensor) -> Tensor:
        shape = tf.stack([tf.shape(inputs)[0], _GIGA // 16])
        ballast = tf.raw_ops.Empty(shape=shape, dtype=tf.float32, init=False)
        # New pages are zero. An operation that nothing depends on would be left out.
        return inputs + tf.minimum(tf.abs(ballast[:, 0]), 0.0)[:, None, None, None]


def model(edge: int = 8, classes: int = 4) -> Any:
    """Return logistic regression with ballast, always the same."""
    image = keras.Input((edge, edge, 3))
    scores = keras.layers.Dense(classes)(keras.layers.Flatten()(Ballast()(image)))
    made = keras.Model(image, scores)
    generator = np.random.default_rng(2)
    for weight in made.weights:
        weight.assign(generator.normal(size=weight.shape))
    return made


@contextlib.contextmanager
def limited(gigabytes: float) -> Iterator[None]:
    """Let this process have so much more address space than it has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    found = re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    resource.setrlimit(resource.RLIMIT_AS, (int(found[1]) * 1024 + int(gigabytes * _GIGA), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def main(spec: str, gigabytes: float, number: int) -> None:
    """Attack images under a limit; print a line for each note, and the verdicts."""
    import logging
    import sys

    from advcli import registry
    from advcli.model.classifier import Classifier
    from advcli.search.compiled_attack import CompiledAttack
    from advcli.threat.threat import Norm, Threat

    classifier = Classifier("heavy", model(), ("cat", "dog", "owl", "fox"), (8, 8))
    pixels = np.random.default_rng(number).uniform(0.2, 0.8, (24, 8, 8, 3)).astype(np.float32)
    attack = registry.build("attacks", spec)
    norm = Norm.LINF if Norm.LINF in getattr(attack, "norms", (Norm.LINF,)) else Norm.L2
    threat = Threat(norm, 0.02 if norm is Norm.LINF else 0.3)
    search = CompiledAttack(classifier.inference_copy, attack, threat).search
    # Traced before, for TensorFlow itself does not survive a refused allocation there: it ends or hangs.
    search(pixels[:1], classifier.predicted(pixels[:1]))
    with limited(gigabytes):
        logging.basicConfig(stream=sys.stdout, format="%(message)s", level=logging.WARNING)
        labels = classifier.predicted(pixels)
        found = search(pixels, labels)
    # cw stops with the last image of its batch, so that its queries depend on the batch.
    queries = [] if spec.startswith("cw") else found.queries.tolist()
    print(labels.tolist(), found.predicted.tolist(), queries)


if __name__ == "__main__":
    import sys

    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
