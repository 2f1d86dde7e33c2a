"""The speed of explanations beside forward and backward passes alone, and beside tf-keras-vis used naively.

    python tests/benchmarks/explain_speed.py maps --weights mobilenet_v2.weights.h5
    python tests/benchmarks/explain_speed.py maps --images 100 --rounds 3
    python tests/benchmarks/explain_speed.py photos FOLDER --weights mobilenet_v2.weights.h5

`photos` runs the commands `advcli explain` and `advcli attack` as a user does, on a few photos and on more; the CPU
time of the further ones is that of a photo without start-up and tracing. Its ratio to a forward and a backward pass
of the inference copy holds on a busy machine, too.

In `maps`, what is compared is run in turn, round by round, on the same images of 224 pixels, and the median of the
rounds is printed with its ratio to the passes alone. A first call of each, in which graphs are traced, is no
round and has its own column. Naively means as its documentation shows it: a new object for every image; of
that, which takes seconds an image, only a few images are run. "Reused" is one object, all images of a batch
at once. The machine need not be idle for the ratios.
"""

import resource
import subprocess
import sys
import tempfile
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
from advcli.model.load import wrap

EDGE = 224


app = typer.Typer(help=(__doc__ or "").partition("\n")[0], no_args_is_help=True, add_completion=False)

Weights = Annotated[Path | None, typer.Option(exists=True, help="A weights file of MobileNetV2 at 224.")]


@app.command()
def photos(
    folder: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="Photos in PNG or JPEG files.")],
    weights: Weights = None,
    attack: str = "pgd:steps=20",
    eps: str = "4/255",
    few: int = 8,
    many: int = 24,
) -> None:
    """Measure the CPU time that one more photo takes, and how many passes of the network that is."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in (".png", ".jpg", ".jpeg"))[:many]
    if len(files) <= few:
        raise typer.BadParameter(f"{folder} holds {len(files)} photos: more than {few} are needed")
    alone = [gradient_seconds(weights)]
    print(f"{'':28}{'CPU s a photo':>14}{'in passes':>12}")
    for command in ("attack", "explain"):
        options = ["--attack", attack, "--eps", eps, *(["--weights", str(weights)] if weights else [])]
        seconds = [cpu_seconds(command, files[:count], options) for count in (few, len(files))]
        alone.append(gradient_seconds(weights))
        each = (seconds[1] - seconds[0]) / (len(files) - few)
        print(f"{f'advcli {command}':28}{each:14.2f}{each / (sum(alone[-2:]) / 2):12.1f}")
    print(f"{'a forward and backward pass':28}{median(alone):14.4f}{1:12.1f}")


def cpu_seconds(command: str, files: list[Path], options: list[str]) -> float:
    """Return the CPU time of an advcli command on some files, in seconds."""
    with tempfile.TemporaryDirectory() as out:
        arguments = [sys.executable, "-m", "advcli", command, *map(str, files), *options, "--out", out]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def gradient_seconds(weights: Path | None, batch: int = 8, rounds: int = 5) -> float:
    """Return the CPU time of a forward and a backward pass of the inference copy, a photo, in seconds."""
    network = keras.applications.MobileNetV2(weights=weights and str(weights))
    classifier = wrap(network, "mobilenetv2", input_range=(-1.0, 1.0)).inference_copy
    pixels = np.random.default_rng(0).random((batch, EDGE, EDGE, 3), dtype=np.float32)
    run = passes(classifier, pixels, np.arange(batch))
    run(slice(batch))
    seconds = []
    for _ in range(rounds):
        start = time.process_time()
        run(slice(batch))
        seconds.append(time.process_time() - start)
    return median(seconds) / batch


@app.command()
def maps(
    images: int = 100,
    batch: int = 8,
    rounds: int = 3,
    naive: Annotated[int, typer.Option(help="How many images are explained naively.")] = 4,
    weights: Weights = None,
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
    app()
