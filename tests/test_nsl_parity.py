"""The nsl objective beside the library's own Keras wrapper, which runs on Keras 2 only."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backend import Tensor, keras, tf
from advcli.threat.threat import Threat
from conftest import make_classifier, make_inner_maximization
from nsl_wrapper import network

WRAPPER = Path(__file__).with_name("nsl_wrapper.py")
ARTICLE = {"multiplier": 0.2, "adv_step_size": 0.2, "adv_grad_norm": "infinity"}
ITERATED = {"multiplier": 1.0, "adv_step_size": 0.02, "pgd_iterations": 3, "pgd_epsilon": 0.05}

# The wrapper's options, which are the objective's too, and whether the network has BatchNorm.
CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "article": ({**ARTICLE, "clip": False}, False),
    "clip": ({**ARTICLE, "clip": True}, False),
    "l2": ({"multiplier": 0.5, "adv_step_size": 1.0, "adv_grad_norm": "l2", "clip": False}, False),
    "l1": ({"multiplier": 0.5, "adv_step_size": 3.0, "adv_grad_norm": "l1", "clip": True}, False),
    "iterated": ({**ITERATED, "adv_grad_norm": "infinity", "clip": True}, False),
    "iterated-l2": ({**ITERATED, "adv_step_size": 0.5, "pgd_epsilon": 0.8, "adv_grad_norm": "l2", "clip": True}, False),
    "batchnorm": ({**ARTICLE, "clip": True}, True),
    "iterated-batchnorm": ({**ITERATED, "adv_grad_norm": "infinity", "clip": True}, True),
}
UPDATES, BATCH = 8, 16

pytestmark = pytest.mark.skipif(importlib.util.find_spec("tf_keras") is None, reason="tf-keras is not installed")


@pytest.fixture(scope="module")
def task() -> dict[str, Any]:
    generator = np.random.default_rng(0)
    return {
        "images": generator.random((UPDATES, BATCH, 12, 12, 3)).astype(np.float32),
        "labels": generator.integers(0, 3, (UPDATES, BATCH)).astype(np.int32),
    }


def start(batchnorm: bool) -> Any:
    keras.utils.set_random_seed(1)
    return network(keras.layers, keras.models, batchnorm)


@pytest.fixture(scope="module")
def theirs(task: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """The losses and the weights of every case, by the wrapper."""
    folder = tmp_path_factory.mktemp("wrapper")
    arrays, cases = dict(task), {}
    for name, (options, batchnorm) in CASES.items():
        weights = start(batchnorm).get_weights()
        arrays |= {f"{name}/{i}": weight for i, weight in enumerate(weights)}
        cases[name] = {"options": options, "batchnorm": batchnorm, "weights": len(weights)}
    np.savez(folder / "task.npz", cases=json.dumps(cases), **arrays)
    environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
    command = [sys.executable, WRAPPER, folder / "task.npz", folder / "result.npz"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return dict(np.load(folder / "result.npz"))


def ours(name: str, task: dict[str, Any]) -> tuple[list[float], Any]:
    """Train with the objective, and return the losses and the network."""
    options, batchnorm = CASES[name]
    spec = "nsl:" + ",".join(f"{key}={value}" for key, value in options.items())
    objective, model = registry.build("objectives", spec), start(batchnorm)
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    inner = make_inner_maximization(make_classifier(), Threat(), BATCH)

    @tf.function
    def step(images: Tensor, labels: Tensor) -> Tensor:
        perturbed = objective.perturb(inner, images, labels)
        with tf.GradientTape() as tape:
            losses, _ = objective(model, images, perturbed, labels)
            mean = tf.reduce_mean(losses)
        optimizer.apply_gradients(
            zip(tape.gradient(mean, model.trainable_variables), model.trainable_variables, strict=True)
        )
        return mean

    return [float(step(*batch)) for batch in zip(task["images"], task["labels"], strict=True)], model


@pytest.mark.parametrize("name", CASES)
def test_the_objective_trains_as_the_wrapper_does(
    name: str, task: dict[str, Any], theirs: dict[str, np.ndarray]
) -> None:
    losses, model = ours(name, task)
    close = 1e-4 if CASES[name][1] else 1e-6
    np.testing.assert_allclose(losses, theirs[f"{name}/losses"], atol=close, rtol=close)
    begun = start(CASES[name][1]).get_weights()
    for i, weight in enumerate(model.weights):
        own, other = weight.numpy(), theirs[f"{name}/{i}"]
        assert np.abs(own - begun[i]).max() > 1e-3, "it did not train"
        if weight.name == "moving_variance":
            # Keras 2 estimates the population's variance, n / (n - 1) of the batch's, and Keras 3 the batch's own.
            n = BATCH * 10 * 10
            assert (own <= other + 1e-5).all()
            assert (other <= own * n / (n - 1) + 1e-5).all()
        else:
            np.testing.assert_allclose(own, other, atol=close, rtol=0)


def test_the_cases_differ(theirs: dict[str, np.ndarray]) -> None:
    plain = [name for name, (_, batchnorm) in CASES.items() if not batchnorm]
    for i, name in enumerate(plain):
        for other in plain[:i]:
            assert np.abs(theirs[f"{name}/0"] - theirs[f"{other}/0"]).max() > 1e-5, (name, other)
