"""Checks of an evaluation, each on a model or on scores that trip it and on some that do not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backend import Tensor, keras, tf
from advcli.checks import Evidence, Finding
from advcli.data import Images
from advcli.linear_head import LOGARITHM
from advcli.model import Classifier, wrap
from advcli.records import Score
from advcli.tasks.adversary import Adversary
from advcli.tasks.benchmark.check_records import check, pixel_hashes
from advcli.threat import Norm, Threat

CLASSES = 4


class Applied(keras.layers.Layer):
    """A layer that does what a function does, in training and in inference."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def call(self, inputs: Tensor) -> Tensor:
        return self._function(inputs)


def rounded(images: Tensor) -> Tensor:
    """Sixteen values a channel, which have no slope."""
    return tf.round(images * 15) / 15


def noisy(images: Tensor) -> Tensor:
    return images + tf.random.normal(tf.shape(images), stddev=0.1)


def rooted(images: Tensor) -> Tensor:
    """The images themselves, plus a root of zero, whose slope is infinite and is multiplied by zero."""
    return images + tf.sqrt(tf.nn.relu(images - 2))


@tf.custom_gradient
def astray(images: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The images themselves, with a gradient that points back but at images of 8 bits."""
    steps = images * 255
    written = tf.reduce_all(tf.abs(steps - tf.round(steps)) < 1e-3, axis=(1, 2, 3), keepdims=True)
    return tf.identity(images), lambda upstream: tf.where(written, upstream, -upstream)


def waves(images: Tensor) -> Tensor:
    """Logits that change sign and come back as the image gets brighter."""
    height = tf.sin(20 * tf.reduce_mean(images, axis=(1, 2, 3)))
    return tf.stack([height, tf.zeros_like(height)], axis=1)


def softmax(logits: Tensor) -> Tensor:
    """A softmax that nobody can find."""
    powers = tf.exp(logits - tf.reduce_max(logits, axis=1, keepdims=True))
    return powers / tf.reduce_sum(powers, axis=1, keepdims=True)


def before(classifier: Classifier, function: Callable[[Tensor], Tensor]) -> Classifier:
    """The same classifier, of images that something is done to first."""
    image = keras.Input((8, 8, 3))
    return replace(classifier, model=keras.Model(image, classifier.model(Applied(function)(image))))


def behind(classifier: Classifier, function: Callable[[Tensor], Tensor]) -> Any:
    """The same network, with something done to its output."""
    return keras.Model(classifier.model.input, Applied(function)(classifier.model.output))


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """Forty images of 8 bits, away from black and white."""
    drawn = np.random.default_rng(7).integers(77, 179, (40, 8, 8, 3))
    return drawn.astype(np.float32) / np.float32(255)


def look(classifier: Classifier, pixels: np.ndarray, indices: np.ndarray | None = None, **changes: Any) -> Evidence:
    """Gather what a benchmark would; the classes are what the model sees unless they are given."""
    frozen = classifier.frozen
    predicted = frozen.predict(pixels).argmax(axis=1)
    classes = predicted if indices is None else indices

    def right_under(spec: str, threat: Threat) -> np.ndarray:
        found, _ = Adversary(frozen, registry.build("attacks", spec), threat)(pixels, classes)
        return (predicted == classes) & (frozen.predict(found).argmax(axis=1) == classes)

    evidence = Evidence(
        classifier=frozen,
        pixels=pixels,
        indices=classes,
        labels=np.tile(classes, 10),
        classes=len(classifier.labels),
        clean_accuracy=float((predicted == classes).mean()),
        scores=(),
        right_under=right_under,
    )
    return replace(evidence, **changes)


def score(perturbation: str, correct: int, eps: float = 0.1, images: int = 40, **changes: Any) -> Score:
    made = Score(
        model="m", data="d", seed=0, perturbation=perturbation, norm="linf", eps=eps, severity=None, protocol="",
        images=images, correct=correct, accuracy=correct / images, low=0.0, high=1.0,
        accuracy_of_clean_correct=0.0, seconds=0.0,
    )  # fmt: skip
    return replace(made, **changes)


def attacked(evidence: Evidence, *attacks: tuple[str, float]) -> Evidence:
    """Run attacks, and add their scores."""
    scores = [
        score(spec, int(evidence.right_under(spec, Threat(Norm.LINF, eps)).sum()), eps, len(evidence.pixels))
        for spec, eps in attacks
    ]
    return replace(evidence, scores=scores)


def finding(name: str, evidence: Evidence) -> Finding:
    found = registry.build("checks", name)(evidence)
    assert found is not None
    assert bool(found.remedy) == found.suspect
    return found


@pytest.fixture(scope="session")
def sound(linear: Classifier, pixels: np.ndarray) -> Evidence:
    """A model in which nothing is wrong, with the scores of several attacks, and data in which nothing is."""
    return attacked(
        look(linear, pixels, labels=np.arange(400) % CLASSES, test_hashes=(b"a",), train_hashes=frozenset({b"b"})),
        ("fgsm", 0.01),
        ("fgsm", 0.02),
        ("pgd:steps=10", 0.02),
        ("square:queries=100", 0.02),
    )


@pytest.mark.parametrize("name", registry.names("checks"))
def test_nothing_is_suspect_where_nothing_is_wrong(sound: Evidence, name: str) -> None:
    found = finding(name, sound)
    assert not found.suspect, found.evidence
    assert any(character.isdigit() for character in found.evidence)


def test_each_phase_has_its_checks(sound: Evidence) -> None:
    first = list(check(sound, after=False, data="toy", seed=3))
    last = list(check(replace(sound, scores=()), after=True, data="toy", seed=3))
    assert {record.check for record in first} == {
        "class-imbalance", "duplicates", "input-range", "probabilities", "randomised", "sample-size", "zero-gradients"
    }  # fmt: skip
    # Without scores, only the check that makes its own attack has something to say.
    assert [record.check for record in last] == ["unbounded"]
    assert {record.verdict for record in (*first, *last)} == {"PASS"}
    assert (first[0].model, first[0].data, first[0].seed, first[0].remedy) == ("linear", "toy", 3, "")


def test_a_suspect_is_recorded_with_its_remedy(sound: Evidence) -> None:
    evidence = replace(sound, test_hashes=(b"b", b"c"))
    record = next(record for record in check(evidence, after=False, data="d", seed=0) if record.check == "duplicates")
    assert record.verdict == "SUSPECT"
    assert record.evidence.startswith("1 of 2 images")
    assert "train anew" in record.remedy


def test_probabilities_whose_softmax_cannot_be_taken_off(linear: Classifier, pixels: np.ndarray) -> None:
    wrapped = wrap(behind(linear, softmax), "theirs", input_range=(0, 1))
    assert wrapped.head == LOGARITHM
    found = finding("probabilities", look(wrapped, pixels))
    assert found.suspect
    assert "of 40 images" in found.evidence
    sure = replace(wrapped, model=behind(linear, lambda logits: softmax(1000 * logits)))
    assert ": 40 of 40 images" in finding("probabilities", look(sure, pixels)).evidence


def test_probabilities_taken_for_logits(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("probabilities", look(replace(linear, model=behind(linear, softmax)), pixels))
    assert found.suspect
    assert "taken for logits" in found.evidence


def test_a_softmax_that_was_taken_off_is_no_matter(linear: Classifier, pixels: np.ndarray) -> None:
    image = keras.Input((8, 8, 3))
    wrapped = wrap(keras.Model(image, keras.layers.Softmax()(linear.model(image))), "theirs", input_range=(0, 1))
    assert not finding("probabilities", look(wrapped, pixels)).suspect


@pytest.mark.parametrize("wanted", [(0.0, 255.0), (-1.0, 1.0)])
def test_a_wrong_input_range(linear: Classifier, pixels: np.ndarray, wanted: tuple[float, float]) -> None:
    low, high = wanted
    theirs = before(linear, lambda images: (images - low) / (high - low))
    right = look(replace(theirs, input_range=wanted), pixels)
    assert not finding("input-range", right).suspect
    wrong = look(theirs, pixels, right.indices)
    assert wrong.clean_accuracy < 0.75
    found = finding("input-range", wrong)
    assert found.suspect
    assert f"40 with values from {low:g} to {high:g}" in found.evidence
    assert f"--input-range {low:g},{high:g}" in found.remedy


def test_labels_in_another_order(linear: Classifier, pixels: np.ndarray) -> None:
    seen = linear.predict(pixels).argmax(axis=1)
    found = finding("input-range", look(linear, pixels, (seen + 1) % CLASSES))
    assert found.suspect
    assert "order of --labels" in found.remedy


def test_hardly_better_than_guessing(sound: Evidence) -> None:
    few = replace(sound, pixels=sound.pixels[:0], indices=sound.indices[:0])
    for accuracy, suspect in ((0.26, True), (0.29, True), (0.4, False)):
        assert finding("input-range", replace(few, clean_accuracy=accuracy)).suspect == suspect
    # Four of ten is what one in nine who guess get.
    ten = replace(few, labels=few.labels[:10], clean_accuracy=0.4)
    assert finding("input-range", ten).suspect


def test_noise_inside_the_model(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("randomised", look(before(linear, noisy), pixels))
    assert found.suspect
    assert "eot" in found.remedy
    image = keras.Input((8, 8, 3))
    at_rest = keras.Model(image, linear.model(keras.layers.GaussianNoise(0.1)(image)))
    assert not finding("randomised", look(replace(linear, model=at_rest), pixels)).suspect


def test_a_model_that_rounds_has_no_gradient(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("zero-gradients", look(before(linear, rounded), pixels))
    assert found.suspect
    assert "zero at 40 of 40 images" in found.evidence
    assert "square" in found.remedy


def test_a_gradient_that_is_not_a_number(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("zero-gradients", look(before(linear, rooted), pixels))
    assert found.suspect
    assert "not a number at 40" in found.evidence
    assert "division by zero" in found.remedy


def test_a_model_so_sure_that_its_loss_is_flat(linear: Classifier, pixels: np.ndarray) -> None:
    sure = replace(linear, model=behind(linear, lambda logits: 1e5 * logits))
    found = finding("zero-gradients", look(sure, pixels))
    assert found.suspect
    assert "dlr" in found.remedy


def test_few_images(sound: Evidence) -> None:
    few = finding("sample-size", replace(sound, labels=sound.labels[:100]))
    assert few.suspect
    # 0.98 / sqrt(100 + 3.84) is 9.6%.
    assert "uncertain by 9.6 points" in few.evidence
    assert not finding("sample-size", replace(sound, labels=np.zeros(264, int))).suspect
    assert finding("sample-size", replace(sound, labels=np.zeros(262, int))).suspect
    # Attacks can only lower an accuracy of 5%, which few images tell apart from others.
    assert not finding("sample-size", replace(sound, labels=sound.labels[:100], clean_accuracy=0.05)).suspect


@pytest.mark.parametrize(
    ("counts", "suspect"),
    [
        ([25, 25, 25, 25], False),
        ([40, 20, 20, 20], False),
        ([70, 10, 10, 10], True),
        ([34, 33, 33, 0], True),
        ([2, 1, 1, 0], False),
        ([85, 15], True),
        ([65, 35], False),
        ([1] * 50 + [0] * 50, False),
        ([25] * 2 + [0] * 98, True),
    ],
)
def test_uneven_classes(sound: Evidence, counts: list[int], suspect: bool) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    found = finding("class-imbalance", replace(sound, labels=labels, classes=len(counts)))
    assert found.suspect == suspect, found.evidence


def test_images_that_were_trained_on(sound: Evidence, pixels: np.ndarray) -> None:
    train = Images(pixels[:20], np.zeros(20, np.int32))
    hashes = frozenset(pixel_hashes(train))
    assert len(hashes) == 20
    for rows, suspect in ((slice(20, 40), False), (slice(19, 39), True)):
        test = tuple(pixel_hashes(Images(pixels[rows].copy(), np.zeros(20, np.int32))))
        found = finding("duplicates", replace(sound, test_hashes=test, train_hashes=hashes))
        assert found.suspect == suspect
        assert f"{int(suspect)} of 20 images" in found.evidence
    assert registry.build("checks", "duplicates")(replace(sound, train_hashes=frozenset())) is None


def test_a_masked_gradient_is_beaten_without_gradients(linear: Classifier, pixels: np.ndarray) -> None:
    attacks = (("pgd:steps=10", 0.05), ("fgsm", 0.05), ("square:queries=200", 0.05))
    found = finding("black-beats-white", attacked(look(before(linear, rounded), pixels), *attacks))
    assert found.suspect
    assert found.evidence.startswith("at linf 0.05 square:queries=200 leaves")
    # One step is no measure: without the other nothing can be said.
    only = attacked(look(linear, pixels), ("fgsm", 0.05), ("square:queries=5", 0.05))
    assert registry.build("checks", "black-beats-white")(only) is None


def test_a_step_that_beats_many(linear: Classifier, pixels: np.ndarray) -> None:
    attacks = (("fgsm", 0.02), ("pgd:steps=10", 0.02))
    assert finding("single-beats-multi", attacked(look(before(linear, astray), pixels), *attacks)).suspect
    only = attacked(look(linear, pixels), ("fgsm", 0.02), ("pgd:steps=1", 0.02))
    assert registry.build("checks", "single-beats-multi")(only) is None


def test_a_step_that_goes_too_far(pixels: np.ndarray) -> None:
    image = keras.Input((8, 8, 3))
    wavy = Classifier("wavy", keras.Model(image, Applied(waves)(image)), ("up", "down"), 8)
    dark = pixels * 0.2  # 20 times their mean is about 2, on the way down
    evidence = attacked(look(wavy, dark), ("fgsm", 0.05), ("fgsm", 0.14), ("fgsm", 0.28))
    found = finding("rises-with-eps", evidence)
    assert found.suspect
    assert [each.correct for each in evidence.scores] == [40, 0, 40]
    assert found.evidence == "fgsm leaves 0 of 40 right at linf 0.14, but 40 at 0.28"


@pytest.mark.parametrize(
    ("name", "stronger", "weaker"),
    [
        ("rises-with-eps", ("pgd", 0.1), ("pgd", 0.2)),
        ("single-beats-multi", ("fgsm", 0.1), ("apgd", 0.1)),
        ("single-beats-multi", ("rfgsm", 0.1), ("autoattack", 0.1)),
        ("black-beats-white", ("square", 0.1), ("pgd", 0.1)),
        ("black-beats-white", ("noise", 0.1), ("cw", 0.1)),
        ("black-beats-white", ("hopskipjump", 0.1), ("autoattack", 0.1)),
    ],
)
def test_a_few_images_either_way_are_chance(
    sound: Evidence, name: str, stronger: tuple[str, float], weaker: tuple[str, float]
) -> None:
    def suspect(fewer: int, more: int, images: int, **changes: Any) -> bool | None:
        pair = ((stronger, fewer), (weaker, more))
        scores = [replace(score(spec, count, eps, images), **changes) for (spec, eps), count in pair]
        found = registry.build("checks", name)(replace(sound, scores=scores))
        return found and found.suspect

    assert suspect(20, 25, 50) is True
    assert suspect(20, 24, 50) is False
    assert suspect(25, 20, 50) is False
    # 0.2 points of 10,000 are 20.
    assert suspect(4000, 4020, 10_000) is False
    assert suspect(4000, 4021, 10_000) is True
    # Neither a corruption nor a search that was cut short says anything.
    assert suspect(20, 50, 50, searched=30) is None
    assert suspect(20, 50, 50, norm=None, eps=None) is None


def test_scores_of_other_balls_are_not_compared(sound: Evidence) -> None:
    for other in (score("pgd", 40, eps=0.2), score("pgd", 40, norm="l2")):
        scores = (score("fgsm", 0), score("square", 0), other)
        for name in ("single-beats-multi", "black-beats-white", "rises-with-eps"):
            assert registry.build("checks", name)(replace(sound, scores=scores)) is None


def test_what_survives_everything_hides(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("unbounded", look(before(linear, rounded), pixels))
    assert found.suspect
    assert "leaves 40 of 40 images right" in found.evidence


def test_without_images_there_is_nothing_to_say(sound: Evidence) -> None:
    nothing = replace(
        sound, pixels=sound.pixels[:0], indices=sound.indices[:0], labels=sound.labels[:0], scores=(), test_hashes=()
    )
    assert not list(check(nothing, after=False, data="d", seed=0))
    assert not list(check(nothing, after=True, data="d", seed=0))
