import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backend import Tensor, keras, tf
from advcli.model.classifier import Classifier
from advcli.threat.inner_maximization import InnerMaximization
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


def pytest_configure() -> None:
    """Have the commands that tests start heed Ctrl-C: a shell has a process in the background ignore it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="module", autouse=True)
def nothing_left() -> Iterator[None]:
    """Let go of the networks and traced functions of a file before the next one begins."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data, where there is one."""
    folder = os.environ.get("ADVCLI_TEST_DATA")
    if not folder:
        pytest.skip("ADVCLI_TEST_DATA names no folder of real data")
    return Path(folder)


Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def program() -> Iterator[tuple[str, ...]]:
    """How to start the command line as a process; where that can be had, one that has TensorFlow imported already."""
    if sys.platform != "linux":
        yield sys.executable, "-m", "advcli"
        return
    warm = str(Path(__file__).with_name("warm.py"))
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listening:
        path = f"{folder}/socket"
        listening.bind(path)
        listening.listen()
        server = subprocess.Popen(
            [sys.executable, warm, "serve", str(listening.fileno())],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        yield sys.executable, "-I", "-S", warm, "run", path
        server.kill()
        server.wait()


@pytest.fixture
def advcli(tmp_path: Path, program: tuple[str, ...]) -> Command:
    """Run the real command line as a process, in a folder of its own."""

    def run(*arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
        # pytest-xdist sets COLUMNS for its workers.
        kept = (key for key in os.environ if not key.startswith("ADVCLI_") and key != "COLUMNS")
        environment = {key: os.environ[key] for key in kept}
        # What Python and TensorFlow read of the environment, they read when they start.
        start = (sys.executable, "-m", "advcli") if "env" in options else program
        environment |= options.pop("env", {})
        return subprocess.run(
            [*start, *map(str, arguments)],
            cwd=options.pop("cwd", tmp_path),
            env=environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=options.pop("timeout", 300),
            check=False,
            **options,
        )

    return run


def make_classifier(backbone: str = "small:width=8", edge: int = 8, channels: int = 3, classes: int = 4) -> Classifier:
    """Make an untrained classifier whose weights do not depend on what ran before."""
    keras.utils.set_random_seed(1)
    model = registry.build("backbones", backbone)(classes, edge, channels, None)
    labels = tuple(f"kind {i}" for i in range(classes))
    return Classifier(backbone.partition(":")[0], model, labels, (edge, edge), channels)


def make_inner_maximization(
    classifier: Classifier, threat: Threat, count: int = 5, seed: int = 0, kept: Tensor | None = None
) -> InnerMaximization:
    """Make what training perturbs a batch with; its attack makes the images brighter."""

    def brighten(images: Tensor, labels: Tensor) -> Tensor:
        return tf.clip_by_value(images + 0.05, 0, 1)

    rng = ImageRng(tf.constant([[i, seed] for i in range(count)], tf.int32))
    return InnerMaximization(classifier.logits, brighten, threat, rng, kept)


@pytest.fixture(scope="session")
def linear() -> Classifier:
    """Logistic regression on 8 x 8 RGB images, four classes, with weights that tell classes apart."""
    classifier = make_classifier("linear")
    generator = np.random.default_rng(2)
    kernel, bias = classifier.model.weights
    kernel.assign(generator.normal(size=kernel.shape))
    bias.assign(generator.normal(size=bias.shape))
    return classifier


def weights_of(linear: Classifier, classes: np.ndarray) -> np.ndarray:
    """Return logistic regression's weights for some classes, in the pixels' places: -> (N, edge, edge, C)."""
    kernel = next(weight for weight in linear.model.weights if len(weight.shape) == 2).numpy()
    return kernel.T[classes].reshape(-1, *linear.image_size, linear.channels)


@pytest.fixture(scope="session")
def small() -> Classifier:
    """A small untrained convolutional network on 8 x 8 RGB images, four classes."""
    return make_classifier()


@pytest.fixture
def pictures() -> np.ndarray:
    """Five random images (5, 8, 8, 3), away from black and white."""
    return np.random.default_rng(3).uniform(0.3, 0.7, (5, 8, 8, 3)).astype(np.float32)


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models, first.keras and second.keras, and data.npz, that evaluations are quick on."""
    from evaluations import make_models

    made = tmp_path_factory.mktemp("evaluations")
    make_models(made)
    return made
