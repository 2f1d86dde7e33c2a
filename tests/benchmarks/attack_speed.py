"""The speed of advcli's attacks beside other libraries, a gradient alone, and an import of TensorFlow.

    pip install -e ".[bench]"
    python tests/benchmarks/attack_speed.py pgd                      # PGD-20, all steps, MobileNetV2 at 64 x 64
    python tests/benchmarks/attack_speed.py pairs --busy 1           # PGD-20 and gradients alone in turn, a core taken
    python tests/benchmarks/attack_speed.py broken                   # PGD-100 where most images break at once
    python tests/benchmarks/attack_speed.py autoattack --model wong2018_certified_mnist.keras --data mnist.npz --eps 0.1
    python tests/benchmarks/attack_speed.py image cat.png --weights mobilenet_v2.weights.h5
    python tests/benchmarks/attack_speed.py memory --weights mobilenet_v2.weights.h5

Run it on an idle machine, from the repository. What is compared is run in turn, round by round, and
the median of the rounds is printed; `--json FILE` keeps every figure. A first call of each, in which
graphs are traced, is no round and has its own column: of all images in `pgd` and `broken`, of one
image in `autoattack`. Libraries that call the Keras model eagerly are shown in the form their
documentation gives and, as "traced", with a `tf.function` around the model. `right` is the share of
images that the Keras model itself still gets right on what each search returned. PyTorch's threads wait
for each other at every layer: on a busy machine it may take ten times as long, and OMP_NUM_THREADS=1 helps.
"""

import importlib.metadata
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import peers
import typer
from peers import Budget, Search
from PIL import Image

from advcli import registry
from advcli.backend import keras, tf
from advcli.errors import UsageError
from advcli.model.load import wrap
from advcli.model.model_choice import ModelChoice
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat

# Everything is compared on the CPU; this must be said before TensorFlow and PyTorch are imported.
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

OURS = "advcli"
BASELINE = "gradients alone"
PACKAGES = ("advcli", "tensorflow", "keras", "torch", "foolbox", "adversarial-robustness-toolbox", "cleverhans")
PACKAGES += ("torchattacks", "numpy")

app = typer.Typer(
    help=(__doc__ or "").partition("\n")[0], no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)

Json = Annotated[Path | None, typer.Option("--json", help="Write settings, versions and every figure here.")]
Rounds = Annotated[int, typer.Option(min=1, help="How often each is run; the median counts.")]
Weights = Annotated[Path, typer.Option(exists=True, help="A weights file of MobileNetV2 at 224 x 224.")]


@app.callback()
def warn_if_busy() -> None:
    """Say so if others use the machine: PyTorch's threads suffer far more from that than TensorFlow's."""
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"the machine is busy (load {load:.1f}): these times will mean little", file=sys.stderr)


@app.command()
def pgd(images: int = 64, steps: int = 20, rounds: Rounds = 3, edge: int = 64, seed: int = 0, out: Json = None) -> None:
    """PGD with all its steps, on MobileNetV2 with random weights and 200 classes."""
    budget = Budget(eps=8 / 255, step=2 / 255, steps=steps)
    pixels, _ = blobs(images, edge, 10, seed)
    model = network(edge, 200, seed)
    settle(model, blobs(256, edge, 10, seed + 1)[0])
    labels = predicted(model, pixels)
    searches = {
        BASELINE: gradients_alone(model, steps),
        OURS: our_search(model, f"pgd:steps={steps},step={budget.step}", budget.eps, seed),
        **peer_searches(model, budget),
        "cleverhans": peers.cleverhans_pgd(model, budget),
    }
    rows = compared(model, searches, pixels, labels, rounds, steps)
    show(rows, ("seconds", "first", "ms_image_step", "to_advcli", "to_gradients", "right", "linf"))
    write(out, "pgd", {"images": images, "edge": edge, "rounds": rounds, "seed": seed, **asdict(budget)}, rows)


@app.command()
def pairs(
    images: int = 64,
    steps: int = 20,
    rounds: Rounds = 9,
    edge: int = 64,
    busy: Annotated[int, typer.Option(min=0, help="How many processes compute beside it.")] = 0,
    seed: int = 0,
    out: Json = None,
) -> None:
    """PGD beside traced gradients of the Keras model alone, in turn; the ratio is taken pair by pair."""
    pixels, _ = blobs(images, edge, 10, seed)
    model = network(edge, 200, seed)
    settle(model, blobs(256, edge, 10, seed + 1)[0])
    labels = predicted(model, pixels)
    searches = {
        OURS: our_search(model, f"pgd:steps={steps},step={2 / 255}", 8 / 255, seed),
        BASELINE: gradients_alone(model, steps),
    }
    for search in searches.values():
        search(pixels, labels)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in searches}
    others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
    try:
        for index in range(rounds):
            for name in order(searches, index):
                wall, cpu = time.perf_counter(), time.process_time()
                searches[name](pixels, labels)
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    finally:
        for other in others:
            other.kill()
    rows = {}
    for place, clock in enumerate(("wall", "cpu")):
        ours, alone = ([pair[place] for pair in taken[name]] for name in (OURS, BASELINE))
        ratios = [mine / theirs for mine, theirs in zip(ours, alone, strict=True)]
        rows[clock] = {OURS: median(ours), BASELINE: median(alone), "ratio": median(ratios)}
        rows[clock] |= {"least": min(ratios), "most": max(ratios)}
    show(rows, (OURS, BASELINE, "ratio", "least", "most"))
    write(out, "pairs", {"images": images, "edge": edge, "busy": busy, "steps": steps, "seed": seed}, {**rows, **taken})


@app.command()
def broken(
    images: int = 64,
    steps: int = 100,
    rounds: Rounds = 3,
    edge: int = 64,
    fit: Annotated[int, typer.Option(help="How many images the network is fitted on.")] = 4096,
    seed: int = 0,
    out: Json = None,
) -> None:
    """PGD on images that break early: stopping at the first that breaks against taking every step."""
    budget = Budget(eps=8 / 255, step=8 / 255 * 2.5 / steps, steps=steps)
    model = fitted(edge, fit, seed)
    pixels, labels = blobs(images * 2, edge, 10, seed + 1)
    right = np.flatnonzero(predicted(model, pixels) == labels)[:images]
    print(f"{len(right)} images that the network gets right")
    pixels, labels = pixels[right], labels[right]
    spec = stopping(f"pgd:steps={steps}")
    searches = {OURS: our_search(model, spec, budget.eps, seed), **peer_searches(model, budget)}
    rows = compared(model, searches, pixels, labels, rounds, steps)
    show(rows, ("seconds", "first", "to_advcli", "right", "verdicts_apart", "linf"))
    settings = {"images": len(right), "edge": edge, "rounds": rounds, "seed": seed, "fit": fit, "spec": spec}
    write(out, "broken", {**settings, **asdict(budget)}, rows)


@app.command()
def autoattack(
    model: Annotated[Path, typer.Option(exists=True, help="A Keras Sequential for MNIST, [0, 1] in, logits out.")],
    data: Annotated[Path, typer.Option(exists=True, help="mnist.npz")],
    eps: float = 0.1,
    images: int = 256,
    batch: int = 256,
    steps: Annotated[int, typer.Option(help="Of APGD and FAB.")] = 100,
    queries: Annotated[int, typer.Option(help="Of Square.")] = 5000,
    rounds: Rounds = 1,
    seed: int = 0,
    out: Json = None,
) -> None:
    """AutoAttack's four parts in turn, each on the images still right, beside torchattacks."""
    classifier = ModelChoice(str(model), input_range=(0.0, 1.0)).load()
    with np.load(data) as arrays:
        pixels = arrays["x_test"][:images, ..., None].astype(np.float32) / 255
        labels = arrays["y_test"][:images].astype(np.int64)
    twin = peers.torch_twin(classifier.model)
    check_twin(classifier.model, twin, pixels)
    classes = len(classifier.labels)
    ours = our_parts(classifier.inference_copy, Threat(Norm.LINF, eps), steps, queries, seed)
    theirs = peers.torchattacks_parts(twin, eps, steps, queries, classes)
    first = {OURS: first_calls(ours, pixels, labels), "torchattacks": first_calls(theirs, pixels, labels)}
    suites = {
        OURS: lambda: in_turn(ours, lambda x: predicted(classifier.model, x), pixels, labels, eps, batch),
        "torchattacks": lambda: in_turn(
            theirs, lambda x: peers.torch_logits(twin, x).argmax(1), pixels, labels, eps, batch
        ),
    }
    runs = {name: [] for name in suites}
    for index in range(rounds):
        for name in order(suites, index):
            runs[name].append(suites[name]())
    rows = part_rows(runs["torchattacks"], runs[OURS], images)
    for name, row in rows.items():
        row["advcli_first"] = sum(first[OURS].values()) if name == "total" else first[OURS][name]
    show(rows, ("advcli", "torchattacks", "times_faster", "advcli_left", "torchattacks_left", "advcli_first"))
    for name, run in runs.items():
        print(f"{name}: clean accuracy {run[-1]['clean']:.4f}, robust accuracy {run[-1]['robust']:.4f}")
    settings = {"model": model.name, "eps": eps, "images": images, "batch": batch, "steps": steps, "queries": queries}
    write(
        out, "autoattack", {**settings, "rounds": rounds, "seed": seed}, {"parts": rows, "first": first, "runs": runs}
    )


@app.command()
def image(
    file: Annotated[Path, typer.Argument(exists=True)], weights: Weights, rounds: Rounds = 5, out: Json = None
) -> None:
    """CPU seconds of attacking one image from the shell, beside an import of TensorFlow."""
    with tempfile.TemporaryDirectory() as folder:
        commands = {
            "import tensorflow": [sys.executable, "-c", "import tensorflow"],
            "advcli attack": attack_command(file, weights, folder),
        }
        usages = {name: [] for name in commands}
        for index in range(rounds + 1):
            for name in order(commands, index):
                usages[name].append(child(commands[name]))
    # The first of each only fills the disk cache.
    counted = {name: usage[1:] for name, usage in usages.items()}
    rows = {
        name: {"cpu": median(run["cpu"] for run in usage), "wall": median(run["wall"] for run in usage)}
        for name, usage in counted.items()
    }
    rows["difference"] = {
        key: rows["advcli attack"][key] - rows["import tensorflow"][key] for key in rows["advcli attack"]
    }
    show(rows, ("cpu", "wall"))
    write(out, "image", {"image": file.name, "weights": weights.name, "rounds": rounds}, {"medians": rows, **counted})


@app.command()
def memory(
    weights: Weights, width: int = 4000, height: int = 3000, rounds: Rounds = 1, seed: int = 0, out: Json = None
) -> None:
    """Peak memory of attacking a large photo at its own resolution with the default attack."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photo.png"
        photo(width, height, seed).save(file)
        usages = [child(attack_command(file, weights, folder)) for _ in range(rounds)]
    row = {"peak_gb": max(usage["peak_gb"] for usage in usages)}
    row |= {key: median(usage[key] for usage in usages) for key in ("wall", "cpu")}
    show({f"{width} x {height}": row}, ("peak_gb", "wall", "cpu"))
    write(out, "memory", {"width": width, "height": height, "rounds": rounds, "weights": weights.name}, usages)


def blobs(count: int, edge: int, classes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw noisy grey images with one blob each, whose colour is its class: -> (N, H, W, 3), (N,)."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    angles = 2 * np.pi * (labels[:, None] / classes + np.arange(3) / 3)
    colours = np.cos(angles)[:, None, None, :] * 0.4
    centres = rng.uniform(0.3, 0.7, (2, count, 1, 1)) * edge
    rows, columns = np.mgrid[:edge, :edge]
    distance = (rows - centres[0]) ** 2 + (columns - centres[1]) ** 2
    shapes = np.exp(-distance / (2 * (edge / 6) ** 2))[..., None]
    noise = rng.normal(0, 0.1, (count, edge, edge, 3))
    return np.clip(0.5 + shapes * colours + noise, 0, 1).astype(np.float32), labels


def network(edge: int, classes: int, seed: int) -> Any:
    """MobileNetV2 with random weights, its input taken to be [0, 1] by all."""
    keras.utils.set_random_seed(seed)
    return keras.applications.MobileNetV2(
        input_shape=(edge, edge, 3), weights=None, classes=classes, classifier_activation=None
    )


def settle(model: Any, pixels: np.ndarray) -> None:
    """Set the statistics of every BatchNorm to those of these images; its momentum would take thousands of batches."""
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(pixels, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def fitted(edge: int, count: int, seed: int) -> Any:
    """Fit MobileNetV2 on blobs of ten colours: undefended, and right about nearly all."""
    model = network(edge, 10, seed)
    pixels, labels = blobs(count, edge, 10, seed)
    model.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(pixels, labels, batch_size=64, epochs=1, verbose=0)
    settle(model, pixels[:512])
    return model


def predicted(model: Any, pixels: np.ndarray) -> np.ndarray:
    """Classify with the Keras model itself, whoever attacked it: (N, H, W, C) -> (N,)."""
    return np.argmax(model(pixels, training=False), axis=1)


def gradients_alone(model: Any, steps: int) -> Search:
    """What no attack of so many steps can do without: forward and backward through the unmodified model."""

    @tf.function
    def gradient(images: Any, labels: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=False))
        return tape.gradient(loss, images)

    def search(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        pixels, classes = tf.constant(images), tf.constant(labels, tf.int32)
        ascent = tf.zeros_like(pixels)
        for _ in range(steps):
            ascent = gradient(pixels, classes)
        ascent.numpy()
        return images

    return search


def our_search(model: Any, spec: str, eps: float, seed: int) -> Search:
    """Attack a copy: advcli may change the model that it is given."""
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    classifier = wrap(copy, "benchmark", input_range=(0.0, 1.0)).inference_copy
    compiled_attack = CompiledAttack(classifier, registry.build("attacks", spec), Threat(Norm.LINF, eps), seed)
    return lambda images, labels: compiled_attack(images, labels)[0]


def our_parts(classifier: Any, threat: Threat, steps: int, queries: int, seed: int) -> Mapping[str, Search]:
    """AutoAttack's members, each ready to run alone."""

    def part(spec: str) -> Search:
        option = f"queries={queries}" if spec.startswith("square") else f"steps={steps}"
        attack = registry.build("attacks", spec + ("," if ":" in spec else ":") + option)
        compiled_attack = CompiledAttack(classifier, attack, threat, seed)
        return lambda images, labels: compiled_attack(images, labels)[0]

    members = registry.build("attacks", "autoattack").members_in(threat.norm)
    return dict(zip(("apgd-ce", "apgd-t", "fab-t", "square"), map(part, members), strict=True))


def peer_searches(model: Any, budget: Budget) -> Mapping[str, Search]:
    """Foolbox and ART, on the model as it is and on the model traced."""
    shape, classes = model.input_shape[1:], model.output_shape[-1]
    return {
        "foolbox": peers.foolbox_pgd(model, budget),
        "foolbox, traced": peers.foolbox_pgd(peers.traced(model), budget),
        "art": peers.art_pgd(model, budget, shape, classes),
        "art, traced": peers.art_pgd(peers.traced(model), budget, shape, classes),
    }


def stopping(spec: str) -> str:
    """Ask PGD to stop at the first point that breaks an image, if it knows how."""
    try:
        registry.build("attacks", f"{spec},stop=true")
    except UsageError:
        print("this advcli's pgd has no option stop: it takes every step", file=sys.stderr)
        return spec
    return f"{spec},stop=true"


def order(names: Mapping[str, Any], index: int) -> Sequence[str]:
    """Every other round goes backwards, so that none always follows the same one."""
    return list(names) if index % 2 == 0 else list(names)[::-1]


def compared(
    model: Any, searches: Mapping[str, Search], pixels: np.ndarray, labels: np.ndarray, rounds: int, steps: int
) -> dict[str, dict[str, Any]]:
    """Run searches in turn; tell their times and what they reached."""
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    found: dict[str, np.ndarray] = {}
    for index in range(rounds + 1):
        for name in order(searches, index):
            start = time.perf_counter()
            found[name] = searches[name](pixels, labels)
            seconds[name].append(time.perf_counter() - start)
    medians = {name: median(taken[1:]) for name, taken in seconds.items()}
    right = {name: predicted(model, points) == labels for name, points in found.items()}
    return {
        name: {
            "seconds": medians[name],
            "first": seconds[name][0],
            "ms_image_step": 1000 * medians[name] / len(pixels) / steps,
            "to_advcli": medians[name] / medians[OURS],
            "to_gradients": medians[name] / medians[BASELINE] if BASELINE in medians else None,
            "right": float(right[name].mean()),
            "verdicts_apart": int((right[name] != right[OURS]).sum()),
            "linf": float(np.abs(found[name] - pixels).max()),
            "rounds": seconds[name][1:],
        }
        for name in searches
    }


def in_turn(
    parts: Mapping[str, Search],
    judge: Callable[[np.ndarray], np.ndarray],
    pixels: np.ndarray,
    labels: np.ndarray,
    eps: float,
    batch: int,
) -> dict[str, Any]:
    """Let each part attack the images that are still right; tell its seconds and how many are left."""
    right = judge(pixels) == labels
    clean = float(right.mean())
    taken = {}
    for name, search in parts.items():
        attackable = np.flatnonzero(right)
        start = time.perf_counter()
        for first in range(0, len(attackable), batch):
            rows = attackable[first : first + batch]
            found = search(pixels[rows], labels[rows])
            inside = np.abs(found - pixels[rows]).max(axis=(1, 2, 3)) <= eps + 1e-6
            right[rows] = (judge(found) == labels[rows]) | ~inside
        taken[name] = {"seconds": time.perf_counter() - start, "left": int(right.sum())}
    return {"clean": clean, "robust": float(right.mean()), "parts": taken}


def first_calls(parts: Mapping[str, Search], pixels: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Let each part attack one image, for which graphs are traced; tell the seconds."""
    taken = {}
    for name, search in parts.items():
        start = time.perf_counter()
        search(pixels[:1], labels[:1])
        taken[name] = time.perf_counter() - start
    return taken


def part_rows(theirs: Sequence[Any], ours: Sequence[Any], images: int) -> dict[str, dict[str, Any]]:
    """Set AutoAttack's parts side by side, and their sum."""

    def row(seconds: Callable[[Any], float], left: Callable[[Any], int]) -> dict[str, Any]:
        here, there = (median(map(seconds, runs)) for runs in (ours, theirs))
        return {
            "advcli": here,
            "torchattacks": there,
            "times_faster": there / here if here else None,
            "advcli_left": left(ours[-1]),
            "torchattacks_left": left(theirs[-1]),
        }

    rows = {
        name: row(lambda run, n=name: run["parts"][n]["seconds"], lambda run, n=name: run["parts"][n]["left"])
        for name in ours[0]["parts"]
    }
    rows["total"] = row(
        lambda run: sum(part["seconds"] for part in run["parts"].values()),
        lambda run: round(run["robust"] * images),
    )
    return rows


def check_twin(model: Any, twin: Any, pixels: np.ndarray) -> None:
    """Refuse a PyTorch network that is not the Keras network."""
    apart = float(np.abs(peers.torch_logits(twin, pixels) - model(pixels, training=False)).max())
    if not apart <= 1e-4:
        raise SystemExit(f"the PyTorch twin's logits differ by {apart:g}")
    print(f"PyTorch twin: logits equal to {apart:.1e}")


def attack_command(file: Path, weights: Path, folder: str) -> list[str]:
    """Spell out the attack of one image from the shell."""
    options = ["--weights", str(weights), "--out", folder, "--overwrite", "--quiet", "--offline"]
    return [sys.executable, "-m", "advcli", "attack", str(file), *options]


def child(command: Sequence[str]) -> dict[str, float]:
    """Run a program to its end; tell its CPU seconds, its wall seconds and its peak memory.

    On Linux a child's peak begins at its parent's, so this process stays small: it does not import TensorFlow.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as chatter:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=chatter)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            chatter.seek(0)
            raise SystemExit(f"{' '.join(command)} failed ({process.returncode}):\n{chatter.read().decode()}")
    unit = 1 if platform.system() == "Darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if usage.ru_maxrss <= own:
        print("the child's peak memory is hidden by this process's own", file=sys.stderr)
    return {"cpu": usage.ru_utime + usage.ru_stime, "wall": wall, "peak_gb": usage.ru_maxrss * unit / 1e9}


def photo(width: int, height: int, seed: int) -> Image.Image:
    """Draw an image with detail at every scale, as a photo has."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (width, height), (128, 128, 128))
    for cells in (4, 16, 64, 256, 1024):
        noise = rng.integers(0, 256, (max(cells * height // width, 1), cells, 3), dtype=np.uint8)
        layer = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        picture = Image.blend(picture, layer, 0.35)
    return picture


def show(rows: Mapping[str, Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print one line a row."""
    widths = {column: max(len(column), 7) + 2 for column in columns}
    print(" " * 18 + "".join(f"{column:>{width}}" for column, width in widths.items()))
    for name, row in rows.items():
        cells = ("-" if row[column] is None else f"{row[column]:.4g}" for column in columns)
        print(f"{name:18}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, widths.values(), strict=True)))


def write(out: Path | None, command: str, settings: Mapping[str, Any], figures: Any) -> None:
    """Keep the raw figures, with what they depend on."""
    if out is None:
        return
    machine: dict[str, Any] = {"load": os.getloadavg()}
    machine |= {"python": platform.python_version(), "system": platform.platform(), "cores": os.cpu_count()}
    machine["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS")  # of PyTorch; TensorFlow has its own pool
    versions = {name: installed(name) for name in PACKAGES}
    content = {"command": command, "settings": settings, "machine": machine, "versions": versions, "figures": figures}
    out.write_text(json.dumps(content, indent=2) + "\n")


def installed(name: str) -> str | None:
    """Return the version of a package, None if it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    app()
