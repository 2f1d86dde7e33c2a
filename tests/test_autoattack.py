"""AutoAttack: its members, in turn, and what it calls itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.attacks.autoattack import AutoAttack
from advcli.data.decoded import decode
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.benchmark.perturbations import protocol_of
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier
from test_attacks import check


def certified(shared: Path) -> tuple[Classifier, np.ndarray, np.ndarray]:
    """Load the network and the 500 images that ``reference/autoattack.json`` has figures for."""
    from advcli.datasets import find
    from advcli.model.model_choice import ModelChoice

    classifier = ModelChoice(str(shared / "models/wong2018_certified_mnist.keras"), input_range=(0.0, 1.0)).load()
    dataset = find(f"mnist:path={shared / 'data/mnist.npz'}")()
    pictures, labels = decode(dataset.test.sample(None, 500, 0), (28, 28), 1).at(slice(None))
    return classifier, pictures, labels


@pytest.mark.parametrize("version", ["standard", "plus", "rand"])
@pytest.mark.parametrize("norm", [Norm(name) for name in AutoAttack.norms])
def test_members_can_be_built(version: str, norm: Norm) -> None:
    for spec in AutoAttack(version).members_in(norm):
        assert norm in registry.build("attacks", spec).searchable_norms


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(UsageError) as refused:
        AutoAttack("standart")
    assert "standard" in refused.value.hint


@pytest.mark.parametrize(
    ("spec", "averages"),
    [
        ("rand", [20, 20]),
        ("rand,eot=1", [1, 1]),
        ("rand,eot=5", [5, 5]),
        ("standard", [1, 1, None, 1]),
        ("standard,eot=7", [7, 7, None, 1]),
        ("plus,eot=7", [7, 7, None, 1, 7]),
    ],
)
def test_gradients_are_averaged_where_there_are_any(spec: str, averages: list[int | None]) -> None:
    attack = registry.build("attacks", f"autoattack:version={spec}")
    members = [registry.build("attacks", member) for member in attack.members_in(Norm.LINF)]
    assert [getattr(member, "eot", None) for member in members] == averages


def test_a_deviation_from_the_published_attack_is_in_the_title() -> None:
    assert AutoAttack("standard", eot=20).title(10) == "AutoAttack standard with eot 20 for 1"
    assert AutoAttack("rand", eot=5).title(10) == "AutoAttack rand with eot 5 for 20"
    assert AutoAttack("rand", eot=20).title(10) == "AutoAttack rand"
    with pytest.raises(UsageError):
        AutoAttack(eot=-1)


@pytest.mark.parametrize(
    ("version", "classes", "title"),
    [
        ("standard", 10, "AutoAttack standard"),
        ("standard", 1000, "AutoAttack standard"),
        ("plus", 9, "AutoAttack plus, 9-class variant (8 targets)"),
        ("standard", 4, "AutoAttack standard, 4-class variant (3 targets)"),
        ("standard", 3, "AutoAttack standard, 3-class variant (2 targets, margin for dlr-targeted)"),
        ("standard", 2, "AutoAttack standard, 2-class variant (1 target, margin for dlr)"),
        ("rand", 3, "AutoAttack rand"),
        ("rand", 2, "AutoAttack rand, 2-class variant (1 target, margin for dlr)"),
    ],
)
def test_title(version: str, classes: int, title: str) -> None:
    assert AutoAttack(version).title(classes) == title


def test_the_protocol_names_the_variant_and_every_option() -> None:
    protocol = protocol_of("autoattack", AutoAttack(), 4, Norm.LINF)
    assert protocol.startswith("AutoAttack standard, 4-class variant (3 targets): apgd:loss=ce,steps=100,")
    assert "; apgd:loss=dlr-targeted,steps=100,restarts=1,targets=9," in protocol
    assert "; fab:steps=100,restarts=1,targets=9," in protocol
    assert "; square:queries=5000,p=0.8,restarts=1,rescale=False," in protocol


def test_an_image_is_right_if_it_is_under_every_member() -> None:
    classifier = make_classifier()
    pictures = np.random.default_rng(5).uniform(0.3, 0.7, (12, 8, 8, 3)).astype(np.float32)
    labels = classifier.predict(pictures).argmax(axis=1)
    threat, attack = Threat(eps=0.055), AutoAttack("rand")

    def right(search: Any) -> np.ndarray:
        adversarial, _ = CompiledAttack(classifier, search, threat)(pictures, labels)
        return classifier.predict(adversarial).argmax(axis=1) == labels

    together = right(attack)
    alone = np.all([right(registry.build("attacks", spec)) for spec in attack.members_in(Norm.LINF)], axis=0)
    assert together.tolist() == alone.tolist()
    assert 0 < together.sum() < 12


def test_members_rest_when_no_image_is_left(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    compiled_attack = CompiledAttack(linear, AutoAttack(), Threat(eps=0.2))
    adversarial, _ = compiled_attack(pictures, labels)
    assert (linear.predict(adversarial).argmax(axis=1) != labels).all()
    assert [member.traces for member in compiled_attack._members] == [1, 0, 0, 0]
    assert compiled_attack.traces == 1


def test_images_that_are_wrong_already_are_left_alone(linear: Classifier, pictures: np.ndarray) -> None:
    labels = (linear.predict(pictures).argmax(axis=1) + 1) % 4
    adversarial, queries = CompiledAttack(linear, AutoAttack(), Threat(eps=0.2))(pictures, labels)
    np.testing.assert_array_equal(adversarial, pictures)
    assert (queries == 1).all()


@pytest.mark.parametrize("classes", [2, 3, 4])
def test_few_classes(classes: int, pictures: np.ndarray) -> None:
    check(AutoAttack(), make_classifier(classes=classes), pictures[:2], Threat(eps=0.05))


@pytest.mark.parametrize("spec", ["apgd:loss=dlr-targeted", "fab:stop=true", "square"])
def test_parity_on_the_certified_network(spec: str, shared: Path) -> None:
    """The official members leave 95.6% of these images right; those that they break are near the boundary."""
    classifier, pictures, labels = certified(shared)
    probabilities = classifier.predict(pictures)
    order = np.sort(probabilities, axis=1)
    right = np.flatnonzero(probabilities.argmax(axis=1) == labels)
    assert len(right) == 491
    hardest = right[np.argsort(np.log(order[right, -1]) - np.log(order[right, -2]))[:40]]
    attack = registry.build("attacks", spec)
    adversarial, _ = CompiledAttack(classifier, attack, Threat(eps=0.1))(pictures[hardest], labels[hardest])
    broken = (classifier.predict(adversarial).argmax(axis=1) != labels[hardest]).sum()
    assert 0.942 <= (491 - broken) / 500 <= 0.956 + 1 / 200
