"""Training spread over several devices: the same run as on one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from advcli.errors import UsageError
from advcli.tasks.train.checkpoint_folder import read_checkpoint
from advcli.tasks.train.distribution import Devices
from advcli.tasks.train.workers import Workers, find_workers

TWO = {"worker": ["127.0.0.1:1", "127.0.0.1:2"]}

# Two devices can be made of one only before TensorFlow has begun.
SCRIPT = """
import json, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from advcli.backend import keras, tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
from advcli import registry
from advcli.datasets import find
from advcli.errors import UsageError
from advcli.tasks.train.run import train_model
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.recipe import Recipe, prepare
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.trainer import Trainer
from advcli.threat.threat import Norm, Threat

recipe = Recipe(
    data="digits", backbone="small:width=4", objective="fgsm-rs", modifier=("awp",), attack="pgd", eps=0.1,
    edge=8, weights="none", epochs=2, batch=32, learning_rate=0.02, momentum=0.9, validation=0.15, robust_images=9,
    limit=200, weight_decay=0.01, clip_norm=1.0, ema=0.9, seed=0,
)
data = prepare(recipe, find("digits")())
found = {}
for strategy in ("one", "mirrored"):
    list(train_model(replace(recipe, strategy=strategy), data, Run(Path(strategy))))
    found[strategy] = find_devices(strategy).count
several = replace(recipe, objective="pgd-at", attack="pgd:steps=1", modifier=(), ema=0.0, epochs=1, batch=16)
several = several.with_balls([Threat(Norm.LINF, 0.1), Threat(Norm.L2, 0.5)])
for strategy in ("one", "mirrored"):
    list(train_model(replace(several, strategy=strategy), data, Run(Path(f"norms-{strategy}"))))
try:
    list(train_model(replace(recipe, objective="free", modifier=(), strategy="mirrored"), data, Run(Path("free"))))
except UsageError as error:
    found["free"] = error.message

build = registry.build


class Normalized:
    def __call__(self, classes, edge, channels, weights):
        inputs = keras.Input((edge, edge, channels))
        x = keras.layers.BatchNormalization(momentum=0.5)(keras.layers.Conv2D(4, 3)(inputs))
        return keras.Model(inputs, keras.layers.Dense(classes)(keras.layers.Flatten()(keras.layers.ReLU()(x))))


registry.build = lambda family, spec: Normalized() if family == "backbones" else build(family, spec)
# The weights stand still, so that the statistics are all that changes.
still = replace(recipe, learning_rate=1e-12, weight_decay=0.0, modifier=(), objective="clean")
for strategy in ("one", "mirrored"):
    keras.utils.set_random_seed(0)
    trainer = Trainer(still, data, find_devices(strategy))
    list(trainer.epoch(Checkpoint()))
    layer = trainer.model.layers[2]
    for statistic in (layer.moving_mean, layer.moving_variance):
        copies = getattr(statistic.value, "values", [statistic.value])
        found.setdefault(f"{strategy} statistics", []).append([copy.numpy().tolist() for copy in copies])
print(json.dumps(found))
"""


def state(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "checkpoint" / "state.npz") as stored:
        return {name: stored[name] for name in stored.files if name != "state"}


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("mirrored")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout)


def test_two_devices_train_as_one(mirrored: tuple[Path, dict]) -> None:
    folder, found = mirrored
    assert (found["one"], found["mirrored"]) == (1, 2)
    one, two = state(folder / "one"), state(folder / "mirrored")
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)
    resolved = json.loads((folder / "mirrored" / "run.json").read_text())["resolved"]
    assert resolved["strategy"] == {"name": "mirrored", "devices": 2, "workers": 1}


def test_two_devices_choose_the_same_norms_as_one(mirrored: tuple[Path, dict]) -> None:
    folder, _ = mirrored
    one, two = state(folder / "norms-one"), state(folder / "norms-mirrored")
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-5, err_msg=name)
    files = [folder / name / "checkpoint" / "state.npz" for name in ("norms-one", "norms-mirrored")]
    counts, others = (read_checkpoint(file).norms for file in files)
    assert counts == others
    assert set(counts) == {"linf", "l2"}
    assert sum(attacked for attacked, _ in counts.values()) == 10 * 16


def test_all_devices_have_the_mean_of_their_statistics(mirrored: tuple[Path, dict]) -> None:
    _, found = mirrored
    for one, two in zip(found["one statistics"], found["mirrored statistics"], strict=True):
        assert (len(one), len(two)) == (1, 2)
        assert two[0] == two[1]
    (mean_of_one,), variance_of_one = found["one statistics"][0], found["one statistics"][1][0]
    (mean_of_two, _), (variance_of_two, _) = found["mirrored statistics"]
    np.testing.assert_allclose(mean_of_two, mean_of_one, atol=1e-6)
    # Between the halves of a batch there is some variance, too.
    assert (np.array(variance_of_two) < variance_of_one).all()
    np.testing.assert_allclose(variance_of_two, variance_of_one, rtol=0.2)


def test_what_replays_a_batch_is_refused_on_two_devices(mirrored: tuple[Path, dict]) -> None:
    assert mirrored[1]["free"] == "'free' trains on one device only"


@pytest.mark.parametrize(
    ("strategy", "config", "expected"),
    [
        ("auto", None, Workers(1, 0)),
        ("auto", {}, Workers(1, 0)),
        ("auto", {"cluster": TWO, "task": {"type": "worker", "index": 1}}, Workers(2, 1)),
        ("multiworker", {"cluster": TWO, "task": {"type": "worker", "index": "0"}}, Workers(2, 0)),
        ("one", {"cluster": TWO, "task": {"type": "worker", "index": 1}}, Workers(1, 0)),
        ("auto", {"cluster": {**TWO, "chief": ["h:1"]}, "task": {"type": "chief", "index": 0}}, Workers(3, 0)),
        ("auto", {"cluster": {**TWO, "chief": ["h:1"]}, "task": {"type": "worker", "index": 0}}, Workers(3, 1)),
    ],
)
def test_the_workers_are_those_of_tf_config(
    monkeypatch: pytest.MonkeyPatch, strategy: str, config: dict | None, expected: Workers
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if config is not None:
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    assert find_workers(strategy) == expected


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        json.dumps({"cluster": TWO}),
        json.dumps({"cluster": TWO, "task": {"type": "ps", "index": 0}}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}),
    ],
)
def test_a_tf_config_that_does_not_name_this_worker_is_refused(monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    monkeypatch.setenv("TF_CONFIG", content)
    with pytest.raises(UsageError, match="TF_CONFIG"):
        find_workers("multiworker")


class Four:
    num_replicas_in_sync = 4


def test_a_batch_is_parted_evenly_or_not_at_all() -> None:
    parts = [Devices("multiworker", Four(), Workers(2, index)).part(32) for index in (0, 1)]
    assert parts == [slice(0, 16), slice(16, 32)]
    with pytest.raises(UsageError, match="33 images cannot be split evenly over 4 devices") as caught:
        Devices("multiworker", Four(), Workers()).part(33)
    assert caught.value.hint.endswith("such as 32")
