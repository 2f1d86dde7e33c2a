from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from advcli import registry
from advcli.attacks import Attack
from advcli.backend import Tensor
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images
from advcli.data.split import Split
from advcli.errors import AdvcliError
from advcli.model.classifier import Classifier
from advcli.records import Score
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.benchmark.class_matching import class_indices
from advcli.tasks.benchmark.quick_score import quick_scores
from advcli.threat.threat import Threat
from conftest import make_classifier


def dataset(labels: tuple[str, ...]) -> Dataset:
    empty = Split(np.zeros(0, np.int32), lambda i: np.zeros(0), str)
    return Dataset("toy", labels, empty, empty, edge=8)


@pytest.fixture
def images(linear: Classifier) -> Images:
    """Twenty images, five of them with a wrong label."""
    pixels = np.random.default_rng(0).uniform(0.3, 0.7, (20, 8, 8, 3)).astype(np.float32)
    labels = linear.predict(pixels).argmax(axis=1)
    labels[:5] = (labels[:5] + 1) % 4
    return Images(pixels, labels.astype(np.int32))


def scores(classifier: Classifier, images: Images, attacks: dict[str, Any], eps: float = 0.02) -> dict[str, Score]:
    events = quick_scores(classifier, dataset(classifier.labels), images, attacks, [Threat(eps=eps)], batch=8)
    return {event.perturbation: event for event in events if isinstance(event, Score)}


@dataclass(frozen=True)
class FoolsSome(Attack):
    """Turns every image with an index of its kind into the negative of itself, as far as it may."""

    kind: ClassVar[str] = "gradient"

    odd: bool

    def __call__(self, logits_fn, images: Tensor, labels: Tensor, threat: Threat, rng: object) -> Tensor:
        from advcli.backend import tf

        stronger = registry.build("attacks", "pgd:steps=20")(logits_fn, images, labels, threat, rng)
        mine = (tf.cast(images[:, 0, 0, 0] * 1e4, tf.int32) % 2 == 1) == self.odd
        return tf.where(mine[:, None, None, None], stronger, images)


def test_the_worst_case_is_taken_image_by_image(linear: Classifier, images: Images) -> None:
    found = scores(linear, images, {"one": FoolsSome(False), "other": FoolsSome(True)}, eps=0.2)
    assert found["clean"].correct == 15
    broken = 2 * 15 - found["one"].correct - found["other"].correct
    assert broken > 0
    assert found["worst"].correct == 15 - broken
    assert found["worst"].accuracy == found["worst"].correct / 20
    assert found["worst"].accuracy_of_clean_correct == pytest.approx(found["worst"].correct / 15)


def test_eps_zero_is_clean_accuracy(linear: Classifier, images: Images) -> None:
    attacks = {name: registry.build("attacks", name) for name in ("fgsm", "pgd")}
    found = scores(linear, images, attacks, eps=0.0)
    assert {score.correct for score in found.values()} == {15}


def test_the_interval_is_wilsons(linear: Classifier, images: Images) -> None:
    score = scores(linear, images, {})["clean"]
    n, p, z = 20, 0.75, 1.959964
    centre, half = (p + z * z / (2 * n)), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert score.low == pytest.approx((centre - half) / (1 + z * z / n), abs=1e-6)
    assert score.high == pytest.approx((centre + half) / (1 + z * z / n), abs=1e-6)


def test_the_protocol_spells_out_every_option(linear: Classifier, images: Images) -> None:
    score = scores(linear, images, {"pgd:steps=2": registry.build("attacks", "pgd:steps=2")})["pgd:steps=2"]
    assert (
        score.protocol == "pgd:steps=2,step=0.0,random_start=True,restarts=1,schedule=constant,eot=1,stop=True"
        " (step in pixel values of [0, 1])"
    )


def test_classes_are_matched_by_name() -> None:
    classifier = replace(make_classifier(), labels=("tench, Tinca tinca", "Goldfish", "great_white_shark", "hen"))
    assert class_indices(classifier, dataset(("hen", "goldfish", "great white shark", "tench"))).tolist() == [
        3,
        1,
        2,
        0,
    ]
    assert class_indices(classifier, dataset(("hen",))).tolist() == [3]
    with pytest.raises(AdvcliError, match="has no class '1'"):
        class_indices(classifier, dataset(("1", "hen")))
    with pytest.raises(AdvcliError, match="one class"):
        class_indices(classifier, dataset(("tench", "Tinca tinca")))


def test_a_model_without_class_names_takes_them_in_order() -> None:
    classifier = replace(make_classifier(), labels=tuple(f"class {i}" for i in range(4)))
    assert class_indices(classifier, dataset(tuple("abcd"))).tolist() == [0, 1, 2, 3]
    with pytest.raises(AdvcliError, match="without names"):
        class_indices(classifier, dataset(tuple("abc")))


def test_one_perturbation_for_all_images_is_crafted_on_them(linear: Classifier, images: Images) -> None:
    universal = registry.build("attacks", "universal:steps=30")
    found = scores(linear, images, {"universal": universal, "noise": registry.build("attacks", "noise")}, eps=0.2)
    assert found["universal"].correct < found["clean"].correct
    assert found["universal"].eps == 0.2


def test_an_attack_without_a_ball_has_no_radius(linear: Classifier, images: Images) -> None:
    found = scores(linear, images, {"spatial": registry.build("attacks", "spatial")})
    assert found["spatial"].correct < 15
    assert (found["spatial"].norm, found["worst"].eps) == (None, None)


def test_an_attack_is_done_with_an_image_that_is_broken(linear: Classifier, images: Images) -> None:
    spec = "pgd:steps=40,random_start=false"
    found = scores(linear, images, {spec: registry.build("attacks", spec)})
    assert "stop=True" in found[spec].protocol
    # No more images are right than in the plain loop, and none that the plain loop leaves on its way.
    labels = images.labels
    point, right = images.pixels, linear.predict(images.pixels).argmax(axis=1) == labels
    for steps in range(1, 41):
        attack = registry.build("attacks", f"pgd:steps={steps},step=0.00125,random_start=false")
        point, _ = CompiledAttack(linear, attack, Threat(eps=0.02))(images.pixels, labels)
        right &= linear.predict(point).argmax(axis=1) == labels
    assert found[spec].correct == right.sum()
