"""Every attack of the folder, held to what an attack must do."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from advcli import registry
from advcli.attacks import KINDS, Attack, DecisionAttack, Suite, Universal
from advcli.backend import Tensor, keras, tf
from advcli.data.decoded import to_eight_bits, to_float
from advcli.errors import AdvcliError, UsageError
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.records import Attacked, Failed
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.refusals import refuse_unsupported
from advcli.tasks.attack.request import Resolved
from advcli.tasks.attack.run import attack_files
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier

# Those that craft one pattern for many images are held to the like in test_universal_attacks.py.
UNIVERSAL = [name for name in registry.names("attacks") if isinstance(registry.build("attacks", name), Universal)]
ATTACKS = [name for name in registry.names("attacks") if name not in UNIVERSAL]
# One of each kind, which the default suite holds to everything; -m slow holds the others to it, too.
QUICK = ("pgd", "mifgsm", "fmn", "simba", "geoda", "noise", "spatial")
EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ATTACKS]
EPS = {Norm.LINF: 0.05, Norm.L2: 0.5, Norm.L1: 2.0, Norm.L0: 4.0}

# Attacks that take thousands of passes are held to the same with fewer.
FEWER = {
    "autoattack": "autoattack:version=rand",
    "fab": "fab:steps=30,refine=3",
    "cw": "cw:steps=40,binary_steps=5,learning_rate=0.05,refine=5",
    "ddn": "ddn:steps=50,refine=5",
    "fmn": "fmn:steps=50,refine=5",
    "geoda": "geoda:queries=900",
    "hopskipjump": "hopskipjump:queries=260",
    "nes": "nes:queries=255",
    "one-pixel": "one-pixel:queries=200,population=20",
    "simba": "simba:queries=200",
    "sigma-zero": "sigma-zero:steps=40",
    "sparse-rs": "sparse-rs:queries=300",
    "spatial": "spatial:angles=7,places=3",
    "square": "square:queries=300",
    "bsr": "bsr:samples=8",
    "vmifgsm": "vmifgsm:samples=3",
}


def build(name: str) -> Attack:
    return registry.build("attacks", FEWER.get(name, name))


def any_threat(attack: Attack) -> Threat:
    """A threat that the attack knows."""
    norm = Norm(attack.searchable_norms[0])
    return Threat(norm, EPS[norm])


def losses(classifier: Classifier, threat: Threat, pictures: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return threat.loss(classifier.logits(tf.constant(pictures)), tf.constant(labels, tf.int32)).numpy()


def assert_in_ball(attack: Attack | Suite, adversarial: np.ndarray, pictures: np.ndarray, threat: Threat) -> None:
    if getattr(attack, "bounded", True):
        assert threat.size(tf.constant(adversarial - pictures)).numpy().max() <= threat.eps + 1e-6


def check(
    attack: Attack | Suite,
    classifier: Classifier,
    pictures: np.ndarray,
    threat: Threat,
    start: np.ndarray | None = None,
) -> None:
    """What must hold for every attack, model and threat."""
    labels = classifier.predict(pictures).argmax(axis=1)
    adversarial, queries = CompiledAttack(classifier, attack, threat, start=start)(pictures, labels)
    assert adversarial.shape == pictures.shape
    assert adversarial.dtype == np.float32
    assert_in_ball(attack, adversarial, pictures, threat)
    assert adversarial.min() >= 0
    assert adversarial.max() <= 1
    gained = losses(classifier, threat, adversarial, labels) - losses(classifier, threat, pictures, labels)
    assert (gained > 1e-4).all(), f"the loss did not rise: {gained}"
    assert queries.min() >= 1


@pytest.mark.parametrize(
    ("model", "target"),
    [("linear", None), ("linear", 2), ("small", None), pytest.param("small", 2, marks=pytest.mark.slow)],
)
@pytest.mark.parametrize("norm", list(Norm))
@pytest.mark.parametrize("name", ATTACKS)
def test_battery(
    name: str, target: int | None, norm: Norm, model: str, pictures: np.ndarray, request: pytest.FixtureRequest
) -> None:
    classifier = request.getfixturevalue(model)
    if target is not None:
        pictures = pictures[classifier.predict(pictures).argmax(axis=1) != target]
    attack, threat = build(name), Threat(norm, EPS[norm], target)
    unknown_ball = attack.bounded and norm not in attack.searchable_norms
    if unknown_ball or (target is not None and not getattr(attack, "targeted", True)):
        with pytest.raises(UsageError) as refused:
            refuse_unsupported(attack, threat)
        assert refused.value.hint
        return
    if target is not None and isinstance(attack, DecisionAttack):
        with pytest.raises(UsageError, match="from an image"):
            refuse_unsupported(attack, threat)
        refuse_unsupported(attack, threat, started=True)
        check(attack, classifier, pictures, threat, image_of(classifier, target, pictures))
        return
    refuse_unsupported(attack, threat)
    if len(pictures):
        check(attack, classifier, pictures, threat)


def image_of(classifier: Classifier, target: int, pictures: np.ndarray) -> np.ndarray:
    """An image that the model sees a class in: (H, W, C) uint8."""
    search = CompiledAttack(classifier, registry.build("attacks", "pgd:steps=40"), Threat(eps=0.9, target=target))
    made = to_eight_bits(search(pictures[:1], np.zeros(1, int))[0])
    assert classifier.classes(to_float(made)) == [target]
    return made[0]


@dataclass(frozen=True)
class Nothing(Attack):
    kind: ClassVar[str] = "gradient"

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        logits_fn(images)
        return images


@dataclass(frozen=True)
class TooFar(Nothing):
    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        fgsm = registry.build("attacks", "fgsm")
        return fgsm(logits_fn, images, labels, Threat(threat.norm, 1.5 * threat.eps), rng)


def test_an_attack_that_does_nothing_fails_the_battery(linear: Classifier, pictures: np.ndarray) -> None:
    with pytest.raises(AssertionError, match="did not rise"):
        check(Nothing(), linear, pictures, Threat(eps=0.05))


def test_an_attack_that_leaves_the_ball_fails_the_battery(linear: Classifier, pictures: np.ndarray) -> None:
    with pytest.raises(AssertionError):
        check(TooFar(), linear, pictures, Threat(eps=0.05))


@pytest.mark.parametrize("name", EACH)
def test_the_same_seed_gives_the_same_bytes(name: str, small: Classifier, pictures: np.ndarray) -> None:
    labels = np.zeros(len(pictures))
    attack = build(name)
    first, _ = CompiledAttack(small, attack, any_threat(attack), seed=5)(pictures, labels)
    again, _ = CompiledAttack(small, attack, any_threat(attack), seed=5)(pictures, labels)
    assert first.tobytes() == again.tobytes()


def test_another_seed_starts_elsewhere(small: Classifier, pictures: np.ndarray) -> None:
    attack = registry.build("attacks", "pgd:steps=1")
    first, _ = CompiledAttack(small, attack, Threat(eps=0.05), seed=0)(pictures, np.zeros(5))
    other, _ = CompiledAttack(small, attack, Threat(eps=0.05), seed=1)(pictures, np.zeros(5))
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("norm", list(Norm))
@pytest.mark.parametrize("name", EACH)
def test_eps_zero_changes_nothing(name: str, norm: Norm, small: Classifier, pictures: np.ndarray) -> None:
    attack = build(name)
    if norm not in attack.searchable_norms or not attack.bounded:
        return
    adversarial, _ = CompiledAttack(small, attack, Threat(norm, 0.0))(pictures, np.zeros(5))
    np.testing.assert_array_equal(adversarial, pictures)


@pytest.mark.parametrize("name", EACH)
def test_an_image_is_attacked_for_itself(name: str, linear: Classifier, pictures: np.ndarray) -> None:
    attack = build(name)
    labels = linear.predict(pictures).argmax(axis=1)
    compiled_attack = CompiledAttack(linear, attack, any_threat(attack))
    together, _ = compiled_attack(pictures, labels)
    alone, _ = compiled_attack(pictures[3:4], labels[3:4])
    np.testing.assert_allclose(together[3], alone[0], atol=1e-6)


@pytest.mark.parametrize("name", EACH)
def test_one_trace_serves_every_batch_size(name: str, small: Classifier, pictures: np.ndarray) -> None:
    attack = build(name)
    compiled_attack = CompiledAttack(small, attack, any_threat(attack))
    labels = small.predict(pictures).argmax(axis=1)
    for count in (5, 2, 1):
        compiled_attack(pictures[:count], labels[:count])
    assert compiled_attack.traces == 1


@pytest.mark.parametrize("name", EACH)
def test_images_of_another_size_are_attacked_at_their_own(name: str, small: Classifier) -> None:
    attack = build(name)
    pictures = np.random.default_rng(0).uniform(0.3, 0.7, (2, 20, 13, 3)).astype(np.float32)
    check(attack, small, pictures, any_threat(attack))


@pytest.mark.parametrize("name", EACH)
def test_a_model_without_gradient_is_survived(name: str, pictures: np.ndarray) -> None:
    attack = build(name)
    constant = make_classifier("linear")
    for variable in constant.model.weights:
        variable.assign(tf.zeros_like(variable))
    threat = any_threat(attack)
    adversarial, _ = CompiledAttack(constant, attack, threat)(pictures, np.zeros(5))
    assert np.isfinite(adversarial).all()
    assert_in_ball(attack, adversarial, pictures, threat)


@pytest.mark.parametrize("name", [*EACH, *UNIVERSAL])
def test_a_model_that_rounds_its_input_is_survived(
    name: str, small: Classifier, pictures: np.ndarray, tmp_path: Path
) -> None:
    """Rounding has no gradient at all: not zeros, but nothing."""
    inputs = keras.Input((8, 8, 3))
    rounded = keras.layers.Rescaling(1 / 16)(keras.ops.round(keras.layers.Rescaling(16.0)(inputs)))
    rounding = Classifier("rounding", keras.Model(inputs, small.model(rounded)), small.labels, (8, 8), 3)
    search, file = build(name), tmp_path / "a.png"
    norms = search.searchable_norms if search.bounded else ("linf",)
    png.write(file, (pictures[0] * 255).astype(np.uint8))
    for norm in norms:
        threat = Threat(Norm(norm), EPS[Norm(norm)])
        request = Resolved(spec=name, threat=threat)
        found = list(
            attack_files(rounding, {file: tmp_path / norm}, search, request, pattern=tmp_path / f"{norm}.pattern.png")
        )
        assert [event.type for event in found if isinstance(event, Attacked)] == ["attacked"]


# The option that is a length, and how far one step of it goes in linf and in l2; what else makes it one step.
STEPS = {
    "bim": "steps=1",
    "pgd": "steps=1,random_start=false",
    "mifgsm": "steps=1",
    "nifgsm": "steps=1",
    "difgsm": "steps=1,probability=0",
    "tifgsm": "steps=1,kernel=1",
    "bsr": "steps=1,samples=1",
    "vmifgsm": "steps=1,samples=1",
    "nes": "samples=4,queries=5",
}


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_as_long_as_it_says_whatever_eps_is(
    name: str, norm: Norm, linear: Classifier, pictures: np.ndarray
) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    search = registry.build("attacks", f"{name}:{STEPS[name]},step=2/255")
    for eps in (0.05, 0.4):
        found, _ = CompiledAttack(linear, search, Threat(norm, eps))(pictures, labels)
        moved = Threat(norm).size(tf.constant(found - pictures)).numpy()
        np.testing.assert_allclose(moved, 2 / 255, rtol=1e-3)


def test_every_step_is_a_length() -> None:
    """An option called step, sigma or eps that does not say that it is a length is taken for one by its user."""
    for family in ("attacks", "objectives"):
        for name in registry.names(family):
            named = {"step", "sigma", "adv_step_size", "pgd_epsilon"} & set(registry.options(family, name))
            assert named <= set(registry.lengths(family, name)), name
            assert set(registry.lengths(family, name)) <= set(registry.options(family, name)), name


@pytest.mark.parametrize(
    ("spec", "norm", "eps", "warned"),
    [
        ("pgd:step=0.21", Norm.LINF, 0.1, True),
        ("pgd:step=0.2", Norm.LINF, 0.1, False),
        ("pgd", Norm.LINF, 0.1, False),
        ("nes:sigma=0.5,step=0.1", Norm.L2, 0.1, False),
        ("nes:step=1", Norm.L2, 0.4, True),
        ("fgsm", Norm.LINF, 0.1, False),
        ("fmn:step=10", Norm.LINF, 0.1, False),
    ],
)
def test_a_step_of_more_than_twice_eps_is_warned_of(
    spec: str, norm: Norm, eps: float, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    Threat(norm, eps).warn_of_long_step(registry.build("attacks", spec), spec)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * warned
    assert ("the units of eps" in caplog.text) == warned


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("name", EACH)
def test_few_classes(name: str, classes: int, pictures: np.ndarray) -> None:
    attack = build(name)
    check(attack, make_classifier(classes=classes), pictures, any_threat(attack))


def test_every_attack_says_of_what_kind_it_is() -> None:
    assert {registry.component("attacks", name).kind for name in registry.names("attacks")} == set(KINDS)


@pytest.mark.parametrize("name", registry.names("attacks"))
def test_a_model_that_gives_no_numbers_is_named(name: str, pictures: np.ndarray, tmp_path: Path) -> None:
    broken = make_classifier("linear")
    for variable in broken.model.weights:
        variable.assign(np.full(variable.shape, np.nan))
    file = tmp_path / "a.png"
    png.write(file, (pictures[0] * 255).astype(np.uint8))
    request = Resolved(spec=name, threat=any_threat(build(name)))
    if isinstance(build(name), Universal):
        with pytest.raises(AdvcliError, match="'linear' returns NaN"):
            list(attack_files(broken, {file: tmp_path / "a"}, build(name), request, pattern=tmp_path / "a.pattern.png"))
        return
    found = attack_files(broken, {file: tmp_path / "a"}, build(name), request, pattern=tmp_path / "a.pattern.png")
    (failed,) = (event for event in found if isinstance(event, Failed))
    assert "'linear'" in failed.error
    assert "NaN" in failed.error


# Closed forms on logistic regression, where the gradient's sign is the same everywhere.


def weights_away_from(linear: Classifier, labels: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    """The gradient of cross-entropy by the pixels, from its formula: W (softmax - onehot)."""
    kernel = linear.model.weights[0].numpy()
    errors = linear.predict(pictures) - np.eye(4)[labels]
    return (errors @ kernel.T).reshape(pictures.shape)


def test_fgsm_moves_every_pixel_by_eps_times_sign(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    adversarial, queries = CompiledAttack(linear, registry.build("attacks", "fgsm"), Threat(eps=0.03))(pictures, labels)
    expected = pictures + 0.03 * np.sign(weights_away_from(linear, labels, pictures))
    np.testing.assert_allclose(adversarial, expected, atol=1e-6)
    assert (queries == 1).all()


def test_fgsm_in_l2_steps_along_the_gradient(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    adversarial, _ = CompiledAttack(linear, registry.build("attacks", "fgsm"), Threat(Norm.L2, 0.1))(pictures, labels)
    gradient = weights_away_from(linear, labels, pictures)
    unit = gradient / np.linalg.norm(gradient.reshape(5, -1), axis=1)[:, None, None, None]
    np.testing.assert_allclose(adversarial, pictures + 0.1 * unit, atol=1e-5)


def test_pgd_reaches_the_corner_that_is_best_for_two_classes(pictures: np.ndarray) -> None:
    model = make_classifier("linear", classes=2)
    kernel, _ = model.model.weights
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    labels = np.zeros(5, int)
    adversarial, queries = CompiledAttack(model, registry.build("attacks", "pgd:steps=10"), Threat(eps=0.03))(
        pictures, labels
    )
    best = np.sign(kernel.numpy()[:, 1] - kernel.numpy()[:, 0]).reshape(8, 8, 3)
    np.testing.assert_allclose(adversarial, pictures + 0.03 * best, atol=1e-6)
    assert (queries == 10).all()


def test_more_steps_are_not_weaker(small: Classifier, pictures: np.ndarray) -> None:
    labels = small.predict(pictures).argmax(axis=1)
    threat = Threat(eps=0.1)
    one, _ = CompiledAttack(small, registry.build("attacks", "fgsm"), threat)(pictures, labels)
    many, _ = CompiledAttack(small, registry.build("attacks", "pgd:steps=40"), threat)(pictures, labels)
    assert losses(small, threat, many, labels).mean() >= losses(small, threat, one, labels).mean() - 1e-4


def test_attacks_say_whether_they_take_one_step_and_search_as_training_does() -> None:
    built = {spec: registry.build("attacks", spec) for spec in (*registry.names("attacks"), "pgd:steps=1")}
    assert built["fgsm"].single_step
    assert built["pgd:steps=1"].single_step
    assert not built["pgd"].single_step
    other = {attack.kind for attack in built.values() if not attack.searches_as_training}
    assert other == {"score", "decision", "random", "spatial", "universal"}
    assert not other & {attack.kind for attack in built.values() if attack.searches_as_training}
