"""The fast search: what it finds, and that nothing calls it AutoAttack."""

import dataclasses
import io
import re
from typing import Any, TypeVar

import numpy as np
import pytest
from rich.console import Console

from advcli import registry
from advcli.attacks._nearest_classes import by_distance
from advcli.attacks._rounds import pick_images
from advcli.attacks.apgd import APGD
from advcli.attacks.autoattack import AutoAttack
from advcli.backend import tf
from advcli.checks import Evidence
from advcli.checks._advice import not_run
from advcli.cli.tables.attack_and_train import tables
from advcli.model.classifier import Classifier
from advcli.records import Record, Score
from advcli.report.accuracy_curves import accuracy_curves
from advcli.report.benchmark import benchmark_page
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.benchmark.gates import Least
from advcli.tasks.benchmark.perturbations import protocol_of
from advcli.threat.spelling import spell_perturbation, spell_spec
from advcli.threat.threat import Norm, Threat
from benchmark_records import attacked, every_kind, examples
from conftest import make_classifier, weights_of
from pages import refuse_faults

Kind = TypeVar("Kind", bound=Record)

SPEC = "autoattack:version=fast"
SHOWN = f"fast search ({SPEC})"
FAST = AutoAttack("fast")


def many(count: int, side: int = 8) -> np.ndarray:
    """Images so far from black and white that no ball of this test reaches either."""
    return np.random.default_rng(4).uniform(0.35, 0.65, (count, side, side, 3)).astype(np.float32)


def distances(linear: Classifier, pictures: np.ndarray, labels: np.ndarray, norm: Norm) -> np.ndarray:
    """The distance of each image from the boundary of each class, infinite for its own: (N, K)."""
    logits = linear.logits(tf.constant(pictures)).numpy()
    weights = weights_of(linear, np.arange(logits.shape[1])).reshape(logits.shape[1], -1)
    leads = logits[np.arange(len(labels)), labels][:, None] - logits
    slopes = np.linalg.norm(weights[labels][:, None] - weights[None], {Norm.LINF: 1, Norm.L2: 2}[norm], axis=2)
    return np.where(leads == 0, np.inf, leads / np.maximum(slopes, 1e-12))


def fooled(classifier: Classifier, attack: Any, threat: Threat, pictures: np.ndarray) -> np.ndarray:
    labels = classifier.predict(pictures).argmax(axis=1)
    found = CompiledAttack(classifier, attack, threat).search(pictures, labels)
    inside = threat.size(tf.constant(found.points - pictures)).numpy() <= threat.eps + 1e-6
    return (found.predicted != labels) & inside


@pytest.mark.parametrize("norm", [Norm.LINF, pytest.param(Norm.L2, marks=pytest.mark.slow)])
def test_it_fools_exactly_the_images_whose_margin_is_within_reach(linear: Classifier, norm: Norm) -> None:
    pictures = many(60)
    labels = linear.predict(pictures).argmax(axis=1)
    distance = distances(linear, pictures, labels, norm).min(axis=1)
    eps = float(np.median(distance))
    clear = np.abs(distance - eps) > 1e-3 * eps
    assert fooled(linear, FAST, Threat(norm, eps), pictures)[clear].tolist() == (distance < eps)[clear].tolist()


def test_it_fools_what_its_first_member_fools_and_each_image_for_itself() -> None:
    classifier, pictures, threat = make_classifier(), many(12), Threat(eps=0.055)
    labels = classifier.predict(pictures).argmax(axis=1)
    search = CompiledAttack(classifier, FAST, threat)
    found, alone = search.search(pictures, labels), search._members[0].search(pictures, labels)
    assert registry.build("attacks", "apgd:loss=ce") == search._members[0].attack
    by_first = alone.predicted != labels
    assert 0 < by_first.sum() < 12
    assert not (by_first & (found.predicted == labels)).any()
    few = slice(8, None, -2)
    others, queries = search(pictures[few], labels[few])
    np.testing.assert_allclose(found.points[few], others, atol=1e-6)
    assert queries.tolist() == found.queries[few].tolist()
    np.testing.assert_array_equal(search(pictures, labels)[0], found.points)


@pytest.mark.slow
def test_it_asks_a_third_as_often() -> None:
    """Of an image that stands: the searches with gradients, with their looks at the start and the end, and Square."""
    classifier, pictures = make_classifier(classes=10), many(1)
    labels = classifier.predict(pictures).argmax(axis=1)
    _, queries = CompiledAttack(classifier, FAST, Threat(eps=1e-6))(pictures, labels)
    _, of_standard = CompiledAttack(classifier, AutoAttack(), Threat(eps=1e-6))(pictures, labels)
    assert queries[0] <= of_standard[0] / 3


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_targets_come_from_the_nearest_boundary_on(norm: Norm) -> None:
    linear = make_classifier("linear", classes=7)
    generator = np.random.default_rng(0)
    kernel, bias = linear.model.weights
    # Weights of very different lengths: the likeliest class is not the nearest.
    kernel.assign(generator.normal(size=kernel.shape) * np.geomspace(0.1, 10, 7))
    bias.assign(generator.normal(size=bias.shape))
    pictures = many(20)
    labels = linear.predict(pictures).argmax(axis=1)
    logits = linear.logits(tf.constant(pictures))
    order = by_distance(
        linear.logits, tf.constant(pictures), tf.constant(labels, tf.int32), logits, Threat(norm, 0.1)
    ).numpy()
    expected = distances(linear, pictures, labels, norm).argsort(axis=1)
    assert (order[:, 0] == labels).all()
    np.testing.assert_array_equal(order[:, 1:], expected[:, :-1])
    assert (order[:, 1:] != np.argsort(-logits.numpy(), axis=1)[:, 1:]).any()


@pytest.mark.parametrize(("loss", "ahead"), [("pm", 1), ("pm-targeted", 2)])
def test_the_probability_margin_by_hand(loss: str, ahead: int) -> None:
    logits = np.array([[2.0, 1.0, 0.5, -1.0]], np.float32)
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
    found = APGD(loss)._loss(tf.constant(logits), tf.constant([0]), tf.constant([2]), Threat()).numpy()[0]
    assert np.expm1(found) == pytest.approx(shares[ahead] - shares[0], rel=1e-5)


def test_the_probability_margin_does_not_underflow() -> None:
    logits = tf.constant([[90.0, -60.0, -70.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = APGD("pm")._loss(logits, tf.constant([0]), tf.constant([1]), Threat())
    slope = tape.gradient(loss, logits).numpy()[0]
    assert slope[1] == pytest.approx(1, abs=1e-3)
    assert slope[0] == pytest.approx(-1, abs=1e-3)


def test_whole_images_are_chosen_by_image() -> None:
    """As many images as rows and columns: a condition along another axis would do as well."""
    ahead, otherwise = np.random.default_rng(0).random((2, 3, 3, 3, 3))
    rows = np.array([True, False, True])
    found = pick_images(tf.constant(rows), tf.constant(ahead), tf.constant(otherwise)).numpy()
    np.testing.assert_array_equal(found, np.where(rows[:, None, None, None], ahead, otherwise))


# What it is called.


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        (SPEC, SHOWN),
        ("AutoAttack: eot=2, version = fast", "fast search (autoattack: eot=2, version = fast)"),
        ("autoattack", "autoattack"),
        ("autoattack:version=rand", "autoattack:version=rand"),
        ("fog", "fog"),
        ("./autoattack.py:version=fast", "./autoattack.py:version=fast"),
    ],
)
def test_name(spec: str, shown: str) -> None:
    assert spell_spec(spec) == shown
    assert spell_perturbation(spec, "linf", 8 / 255, None) == f"{shown}, Linf 8/255"


def test_its_title_and_protocol_never_say_autoattack() -> None:
    assert FAST.title(10) == FAST.title(2) == SHOWN
    assert AutoAttack("fast", eot=3).title(10) == "fast search (autoattack:version=fast,eot=3)"
    protocol = protocol_of(SPEC, FAST, 10, Norm.LINF)
    assert protocol.startswith(f"{SHOWN}: apgd:loss=ce,")
    assert "AutoAttack" not in protocol


def renamed(record: Kind) -> Kind:
    """Let the record be about the fast search, wherever it is about PGD."""
    old = "pgd:steps=20"

    def new(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(old, SPEC)
        return tuple(map(new, value)) if isinstance(value, tuple) else value

    return dataclasses.replace(record, **{f.name: new(getattr(record, f.name)) for f in dataclasses.fields(record)})


def refuse_the_wrong_name(text: str) -> None:
    """Refuse a text that names the search otherwise than by its own name; lines may be broken anywhere."""
    text = re.sub(r"[\s\u2500-\u257f]+", "", text)
    name = "fastsearch(autoattack:vers"
    assert name in text
    others = [text[max(found.start() - 60, 0) : found.end() + 20] for found in re.finditer("autoattack", text, re.I)]
    assert [each for each in others if name not in each] == []


@pytest.mark.parametrize("minimal", [False, True])
def test_tables_never_say_autoattack(minimal: bool) -> None:
    records = [renamed(record) for record in every_kind()]
    console = Console(file=io.StringIO(), width=400)
    for table in tables([*records, attacked(attack=SPEC, minimal=minimal)]):
        console.print(table)
    assert isinstance(console.file, io.StringIO)
    refuse_the_wrong_name(console.file.getvalue())


def test_the_page_never_says_autoattack() -> None:
    records = [renamed(record) for record in every_kind()]
    whole = refuse_faults(benchmark_page(records, examples()))
    # A protocol is the task's own text, and is tested with it.
    protocols = [record.protocol for record in records if isinstance(record, Score)]
    text = whole.text
    for protocol in sorted(set(protocols), key=len, reverse=True):
        text = text.replace(protocol, "")
    refuse_the_wrong_name(text)


def test_the_figure_never_says_autoattack() -> None:
    file = io.BytesIO()
    accuracy_curves([renamed(record) for record in every_kind() if isinstance(record, Score)], file, "svg")
    refuse_the_wrong_name(" ".join(re.findall(r">([^<]+)<", file.getvalue().decode())))


def test_a_gate_on_autoattack_is_not_met_by_it() -> None:
    assert Least.read("autoattack=0.4").is_about("autoattack")
    assert Least.read("autoattack=0.4").is_about("autoattack:eot=2")
    assert not Least.read("autoattack=0.4").is_about(SPEC)
    assert Least.read(f"{SPEC}=0.4").is_about(SPEC)


def test_advice_to_run_autoattack_is_not_met_by_it(linear: Classifier) -> None:
    pictures = many(2)
    evidence = Evidence(
        classifier=linear, original=linear, pixels=pictures, indices=np.zeros(2, int), labels=np.zeros(2, int),
        outputs=np.zeros(2, int), predicted=np.zeros(2, int),
        classes=4, clean_accuracy=1.0, scores=(), correct_under=lambda spec, threat: np.ones(2, bool),
        attacks=("autoattack",), overlap=None,
    )  # fmt: skip
    assert not_run(evidence, "autoattack") == ""
    assert not_run(dataclasses.replace(evidence, attacks=(SPEC,)), "autoattack") == "autoattack"
