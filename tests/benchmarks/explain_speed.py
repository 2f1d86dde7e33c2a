"""The speed of Grad-CAM beside forward and backward passes alone, and beside tf-keras-vis used naively.

    python tests/benchmarks/explain_speed.py --weights mobilenet_v2.weights.h5
    python tests/benchmarks/explain_speed.py --images 100 --rounds 3

What is compared is run in turn, round by round, on the same images of 224 pixels, and the median of the
rounds is printed with its ratio to the passes alone. A first call of each, in which graphs are traced, is no
round and has its own column. Naively means as its documentation shows it: a new object for every image; of
that, which takes seconds an image, only a few images are run. "Reused" is one object, all images of a batch
at once. The machine need not be idle for the ratios.
"""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.utils.model_modifiers import ReplaceToLinear
from tf_keras_vis.utils.scores import CategoricalScore

from advcli import registry
from advcli.backend import keras, tf
from advcli.model.classifier import wrap

EDGE = 224


def main(
    images: int = 100,
    batch: int = 8,
    rounds: int = 3,
    naive: Annotated[int, typer.Option(help="How many images are explained naively.")] = 4,
    weights: Annotated[Path | None, typer.Option(exists=True, help="A weights file of MobileNetV2 at 224.")] = None,
) -> None:
    """Compare Grad-CAM of a MobileNetV2 with the passes it needs and with tf-keras-vis."""
    keras.utils.set_random_seed(0)
    network = keras.applications.MobileNetV2(weights=weights and str(weights))
    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    classifier = wrap(network, "mobilenetv2", input_range=(-1.0, 1.0))
    pixels = np.random.default_rng(0).random((images, EDGE, EDGE, 3), dtype=np.float32)
    classes = classifier.predict(pixels[:batch]).argmax(axis=1).repeat(-(-images // batch))[:images]
    runs: dict[str, tuple[Callable[[slice], None], int, int]] = {
        "passes alone": (passes(classifier, pixels, classes), images, batch),
        "tf-keras-vis, reused": (reused(classifier, pixels, classes), images, batch),
        "tf-keras-vis, naive": (naively(twin, pixels, classes), min(naive, images), 1),
    }
    for method in ("gradcam", "gradcam++", "layercam", "saliency"):
        runs[f"advcli {method}"] = (ours(classifier, method, pixels, classes), images, batch)
    first = {name: timed(run, count, size, only=True) for name, (run, count, size) in runs.items()}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds):
        for name in list(runs)[:: -1 if index % 2 else 1]:
            run, count, size = runs[name]
            seconds[name].append(timed(run, count, size) / count)
    alone = median(seconds["passes alone"])
    print(f"{'':24}{'ms an image':>12}{'to passes':>12}{'first call s':>14}")
    for name in runs:
        middle = median(seconds[name])
        print(f"{name:24}{1000 * middle:12.1f}{middle / alone:12.2f}{first[name]:14.1f}")


def timed(run: Callable[[slice], None], count: int, size: int, only: bool = False) -> float:
    """Time a run over images in batches, or over the first batch only."""
    start = time.perf_counter()
    for first in range(0, size if only else count, size):
        run(slice(first, min(first + size, count)))
    return time.perf_counter() - start


def passes(classifier: Any, pixels: np.ndarray, classes: np.ndarray) -> Callable[[slice], None]:
    """What any explanation by gradients needs: one forward and one backward pass of the Keras model, traced."""
    signature = [tf.TensorSpec((None, EDGE, EDGE, 3), tf.float32), tf.TensorSpec((None,), tf.int32)]

    @tf.function(input_signature=signature)
    def gradient(inputs: Any, labels: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            score = tf.gather(classifier.model(inputs, training=False), labels, axis=1, batch_dims=1)
        return tape.gradient(score, inputs)

    def run(part: slice) -> None:
        gradient(tf.constant(pixels[part] * 2 - 1), tf.constant(classes[part], tf.int32)).numpy()

    return run


def ours(classifier: Any, method: str, pixels: np.ndarray, classes: np.ndarray) -> Callable[[slice], None]:
    """Explain with a component."""
    explainer = registry.build("explainers", method)

    def run(part: slice) -> None:
        explainer(classifier, pixels[part], classes[part], 0)

    return run


def reused(classifier: Any, pixels: np.ndarray, classes: np.ndarray) -> Callable[[slice], None]:
    """Grad-CAM of tf-keras-vis with one object for all, on the layer that advcli shows."""
    visualization = Gradcam(classifier.model, clone=False)
    layer = registry.build("explainers", "gradcam").shown(classifier).layer

    def run(part: slice) -> None:
        score = CategoricalScore(classes[part].tolist())
        visualization(
            score, tf.constant(pixels[part] * 2 - 1), penultimate_layer=layer, seek_penultimate_conv_layer=False
        )

    return run


def naively(model: Any, pixels: np.ndarray, classes: np.ndarray) -> Callable[[slice], None]:
    """Grad-CAM of tf-keras-vis as its documentation shows it."""

    def run(part: slice) -> None:
        visualization = Gradcam(model, model_modifier=ReplaceToLinear(), clone=True)
        visualization(CategoricalScore(classes[part].tolist()), tf.constant(pixels[part] * 2 - 1), penultimate_layer=-1)

    return run


if __name__ == "__main__":
    typer.run(main)
